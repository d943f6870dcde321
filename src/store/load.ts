// Reads a database file into memory and refuses it when anything in it is not what was written. Invariant: every row of `current` is
// checked against its sum, and against the newest log row of its key.

import type { Codec } from './codec.ts'
import { DamageError } from './damage.ts'
import type { Database } from './database.ts'
import type { Admit } from './hot.ts'
import type { EventType, Loaded, LoadedRow, Row } from './journal.ts'
import { BATCH_BYTES_MAX, COPY_ROWS, WINDOW_BYTES_MAX, WINDOW_EVENTS_MAX } from './limits.ts'
import { eraOf, type Meta } from './meta.ts'
import { isIntact, type SqlRow } from './schema.ts'

/** SQLite's own check: pages, and (unlike quick_check, for a third more time) that the index of keys agrees with the rows. */
export const checkPages = async (database: Database): Promise<void> => {
  const [first] = await database.all<{ integrity_check: string }>('PRAGMA integrity_check(1)')
  const found = first?.integrity_check ?? 'no answer'
  if (found !== 'ok') throw new DamageError(`integrity_check: ${found.replaceAll('\n', ' ')}`)
}

/** The row up to which one statement reads: few rows, few bytes. Undefined when none is left. */
const chunkEnd = async (database: Database, last: number): Promise<number | undefined> => {
  const sizes = await database.all<{ id: number; size: number }>(
    'SELECT rowid AS id, length(value) AS size FROM current WHERE rowid > ? ORDER BY rowid LIMIT ?',
    [last, COPY_ROWS],
  )
  let bytes = 0
  const fitting = sizes.filter(({ size }, i) => {
    bytes += size
    return i === 0 || bytes <= BATCH_BYTES_MAX
  })
  return fitting.at(-1)?.id
}

/** Visits all rows of `current`; throws a DamageError for one that is not intact. */
export const readCurrent = async (database: Database, visit: (row: SqlRow) => void): Promise<void> => {
  for (let last = 0; ; ) {
    const next = await chunkEnd(database, last)
    if (next === undefined) return
    const chunk = await database.all<SqlRow>(
      'SELECT key, revision, createRevision, value, sum FROM current WHERE rowid > ? AND rowid <= ? ORDER BY rowid',
      [last, next],
    )
    for (const row of chunk) {
      if (!isIntact(row)) throw new DamageError(`the stored ${row.key} is not what was written`)
      visit(row)
    }
    last = next
  }
}

const TYPES: readonly EventType[] = ['ADDED', 'MODIFIED', 'DELETED']

export interface LogTail {
  readonly rows: readonly Row[]
  readonly floor: number
  readonly olderRows: number
}

/** The newest part of the log that fits the event window. `floorIfEmpty`: the newest revision of `current`. */
export const readLog = async (database: Database, floorIfEmpty: number, codec: Codec): Promise<LogTail> => {
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
      if (!isIntact(row) || !TYPES.includes(row.type)) throw new DamageError(`the logged ${row.key} is not what was written`)
      rows.push({ ...row, value: codec.fromDisk(row.key, row.value) })
    }
    if (chunk.length < COPY_ROWS) break
    from = chunk.at(-1)!.revision + 1
  }
  return { rows, floor: oldest.revision - 1, olderRows: (total?.count ?? 0) - rows.length }
}

/** The log's newest row of each key and `current` must tell the same; else one of them lost a write. */
export const crossCheck = (current: readonly LoadedRow[], log: readonly Row[]): void => {
  const newest = new Map<string, Row>()
  for (const row of log) newest.set(row.key, row)
  for (const row of current) {
    const logged = newest.get(row.key)
    if (logged && (logged.type === 'DELETED' || logged.revision !== row.revision)) throw new DamageError(`${row.key} is behind the log`)
    newest.delete(row.key)
  }
  for (const row of newest.values()) if (row.type !== 'DELETED') throw new DamageError(`${row.key} is in the log only`)
}

/** Reads and checks everything; `admit` says where each value lies from now on. `logDamage` says why the log could not be used; watches then start anew. */
export const loadAll = async (
  database: Database,
  meta: Meta,
  { admit, codec }: { readonly admit: Admit; readonly codec: Codec },
): Promise<{ loaded: Loaded & { readonly logRows: number }; logDamage: string | undefined }> => {
  await checkPages(database)
  const current: LoadedRow[] = []
  await readCurrent(database, ({ key, revision, createRevision, value }) => {
    current.push({ key, revision, createRevision, value: admit(codec.fromDisk(key, value), key) })
  })
  const newest = current.reduce((max, row) => Math.max(max, row.revision), 1)
  let tail: LogTail = { rows: [], floor: newest, olderRows: 0 }
  let logDamage: string | undefined
  try {
    tail = await readLog(database, newest, codec)
  } catch (error) {
    if (!(error instanceof DamageError)) throw error
    logDamage = error.message
  }
  crossCheck(current, tail.rows)
  const durable = Math.max(newest, tail.rows.at(-1)?.revision ?? 1)
  const revision = Math.max(durable, meta.ceiling)
  return {
    loaded: {
      ...eraOf(meta),
      current,
      log: tail.rows,
      floor: tail.floor,
      olderRows: tail.olderRows,
      logRows: tail.rows.length + tail.olderRows,
      durable,
      revision,
      ceiling: meta.ceiling,
    },
    logDamage,
  }
}
