// Reads a database file into memory and refuses it when anything in it is not what was written. Invariant: every row of `current` is
// checked against its sum, and against the newest log row of its key.

import type { Database } from './database.ts'
import { isDamage } from './database.ts'
import type { Loaded, Row } from './journal.ts'
import { COPY_ROWS, WINDOW_BYTES_MAX, WINDOW_EVENTS_MAX } from './limits.ts'
import { FORMAT_VERSION, isIntact, type SqlRow } from './schema.ts'

/** The file is bad; `message` says how, in a few words. */
export class DamageError extends Error {
  override readonly name = 'DamageError'
}

/** The file is sound but from a newer program. */
export class FormatError extends Error {
  override readonly name = 'FormatError'
}

export interface Meta {
  readonly epoch: string
  readonly ceiling: number
  /** False after a clean close. */
  readonly open: boolean
}

/** Turns SQLite's complaints about the file into a DamageError. */
export const blamingFile = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    if (isDamage(error)) throw new DamageError((error as Error).message, { cause: error })
    throw error
  }
}

/** Undefined when the database has no tables yet. */
export const readMeta = async (database: Database): Promise<Meta | undefined> => {
  const tables = await database.all<{ name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
  if (tables.length === 0) return undefined
  const names = tables.map(table => table.name).join()
  if (names !== 'current,log,meta') throw new DamageError(`tables are ${names}`)
  const rows = await database.all<{ name: string; value: unknown }>('SELECT name, value FROM meta ORDER BY name')
  const meta = new Map(rows.map(row => [row.name, row.value]))
  const [format, epoch, ceiling] = [meta.get('format'), meta.get('epoch'), meta.get('ceiling')]
  if (typeof format === 'number' && format > FORMAT_VERSION) throw new FormatError(`its format ${format} is newer than ${FORMAT_VERSION}`)
  if (format !== FORMAT_VERSION || typeof epoch !== 'string' || epoch === '' || typeof ceiling !== 'number') {
    throw new DamageError('its description is incomplete')
  }
  return { epoch, ceiling, open: meta.get('open') !== 0 }
}

export const quickCheck = async (database: Database): Promise<void> => {
  const [first] = await database.all<{ quick_check: string }>('PRAGMA quick_check(1)')
  if (first?.quick_check !== 'ok') throw new DamageError(`quick_check: ${(first?.quick_check ?? 'no answer').replaceAll('\n', ' ')}`)
}

/** Visits all rows of `current`; throws a DamageError for one that is not intact. */
export const readCurrent = async (database: Database, visit: (row: SqlRow) => void): Promise<void> => {
  let last = 0
  for (;;) {
    const chunk = await database.all<SqlRow & { id: number }>(
      'SELECT rowid AS id, key, revision, createRevision, value, sum FROM current WHERE rowid > ? ORDER BY rowid LIMIT ?',
      [last, COPY_ROWS],
    )
    for (const row of chunk) {
      if (!isIntact(row)) throw new DamageError(`the stored ${row.key} is not what was written`)
      visit(row)
    }
    if (chunk.length < COPY_ROWS) return
    last = chunk.at(-1)!.id
  }
}

export interface LogTail {
  readonly rows: readonly Row[]
  readonly floor: number
  readonly olderRows: number
}

/** The newest part of the log that fits the event window. `floorIfEmpty`: the newest revision of `current`. */
export const readLog = async (database: Database, floorIfEmpty: number): Promise<LogTail> => {
  const [total] = await database.all<{ count: number }>('SELECT count(*) AS count FROM log')
  const sizes = await database.all<{ revision: number; size: number }>(
    'SELECT revision, length(value) AS size FROM log ORDER BY revision DESC LIMIT ?',
    [WINDOW_EVENTS_MAX],
  )
  let bytes = 0
  const fitting = sizes.filter(({ size }) => {
    bytes += size
    return bytes <= WINDOW_BYTES_MAX
  })
  const oldest = fitting.at(-1)
  if (!oldest) return { rows: [], floor: floorIfEmpty, olderRows: total?.count ?? 0 }
  const rows: Row[] = []
  for (let from = oldest.revision; ; ) {
    const chunk = await database.all<SqlRow>('SELECT * FROM log WHERE revision >= ? ORDER BY revision LIMIT ?', [from, COPY_ROWS])
    for (const row of chunk) {
      if (!isIntact(row)) throw new DamageError(`the logged ${row.key} is not what was written`)
      rows.push(row)
    }
    if (chunk.length < COPY_ROWS) break
    from = chunk.at(-1)!.revision + 1
  }
  return { rows, floor: oldest.revision - 1, olderRows: (total?.count ?? 0) - rows.length }
}

/** The log's newest row of each key and `current` must tell the same; else one of them lost a write. */
export const crossCheck = (current: readonly SqlRow[], log: readonly Row[]): void => {
  const newest = new Map<string, Row>()
  for (const row of log) newest.set(row.key, row)
  for (const row of current) {
    const logged = newest.get(row.key)
    if (logged && (logged.type === 'DELETED' || logged.revision !== row.revision)) throw new DamageError(`${row.key} is behind the log`)
    newest.delete(row.key)
  }
  for (const row of newest.values()) if (row.type !== 'DELETED') throw new DamageError(`${row.key} is in the log only`)
}

/** Reads and checks everything. `logDamage` says why the log could not be used; watches then start anew. */
export const loadAll = async (database: Database, meta: Meta): Promise<{ loaded: Loaded; logDamage: string | undefined }> => {
  await quickCheck(database)
  const current: SqlRow[] = []
  await readCurrent(database, row => current.push(row))
  const newest = current.reduce((max, row) => Math.max(max, row.revision), 1)
  let tail: LogTail = { rows: [], floor: newest, olderRows: 0 }
  let logDamage: string | undefined
  try {
    tail = await readLog(database, newest)
  } catch (error) {
    if (!(error instanceof DamageError)) throw error
    logDamage = error.message
  }
  crossCheck(current, tail.rows)
  const durable = Math.max(newest, tail.rows.at(-1)?.revision ?? 1)
  const revision = Math.max(durable, meta.ceiling)
  return {
    loaded: {
      epoch: meta.epoch,
      current,
      log: tail.rows,
      floor: tail.floor,
      olderRows: tail.olderRows,
      durable,
      revision,
      ceiling: meta.ceiling,
    },
    logDamage,
  }
}
