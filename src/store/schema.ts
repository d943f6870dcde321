// The tables of a database and of a snapshot, the one statement a commit runs, and how rows travel to it.

import { rowSum } from './checksum.ts'
import type { Codec } from './codec.ts'
import type { Database } from './database.ts'
import type { Batch, Row } from './journal.ts'

/** `sum` is rowSum. Freed pages are used again, and given back when they are most of the file (SqliteJournal.trim). */
export const SCHEMA = `
CREATE TABLE IF NOT EXISTS current(key TEXT PRIMARY KEY, revision INTEGER NOT NULL, createRevision INTEGER NOT NULL, value BLOB NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS log(revision INTEGER PRIMARY KEY, key TEXT NOT NULL, type TEXT NOT NULL, createRevision INTEGER NOT NULL, value BLOB NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
`

/** Of a file in which no value that is to be sealed was ever stored as it is; 0 in files of before. */
const SEALED_VERSION = 1
export const MARK_SEALED = `PRAGMA user_version = ${SEALED_VERSION}`
export const isMarkedSealed = async (database: Database): Promise<boolean> => {
  const [found] = await database.all<{ user_version: number }>('PRAGMA user_version')
  return found?.user_version === SEALED_VERSION
}

/**
 * A commit is one INSERT into this view: atomic by itself, one hop to SQLite's thread. `rows` is JSON, one array a row (rowTuple),
 * `data` holds the values end to end. The table `current` takes the last row of each key.
 */
export const COMMIT_VIEW = `
CREATE TEMP VIEW batch AS SELECT 0 AS rows, 0 AS data, 0 AS meta, 0 AS compactTo, 0 AS compactRows;
CREATE TEMP TRIGGER batch_commit INSTEAD OF INSERT ON batch BEGIN
  INSERT INTO log SELECT value->>0, value->>1, value->>2, value->>3, substr(NEW.data, value->>4, value->>5), value->>6 FROM json_each(NEW.rows);
  INSERT INTO current SELECT value->>1, value->>0, value->>3, substr(NEW.data, value->>4, value->>5), value->>6 FROM json_each(NEW.rows) WHERE value->>7 = 'put'
    ON CONFLICT(key) DO UPDATE SET revision = excluded.revision, createRevision = excluded.createRevision, value = excluded.value, sum = excluded.sum;
  DELETE FROM current WHERE key IN (SELECT value->>1 FROM json_each(NEW.rows) WHERE value->>7 = 'delete');
  UPDATE meta SET value = NEW.meta WHERE NEW.meta IS NOT NULL;
  DELETE FROM log WHERE revision IN (SELECT revision FROM log WHERE revision <= NEW.compactTo ORDER BY revision LIMIT NEW.compactRows);
END;
`
export const COMMIT = 'INSERT INTO batch VALUES (?, ?, ?, ?, ?)'

/** What the last row of a key does to `current`; rows superseded within their batch only go to the log. */
type Effect = 'put' | 'delete' | 'none'

/** The parameters of COMMIT; `meta` is the new description when the batch raises the ceiling. Sums and sizes are of values as they go to disk. */
export const commitParams = (batch: Batch, meta: string | null, codec: Codec): readonly [string, Buffer, string | null, number, number] => {
  const last = new Map<string, number>()
  for (const row of batch.rows) last.set(row.key, row.revision)
  let offset = 1
  const values = batch.rows.map(row => codec.toDisk(row.key, row.value))
  const tuples = batch.rows.map((row, i) => {
    const value = values[i]!
    const effect: Effect = last.get(row.key) !== row.revision ? 'none' : row.type === 'DELETED' ? 'delete' : 'put'
    const tuple = [row.revision, row.key, row.type, row.createRevision, offset, value.length, rowSum({ ...row, value }), effect]
    offset += value.length
    return tuple
  })
  const data = values.length === 1 ? values[0]! : Buffer.concat(values)
  return [JSON.stringify(tuples), data, meta, batch.compactTo, batch.compactRows]
}

/** A row as it is read back. */
export interface SqlRow {
  readonly key: string
  readonly revision: number
  readonly createRevision: number
  readonly value: Buffer
  readonly sum: number
  readonly type: Row['type']
}

/** True when the row is what was written. */
export const isIntact = (row: SqlRow): boolean => Buffer.isBuffer(row.value) && rowSum(row) === row.sum
