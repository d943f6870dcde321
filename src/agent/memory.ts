// What the device keeps over a power cut: who it is, the last document with its head, and a little about each pod. With it alone the last
// desired state runs for ever. A damaged database is kept aside and the last good copy takes its place: never a boot loop. All of it is
// sealed with a key that lies elsewhere; files are 0600 in a 0700 folder. DESIGN section 7, invariant 2.

import { mkdirSync } from 'node:fs'
import { messageOf } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import { isObject } from '../base/json.ts'
import type { Log } from '../base/log.ts'
import type { Sealer } from '../base/sealer.ts'
import type { Document, HeldHead, LinkMemory, OutboxMemory } from '../link/link.ts'
import { type Hold, isHolds } from './holds.ts'
import { COPY_BYTES_MAX } from './limits.ts'
import { openOutboxMemory } from './outbox-memory.ts'
import type { PodMemory } from './pod-record.ts'
import { dropLost, openRows, type Rows, sealOldRows, type Warn, writePods, writeRow } from './sealed-rows.ts'

/** Who this device is to its server; made once, by joining. */
export interface DeviceIdentity {
  readonly nodeName: string
  readonly server: string
  readonly linkPath: string
  /** Of the server's MQTT endpoint, as it was told at joining. */
  readonly mqttPort?: number
  /** `mqtts://host:port` of a broker the server is at, as it was told at joining. */
  readonly mqttBroker?: string
  /** How to reach the server, as the device's seed had it, in the words of the agent's flags. */
  readonly ways?: { readonly link?: string; readonly mqttUrl?: string; readonly mqttBroker?: string }
  readonly clusterCIDR: string
  /** PEM: the server's authority (pinned by the join token), this device's certificate and key, the public key that signs heads. */
  readonly ca: string
  readonly certificate: string
  readonly key: string
  readonly headKey: string
  /** When the certificate was got (RFC 3339): what its life is counted from, since it is dated back. */
  readonly issuedAt?: string
  /** A renewed certificate for the same key, and when it was got; it takes the place of the other once it has worked. */
  readonly renewed?: { readonly certificate: string; readonly issuedAt: string }
}

export interface AgentMemory {
  /** For the operator, one line each: repairs made while opening, why nothing can be written now, and what others added. */
  readonly warnings: readonly string[]
  /** Asked whenever somebody reads the warnings. */
  alsoWarn(source: () => readonly string[]): void
  /** There is state on disk that the key file does not open. */
  readonly keyLost: boolean
  readonly link: LinkMemory
  readonly outbox: OutboxMemory
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
  /** Settles when the database has answered, behind all it was asked before; writes nothing. */
  probe(): Promise<void>
  close(): Promise<void>
}

export interface MemoryDeps {
  /** The data folder; made (0700) when missing. */
  readonly dir: string
  readonly files: Files
  readonly log: Log
  readonly sealer: Sealer
}

type Copied = 'identity' | 'held' | 'holds'

const COPIED: Readonly<Record<Copied, string>> = { identity: 'identity', held: 'desired state', holds: 'list of held pods' }
const COPIES = ['identity', 'held', 'holds'] as const

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

const soundPods = (pods: Rows): ReadonlyMap<string, PodMemory> => {
  const memories = new Map<string, PodMemory>()
  for (const [uid, text] of pods) {
    const memory = parse(text)
    if (isPodMemory(memory)) memories.set(uid, memory)
  }
  return memories
}

/** Writes one after the other; a failed one does not stop the next. */
const createTurn = (failed: (error: unknown) => void): (<T>(work: () => Promise<T>) => Promise<T>) => {
  const last = { writing: Promise.resolve() as Promise<unknown> }
  return work => {
    const mine = last.writing.then(work, work)
    last.writing = mine.then(
      () => failed(undefined),
      (error: unknown) => failed(error),
    )
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
  const loaded = await openRows(`${dir}/agent.db`, deps.sealer, warn)
  const { database, facts, pods } = loaded
  const copyOf = (key: Copied): string => `${dir}/agent.copy/${key}.sealed`
  const oldCopyOf = (key: Copied): string => `${dir}/agent.copy/${key}.json`
  const writeCopy = (key: Copied, text: string): void => files.write(copyOf(key), deps.sealer.seal(`copy/${key}`, text), 0o600)
  const readCopy = (key: Copied): string | undefined => {
    const sealed = files.read(copyOf(key), COPY_BYTES_MAX)
    return sealed === undefined ? files.read(oldCopyOf(key), COPY_BYTES_MAX) : deps.sealer.open(`copy/${key}`, sealed)
  }
  const writeBoth = async (key: Copied, value: unknown): Promise<void> => {
    const text = JSON.stringify(value)
    await writeRow(loaded, key, text)
    try {
      writeCopy(key, text)
    } catch (error) {
      // The database has it; an older copy is better than a refused document.
      log.error('the copy of the device state could not be written', { error: messageOf(error) })
    }
  }
  /** The database first, its copy where that has nothing usable. */
  const recall = async <T>(key: Copied, isSound: (value: unknown) => value is T): Promise<T | undefined> => {
    const own = parse(facts.get(key))
    if (isSound(own)) return own
    const text = readCopy(key)
    const copy = parse(text)
    if (text === undefined || !isSound(copy)) return undefined
    warn(`the device's ${COPIED[key]} was taken from its last good copy`)
    await writeRow(loaded, key, text).catch((error: unknown) => warn('the last good copy could not be written back', error))
    return copy
  }
  const inPlain = COPIES.some(key => files.read(oldCopyOf(key), COPY_BYTES_MAX) !== undefined)
  const sealCopies = (): void => {
    for (const key of COPIES) {
      const text = facts.get(key)
      if (text !== undefined) writeCopy(key, text)
      files.remove(oldCopyOf(key))
    }
  }
  const state = {
    held: await recall('held', isHeld),
    identity: await recall('identity', isIdentity),
    holds: await recall('holds', isHolds),
  }
  // Before anything new is written: what an older version left in plain. It must not keep pods from running.
  await sealOldRows(loaded, inPlain ? sealCopies : undefined).catch((error: unknown) =>
    warn('the state of an older version could not be sealed yet', error),
  )
  const keyLost = loaded.lost.length > 0 && state.identity === undefined
  if (keyLost) warn('this device’s stored state does not open: its key file was lost or is another one')
  else await dropLost(loaded).catch((error: unknown) => warn('what another key sealed could not be removed', error))
  const trouble: { last: unknown; sources: (() => readonly string[])[] } = { last: undefined, sources: [] }
  const inTurn = createTurn(error => {
    trouble.last = error
  })
  const outbox = await openOutboxMemory(loaded, inTurn)
  return {
    get warnings() {
      const unwritten = `the device’s state cannot be written (what runs goes on): ${messageOf(trouble.last)}`
      return [...warnings, ...(trouble.last === undefined ? [] : [unwritten]), ...trouble.sources.flatMap(source => source())]
    },
    alsoWarn: source => void trouble.sources.push(source),
    keyLost,
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
    outbox,
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
    saveFact: (key, value) => inTurn(() => writeRow(loaded, `fact/${key}`, JSON.stringify(value))),
    probe: () => database.exec('SELECT 1'),
    close: () => inTurn(() => database.close()),
  }
}
