// The agent's SQLite file as promises: one connection, write-ahead log, an fsync each commit, nothing written when nothing changes.
// Source: npm sqlite3 (each call runs on a pool thread; calls of one connection run in order).

import { closeSync, openSync } from 'node:fs'
import sqlite3 from 'sqlite3'

export interface Database {
  exec(sql: string): Promise<void>
  run(sql: string, params: readonly unknown[]): Promise<void>
  all<T>(sql: string): Promise<T[]>
  close(): Promise<void>
}

/** What says that the file itself is bad, not its surroundings. */
export const isDamage = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['SQLITE_CORRUPT', 'SQLITE_NOTADB', 'SQLITE_IOERR'].includes(String(error.code))

/** Somebody else holds the file. */
export const isBusy = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'SQLITE_BUSY'

const SCHEMA = `
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
PRAGMA journal_size_limit = 4194304;
PRAGMA cache_size = -512;
PRAGMA temp_store = MEMORY;
CREATE TABLE IF NOT EXISTS fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pod (uid TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`

const promised = (start: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => start(error => (error ? reject(error) : resolve())))

/** Opens or creates (for its owner alone) the database; rejects with isDamage() when the file is no sound database. */
export const openDatabase = async (file: string): Promise<Database> => {
  closeSync(openSync(file, 'a', 0o600))
  let opened: sqlite3.Database | undefined
  await promised(done => {
    opened = new sqlite3.Database(file, sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE, done)
  })
  const connection = opened!
  connection.serialize()
  const database: Database = {
    exec: sql => promised(done => void connection.exec(sql, done)),
    run: (sql, params) => promised(done => void connection.run(sql, [...params], done)),
    all: <T>(sql: string) =>
      new Promise<T[]>((resolve, reject) => {
        connection.all<T>(sql, (error, rows) => (error ? reject(error) : resolve(rows)))
      }),
    close: () => promised(done => connection.close(done)),
  }
  try {
    await database.exec(SCHEMA)
    const [check] = await database.all<{ quick_check: string }>('PRAGMA quick_check(1)')
    if (check?.quick_check !== 'ok') throw Object.assign(new Error(`check ${file}: ${check?.quick_check}`), { code: 'SQLITE_CORRUPT' })
  } catch (error) {
    await database.close()
    throw error
  }
  return database
}
