// The rows of the device's memory, sealed one by one under their key: a copy of the database says nothing without the key file. What an
// older version left in plain is sealed at the first start and its traces are removed. A row that does not open is left alone.

import { existsSync, renameSync, rmSync } from 'node:fs'
import { ApiError } from '../base/errors.ts'
import { isSealed, type Sealer } from '../base/sealer.ts'
import { type Database, isBusy, isDamage, openDatabase } from './database.ts'
import type { PodMemory } from './pod-record.ts'

/** Opened texts by key. */
export type Rows = Map<string, string>

export interface Loaded {
  readonly database: Database
  readonly sealer: Sealer
  readonly facts: Rows
  readonly pods: Rows
  /** Rows that the key does not open: keys of facts, uids of pods. */
  readonly lost: readonly string[]
  /** The file is not marked as one in which nothing was ever left in plain. */
  readonly old: boolean
  /** It is new: the one before was damaged and lies beside it. */
  readonly afresh: boolean
}

export type Warn = (message: string, error?: unknown) => void

/** PRAGMA user_version of files in which nothing was ever left in plain. */
const SEALED_VERSION = 1

interface Row {
  readonly key: string
  readonly value: string
}

const podName = (uid: string): string => `pod/${uid}`

const load = async (file: string, sealer: Sealer): Promise<Loaded> => {
  const database = await openDatabase(file)
  try {
    const [version] = await database.all<{ user_version: number }>('PRAGMA user_version')
    const lost: string[] = []
    const opened = (rows: readonly Row[], nameOf: (key: string) => string): Rows => {
      const texts: Rows = new Map()
      for (const { key, value } of rows) {
        const text = isSealed(value) ? sealer.open(nameOf(key), value) : value
        if (text === undefined) lost.push(key)
        else texts.set(key, text)
      }
      return texts
    }
    const facts = opened(await database.all<Row>('SELECT key, value FROM fact ORDER BY key'), key => key)
    const pods = opened(await database.all<Row>('SELECT uid AS key, value FROM pod ORDER BY uid'), podName)
    return { database, sealer, facts, pods, lost, old: version?.user_version !== SEALED_VERSION, afresh: false }
  } catch (error) {
    await database.close()
    throw error
  }
}

const FILE_SUFFIXES = ['', '-wal', '-shm', '-journal']

/** One damaged database is kept for whoever wants to look; an older one gives way. */
const setAside = (file: string): void => {
  for (const suffix of FILE_SUFFIXES) {
    rmSync(`${file}.damaged${suffix}`, { force: true })
    if (existsSync(`${file}${suffix}`)) renameSync(`${file}${suffix}`, `${file}.damaged${suffix}`)
  }
}

/** The database's rows, or none of a new one in the place of a damaged one. */
export const openRows = async (file: string, sealer: Sealer, warn: Warn): Promise<Loaded> => {
  try {
    return await load(file, sealer)
  } catch (error) {
    if (isBusy(error))
      throw new ApiError('Conflict', `open ${file}: another agent uses this folder`, {
        cause: error,
        hint: 'stop it first, or give another --data-dir',
      })
    if (!isDamage(error)) throw error
    setAside(file)
    warn(`the device's database was damaged and is kept as agent.db.damaged`, error)
    return { ...(await load(file, sealer)), afresh: true }
  }
}

const WRITE_FACT = 'INSERT INTO fact (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value'
/** One statement a batch: upserts and deletions from one JSON array of [uid, value or null]. */
const WRITE_PODS = `INSERT INTO pod (uid, value) SELECT value->>0, value->>1 FROM json_each(?1) WHERE value->>1 IS NOT NULL
  ON CONFLICT (uid) DO UPDATE SET value = excluded.value`
const DELETE_PODS = 'DELETE FROM pod WHERE uid IN (SELECT value->>0 FROM json_each(?1) WHERE value->>1 IS NULL)'

/** Removes what another key sealed meanwhile: this key is the right one. */
export const dropLost = async ({ database, lost }: Loaded): Promise<void> => {
  if (lost.length === 0) return
  await inTransaction(database, async () => {
    await database.run('DELETE FROM fact WHERE key IN (SELECT value FROM json_each(?1))', [JSON.stringify(lost)])
    await database.run('DELETE FROM pod WHERE uid IN (SELECT value FROM json_each(?1))', [JSON.stringify(lost)])
  })
}

/** Durable when it settles; an equal text is not written again. */
export const writeRow = async ({ database, sealer, facts }: Loaded, key: string, text: string): Promise<void> => {
  if (facts.get(key) === text) return
  await database.run(WRITE_FACT, [key, sealer.seal(key, text)])
  facts.set(key, text)
}

/** All of `work` or nothing; nobody else may write meanwhile. */
export const inTransaction = async (database: Database, work: () => Promise<void>): Promise<void> => {
  await database.exec('BEGIN')
  try {
    await work()
    await database.exec('COMMIT')
  } catch (error) {
    await database.exec('ROLLBACK')
    throw error
  }
}

/** One transaction; unchanged values are not written. null forgets. */
export const writePods = async (loaded: Loaded, changes: ReadonlyMap<string, PodMemory | null>): Promise<void> => {
  const { database, sealer, pods } = loaded
  const rows = [...changes].map(([uid, memory]) => [uid, memory === null ? null : JSON.stringify(memory)] as const)
  const news = rows.filter(([uid, text]) => (text === null ? pods.has(uid) : pods.get(uid) !== text))
  if (news.length === 0) return
  const batch = JSON.stringify(news.map(([uid, text]) => [uid, text === null ? null : sealer.seal(podName(uid), text)]))
  await inTransaction(database, async () => {
    await database.run(WRITE_PODS, [batch])
    await database.run(DELETE_PODS, [batch])
  })
  for (const [uid, text] of news) {
    if (text === null) pods.delete(uid)
    else pods.set(uid, text)
  }
}

/**
 * Seals what an older version left in plain, and removes its traces: free pages, the write-ahead log, its copies, a damaged file (which
 * stays for one run). Marked as done at the very end, so that a power cut half-way only means doing it again. `sealCopies`: undefined when
 * there are none in plain.
 */
export const sealOldRows = async (loaded: Loaded, sealCopies: (() => void) | undefined): Promise<void> => {
  const { database, sealer, facts, pods, old, afresh } = loaded
  if (!old) return
  const done = (): Promise<void> => database.exec(`PRAGMA user_version = ${SEALED_VERSION}`)
  if (sealCopies === undefined && (afresh || facts.size + pods.size === 0)) return done()
  const [{ file = '' } = {}] = await database.all<{ file: string }>('SELECT file FROM pragma_database_list ORDER BY seq LIMIT 1')
  sealCopies?.()
  if (facts.size + pods.size > 0) {
    const batch = JSON.stringify([...pods].map(([uid, text]) => [uid, sealer.seal(podName(uid), text)]))
    await inTransaction(database, async () => {
      for (const [key, text] of facts) await database.run(WRITE_FACT, [key, sealer.seal(key, text)])
      await database.run(WRITE_PODS, [batch])
    })
    await database.exec('VACUUM')
    await database.all('PRAGMA wal_checkpoint(TRUNCATE)')
  }
  if (afresh) return
  for (const suffix of FILE_SUFFIXES) rmSync(`${file}.damaged${suffix}`, { force: true })
  await done()
}
