// The journal on SQLite: write-ahead log, one fsync a commit, one connection that owns the file for its lifetime.

import { type Database, openDatabase, type Statement } from './database.ts'
import type { Journal } from './journal.ts'
import { DATABASE_PAGES_MAX } from './limits.ts'
import { COMMIT, COMMIT_VIEW, commitParams, FORMAT_VERSION, SCHEMA } from './schema.ts'

/**
 * Exclusive locking keeps the WAL's index in memory, without a -shm file. SQLite moves the WAL into the file each 1,000 pages, inside
 * a commit, and uses it from its beginning again, so it stays near 4 MiB; nothing is written when nothing is committed.
 */
const PRAGMAS = `
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 1000;
PRAGMA journal_size_limit = 8388608;
PRAGMA cache_size = -1024;
PRAGMA temp_store = MEMORY;
`

export interface SqliteJournal extends Journal {
  /** Marks the database as cleanly closed at `revision`, moves the WAL into it and lets go of it. */
  close(revision: number): Promise<void>
}

/** Opens a database file for this process alone; creates it when absent. */
export const openForWriting = async (file: string, pagesMax: number = DATABASE_PAGES_MAX): Promise<Database> => {
  const database = await openDatabase(file)
  try {
    await database.exec(`${PRAGMAS}; PRAGMA max_page_count = ${pagesMax}`)
  } catch (error) {
    await database.close()
    throw error
  }
  return database
}

/** Makes the tables of a new store, all or none. */
export const createTables = async (database: Database, epoch: string, ceiling: number): Promise<void> => {
  await database.exec(`BEGIN; ${SCHEMA}
    INSERT INTO meta VALUES ('format', ${FORMAT_VERSION}), ('epoch', '${epoch}'), ('ceiling', ${ceiling}), ('open', 0);
    COMMIT`)
}

/**
 * Marks the database as in use, with a reservation of revisions, and moves that mark into the file itself: a start that finds the mark
 * but no WAL knows that the WAL was lost.
 */
export const markOpen = async (database: Database, epoch: string, ceiling: number): Promise<void> => {
  await database.exec(`BEGIN;
    UPDATE meta SET value = 1 WHERE name = 'open';
    UPDATE meta SET value = '${epoch}' WHERE name = 'epoch';
    UPDATE meta SET value = ${ceiling} WHERE name = 'ceiling';
    COMMIT;
    PRAGMA wal_checkpoint(PASSIVE)`)
}

/** A journal over an open, loaded and marked database. */
export const createSqliteJournal = async (database: Database): Promise<SqliteJournal> => {
  await database.exec(COMMIT_VIEW)
  const statement: Statement = await database.prepare(COMMIT)
  return {
    commit: (batch, done) => statement.run(commitParams(batch), done),
    async close(revision) {
      try {
        await database.exec(`BEGIN;
          UPDATE meta SET value = 0 WHERE name = 'open';
          UPDATE meta SET value = ${revision} WHERE name = 'ceiling';
          COMMIT`)
      } finally {
        await database.close()
      }
    },
  }
}
