// The journal on SQLite: write-ahead log, one fsync a commit, one connection that owns the file for its lifetime.

import type { Codec } from './codec.ts'
import { type Database, openDatabase, type Statement } from './database.ts'
import type { Journal } from './journal.ts'
import { DATABASE_PAGES_MAX, TRIM_PAGES_MIN, TRIM_STEP_PAGES, TRIM_STEPS_MAX } from './limits.ts'
import { type Era, metaText, WRITE_META } from './meta.ts'
import { COMMIT, COMMIT_VIEW, commitParams } from './schema.ts'

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
  /** Gives free pages back to the disk when they are most of the file, in steps between commits. `signal` ends it early. */
  trim(signal: AbortSignal): Promise<void>
  /** Marks the database as cleanly closed at `revision`, moves the WAL into it and lets go of it. */
  close(revision: number): Promise<void>
}

/** Opens a database file for this process alone. */
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

/**
 * Marks the database as in use, with a reservation of revisions, and moves that mark into the file itself: a start that finds the mark
 * but no WAL knows that the WAL was lost.
 */
export const markOpen = async (database: Database, era: Era, ceiling: number): Promise<void> => {
  await database.run(WRITE_META, [metaText({ ...era, ceiling, open: true })])
  await database.exec('PRAGMA wal_checkpoint(PASSIVE)')
}

/** Marks the database as cleanly closed: nothing was handed out above `ceiling`, and its write-ahead log may go. */
export const markClosed = (database: Database, era: Era, ceiling: number): Promise<void> =>
  database.run(WRITE_META, [metaText({ ...era, ceiling, open: false })])

/** Pages of the file, and those of them that hold nothing; a file of before, which cannot give any back, has none. */
const extentOf = async (database: Database): Promise<{ readonly pages: number; readonly free: number }> => {
  const [found] = await database.all<{ pages: number; free: number }>(
    'SELECT p.page_count AS pages, f.freelist_count * (v.auto_vacuum > 0) AS free FROM pragma_page_count p, pragma_freelist_count f, pragma_auto_vacuum v LIMIT 1',
  )
  return found ?? { pages: 0, free: 0 }
}

/** A journal over an open, loaded and marked database. */
export const createSqliteJournal = async (database: Database, era: Era, codec: Codec): Promise<SqliteJournal> => {
  await database.exec(COMMIT_VIEW)
  const statement: Statement = await database.prepare(COMMIT)
  return {
    commit(batch, done) {
      const meta = batch.ceiling === undefined ? null : metaText({ ...era, ceiling: batch.ceiling, open: true })
      statement.run(commitParams(batch, meta, codec), done)
    },
    async trim(signal) {
      for (let step = 0; step < TRIM_STEPS_MAX && !signal.aborted; step++) {
        const { pages, free } = await extentOf(database)
        if (free < TRIM_PAGES_MIN || free * 2 < pages) return
        await database.exec(`PRAGMA incremental_vacuum(${TRIM_STEP_PAGES})`)
      }
    },
    async close(revision) {
      try {
        await markClosed(database, era, revision)
      } finally {
        await database.close()
      }
    },
  }
}
