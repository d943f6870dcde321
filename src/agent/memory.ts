// What the device keeps over a power cut: who it is, the last document with its head, and a little about each pod. With it alone the last
// desired state runs for ever. A damaged database is kept aside and the last good copy takes its place: never a boot loop. Secrets in
// documents are stored as they are; files are 0600 in a 0700 folder. DESIGN section 7, invariant 2.

import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import { isObject } from '../base/json.ts'
import type { Log } from '../base/log.ts'
import type { Document, HeldHead, LinkMemory } from '../link/link.ts'
import { type Database, isBusy, isDamage, openDatabase } from './database.ts'
import { type Hold, isHolds } from './holds.ts'
import { COPY_BYTES_MAX } from './limits.ts'
import type { PodMemory } from './pod-record.ts'

/** Who this device is to its server; made once, by joining. */
export interface DeviceIdentity {
  readonly nodeName: string
  readonly server: string
  readonly linkPath: string
  readonly clusterCIDR: string
  /** PEM: the server's authority (pinned by the join token), this device's certificate and key, the public key that signs heads. */
  readonly ca: string
  readonly certificate: string
  readonly key: string
  readonly headKey: string
}

export interface AgentMemory {
  /** Repairs made while opening, one line each. */
  readonly warnings: readonly string[]
  readonly link: LinkMemory
  readonly held: { readonly head: HeldHead; readonly document: Document } | undefined
  readonly identity: DeviceIdentity | undefined
  readonly pods: ReadonlyMap<string, PodMemory>
  /** As found at start, or saved since. */
  readonly holds: readonly Hold[]
  /** Durable, with its copy, when it settles. */
  saveIdentity(identity: DeviceIdentity): Promise<void>
  saveHolds(holds: readonly Hold[]): Promise<void>
  /** One transaction; unchanged values are not written. null forgets. */
  savePods(changes: ReadonlyMap<string, PodMemory | null>): Promise<void>
  /** A small value by name that may be lost, such as the node's last status. */
  fact(key: string): unknown
  saveFact(key: string, value: unknown): Promise<void>
  close(): Promise<void>
}

export interface MemoryDeps {
  /** The data folder; made (0700) when missing. */
  readonly dir: string
  readonly files: Files
  readonly log: Log
}

type Rows = Map<string, string>

interface Loaded {
  readonly database: Database
  readonly facts: Rows
  readonly pods: Rows
}

type Copied = 'identity' | 'held' | 'holds'

const COPIED: Readonly<Record<Copied, string>> = { identity: 'identity', held: 'desired state', holds: 'list of held pods' }

const load = async (file: string): Promise<Loaded> => {
  const database = await openDatabase(file)
  try {
    const facts = await database.all<{ key: string; value: string }>('SELECT key, value FROM fact ORDER BY key')
    const pods = await database.all<{ uid: string; value: string }>('SELECT uid, value FROM pod ORDER BY uid')
    return { database, facts: new Map(facts.map(r => [r.key, r.value])), pods: new Map(pods.map(r => [r.uid, r.value])) }
  } catch (error) {
    await database.close()
    throw error
  }
}

/** One damaged database is kept for whoever wants to look; an older one gives way. */
const setAside = (file: string): void => {
  for (const suffix of ['', '-wal', '-shm', '-journal']) {
    rmSync(`${file}.damaged${suffix}`, { force: true })
    if (existsSync(`${file}${suffix}`)) renameSync(`${file}${suffix}`, `${file}.damaged${suffix}`)
  }
}

const parse = (text: string | undefined): unknown => {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

const isHeld = (value: unknown): value is { head: HeldHead; document: Document } =>
  isObject(value) && isObject(value['head']) && isObject(value['document']) && Array.isArray(value['document']['pods'])

const isIdentity = (value: unknown): value is DeviceIdentity =>
  isObject(value) && ['nodeName', 'server', 'ca', 'certificate', 'key', 'headKey'].every(field => typeof value[field] === 'string')

const isPodMemory = (value: unknown): value is PodMemory => isObject(value) && isObject(value['status']) && isObject(value['failures'])

const WRITE_FACT = 'INSERT INTO fact (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value'
/** One statement a batch: upserts and deletions from one JSON array of [uid, value or null]. */
const WRITE_PODS = `INSERT INTO pod (uid, value) SELECT value->>0, value->>1 FROM json_each(?1) WHERE value->>1 IS NOT NULL
  ON CONFLICT (uid) DO UPDATE SET value = excluded.value`
const DELETE_PODS = 'DELETE FROM pod WHERE uid IN (SELECT value->>0 FROM json_each(?1) WHERE value->>1 IS NULL)'

type Warn = (message: string, error?: unknown) => void

/** The database, or an empty one in the place of a damaged one. */
const openSound = async (file: string, warn: Warn): Promise<Loaded> => {
  try {
    return await load(file)
  } catch (error) {
    if (isBusy(error))
      throw new ApiError('Conflict', `open ${file}: another agent uses this folder`, {
        cause: error,
        hint: 'stop it first, or give another --data-dir',
      })
    if (!isDamage(error)) throw error
    setAside(file)
    warn(`the device's database was damaged and is kept as agent.db.damaged`, error)
    return load(file)
  }
}

const writePods = async ({ database, pods }: Loaded, changes: ReadonlyMap<string, PodMemory | null>): Promise<void> => {
  const rows = [...changes].map(([uid, memory]) => [uid, memory === null ? null : JSON.stringify(memory)] as const)
  const news = rows.filter(([uid, text]) => (text === null ? pods.has(uid) : pods.get(uid) !== text))
  if (news.length === 0) return
  const batch = JSON.stringify(news)
  await database.exec('BEGIN')
  try {
    await database.run(WRITE_PODS, [batch])
    await database.run(DELETE_PODS, [batch])
    await database.exec('COMMIT')
  } catch (error) {
    await database.exec('ROLLBACK')
    throw error
  }
  for (const [uid, text] of news) {
    if (text === null) pods.delete(uid)
    else pods.set(uid, text)
  }
}

const soundPods = (pods: Rows): ReadonlyMap<string, PodMemory> => {
  const memories = new Map<string, PodMemory>()
  for (const [uid, text] of pods) {
    const memory = parse(text)
    if (isPodMemory(memory)) memories.set(uid, memory)
  }
  return memories
}

/** Writes one after the other; a failed one does not stop the next. */
const createTurn = (): (<T>(work: () => Promise<T>) => Promise<T>) => {
  const last = { writing: Promise.resolve() as Promise<unknown> }
  return work => {
    const mine = last.writing.then(work, work)
    last.writing = mine
    return mine
  }
}

/** Opens the memory, repairing what it must. Rejects only when the folder cannot be used at all. */
export const openMemory = async (deps: MemoryDeps): Promise<AgentMemory> => {
  const { dir, files, log } = deps
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const warnings: string[] = []
  const warn: Warn = (message, error) => {
    warnings.push(message)
    log.error(message, error === undefined ? {} : { error: messageOf(error) })
  }
  const loaded = await openSound(`${dir}/agent.db`, warn)
  const { database, facts, pods } = loaded
  const copyOf = (key: Copied): string => `${dir}/agent.copy/${key}.json`
  const writeFact = async (key: string, value: unknown): Promise<void> => {
    const text = JSON.stringify(value)
    if (facts.get(key) === text) return
    await database.run(WRITE_FACT, [key, text])
    facts.set(key, text)
  }
  const writeBoth = async (key: Copied, value: unknown): Promise<void> => {
    await writeFact(key, value)
    try {
      files.write(copyOf(key), JSON.stringify(value), 0o600)
    } catch (error) {
      // The database has it; an older copy is better than a refused document.
      log.error('the copy of the device state could not be written', { error: messageOf(error) })
    }
  }
  /** The database first, its copy where that has nothing usable. */
  const recall = async <T>(key: Copied, isSound: (value: unknown) => value is T): Promise<T | undefined> => {
    const own = parse(facts.get(key))
    if (isSound(own)) return own
    const copy = parse(files.read(copyOf(key), COPY_BYTES_MAX))
    if (!isSound(copy)) return undefined
    warn(`the device's ${COPIED[key]} was taken from its last good copy`)
    await writeFact(key, copy).catch((error: unknown) => warn('the last good copy could not be written back', error))
    return copy
  }
  const state = {
    held: await recall('held', isHeld),
    identity: await recall('identity', isIdentity),
    holds: await recall('holds', isHolds),
  }
  const inTurn = createTurn()
  return {
    warnings,
    get held() {
      return state.held
    },
    get identity() {
      return state.identity
    },
    get holds() {
      return state.holds ?? []
    },
    pods: soundPods(pods),
    link: {
      load: () => state.held,
      save: (head, document) =>
        inTurn(async () => {
          await writeBoth('held', { head, document })
          state.held = { head, document }
        }),
    },
    saveIdentity: identity =>
      inTurn(async () => {
        await writeBoth('identity', identity)
        state.identity = identity
      }),
    saveHolds: holds =>
      inTurn(async () => {
        await writeBoth('holds', holds)
        state.holds = holds
      }),
    savePods: changes => inTurn(() => writePods(loaded, changes)),
    fact: key => parse(facts.get(`fact/${key}`)),
    saveFact: (key, value) => inTurn(() => writeFact(`fact/${key}`, value)),
    close: () => inTurn(() => database.close()),
  }
}
