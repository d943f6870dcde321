// One SQLite connection as promises. Source: npm sqlite3 (each call runs on a pool thread; calls of one connection run in order).

import { access, constants, open } from 'node:fs/promises'
import sqlite3 from 'sqlite3'

/** An SQLite error: `code` is its name, such as SQLITE_FULL. */
export interface SqliteError extends Error {
  readonly code: string
}

export const sqliteCode = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

/** Errors that come from the surroundings (another process, permissions, space), not from what the file holds. */
const OPERATIONAL = ['BUSY', 'LOCKED', 'CANTOPEN', 'PERM', 'AUTH', 'FULL', 'NOMEM', 'INTERRUPT', 'PROTOCOL', 'NOLFS'].map(
  name => `SQLITE_${name}`,
)

/** Any other SQLite error, met while a file that this program wrote is read with constant statements, means that the file is bad. */
export const isDamage = (error: unknown): boolean => sqliteCode(error).startsWith('SQLITE_') && !OPERATIONAL.includes(sqliteCode(error))

export interface Statement {
  run(params: readonly unknown[], done: (error: Error | undefined) => void): void
}

export interface Database {
  /** One or more statements without results. */
  exec(sql: string): Promise<void>
  run(sql: string, params: readonly unknown[]): Promise<void>
  all<T>(sql: string, params?: readonly unknown[]): Promise<T[]>
  prepare(sql: string): Promise<Statement>
  close(): Promise<void>
}

/** The library's version as a number: 3_051_003 is 3.51.3. */
export const sqliteVersion = (): number => sqlite3.VERSION_NUMBER

/** Versions without the race in WAL reset that can lose a committed transaction (fixed in 3.51.3, 3.50.7 and 3.44.6). */
export const isSafeVersion = (version: number): boolean =>
  version >= 3_051_003 || (version >= 3_050_007 && version < 3_051_000) || (version >= 3_044_006 && version < 3_045_000)

const promised = (start: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => start(error => (error ? reject(error) : resolve())))

const wrap = (connection: sqlite3.Database): Database => {
  const statements: sqlite3.Statement[] = []
  return {
    exec: sql => promised(done => void connection.exec(sql, done)),
    run: (sql, params) => promised(done => void connection.run(sql, [...params], done)),
    all: <T>(sql: string, params: readonly unknown[] = []) =>
      new Promise<T[]>((resolve, reject) => {
        connection.all<T>(sql, [...params], (error, rows) => (error ? reject(error) : resolve(rows)))
      }),
    async prepare(sql) {
      let prepared: sqlite3.Statement | undefined
      await promised(done => {
        prepared = connection.prepare(sql, done)
      })
      const statement = prepared!
      statements.push(statement)
      return { run: (params, done) => void statement.run([...params], (error: Error | null) => done(error ?? undefined)) }
    },
    async close() {
      for (const statement of statements) await promised(done => void statement.finalize(() => done(null)))
      await promised(done => connection.close(done))
    },
  }
}

/**
 * Makes an empty file for its owner alone, or checks that the one there may be read and written. Never opens an existing file: closing any
 * descriptor of a file drops this process's POSIX locks on it, SQLite's among them.
 */
const createFile = async (file: string): Promise<void> => {
  try {
    await (await open(file, 'wx', 0o600)).close()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    await access(file, constants.R_OK | constants.W_OK)
  }
}

/** Opens or creates (for its owner alone) a database file; opening neither reads nor locks it. */
export const openDatabase = async (file: string, mode: 'create' | 'readonly' = 'create'): Promise<Database> => {
  if (mode === 'create') await createFile(file)
  const flags = mode === 'create' ? sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE : sqlite3.OPEN_READONLY
  let opened: sqlite3.Database | undefined
  await promised(done => {
    opened = new sqlite3.Database(file, flags, done)
  })
  opened!.serialize()
  return wrap(opened!)
}
