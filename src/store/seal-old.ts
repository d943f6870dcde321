// What a version before sealing left in plain, sealed once at the first start with a key: rows of the database and of its snapshots, and
// their traces in free pages and in the write-ahead log. A file is marked at the very end, so that a power cut half-way only means doing it
// again. Damaged files that are kept for the operator are left as they are, and the log says so.

import { copyFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { rowSum } from './checksum.ts'
import type { Codec } from './codec.ts'
import { DamageError } from './damage.ts'
import { type DataFiles, syncPath } from './data-files.ts'
import { type Database, openDatabase } from './database.ts'
import { SEAL_ROWS } from './limits.ts'
import { isIntact, isMarkedSealed, MARK_SEALED, type SqlRow } from './schema.ts'
import { listSnapshots, verifySnapshot } from './snapshots.ts'

export interface SealOldDeps {
  readonly files: DataFiles
  readonly codec: Codec
  readonly log: Log
}

type Table = 'current' | 'log'

const ROWS: Readonly<Record<Table, string>> = {
  current:
    'SELECT rowid AS id, key, revision, createRevision, value, sum FROM current WHERE rowid > ? AND substr(key, 1, ?) = ? ORDER BY rowid LIMIT ?',
  log: 'SELECT revision AS id, key, revision, createRevision, value, sum FROM log WHERE revision > ? AND substr(key, 1, ?) = ? ORDER BY revision LIMIT ?',
}
/** `?1`: JSON, one [id, offset, size, sum] a row; `?2`: the values end to end. Atomic by itself. */
const updateOf = (table: string, id: string): string =>
  `UPDATE ${table} SET value = substr(?2, part.at, part.size), sum = part.sum
   FROM (SELECT value->>0 AS id, value->>1 AS at, value->>2 AS size, value->>3 AS sum FROM json_each(?1)) AS part WHERE ${table}.${id} = part.id`
const UPDATE: Readonly<Record<Table, string>> = { current: updateOf('current', 'rowid'), log: updateOf('log', 'revision') }

/** Seals a few rows after `from` at once; settles with the last one looked at. */
const sealSome = async (database: Database, codec: Codec, table: Table, prefix: string, from: number): Promise<number | undefined> => {
  const rows = await database.all<SqlRow & { readonly id: number }>(ROWS[table], [from, prefix.length, prefix, SEAL_ROWS])
  if (rows.length === 0) return undefined
  const values: Buffer[] = []
  let at = 1
  // Log rows from before what was loaded may be damaged; they are on their way out, and get no new sum.
  const tuples = rows.filter(isIntact).map(row => {
    const value = codec.toDisk(row.key, codec.fromDisk(row.key, row.value))
    values.push(value)
    const tuple = [row.id, at, value.length, rowSum({ ...row, value })]
    at += value.length
    return tuple
  })
  await database.run(UPDATE[table], [JSON.stringify(tuples), Buffer.concat(values)])
  return rows.at(-1)!.id
}

/** Seals all rows, and writes the file anew so that no free space tells what was in them. */
const sealRows = async (database: Database, codec: Codec): Promise<void> => {
  for (const table of ['current', 'log'] as const) {
    for (const prefix of codec.sealing?.prefixes ?? []) {
      for (let from: number | undefined = 0; from !== undefined; ) from = await sealSome(database, codec, table, prefix, from)
    }
  }
  // The copy that VACUUM makes may be larger than memory.
  await database.exec('PRAGMA temp_store = FILE; VACUUM; PRAGMA temp_store = MEMORY')
}

const sealSnapshot = async (file: string, codec: Codec): Promise<void> => {
  const original = await openDatabase(file, 'readonly')
  const marked = await isMarkedSealed(original).finally(() => original.close())
  if (marked) return
  await verifySnapshot(file)
  const draft = `${file}.draft`
  await copyFile(file, draft)
  try {
    const database = await openDatabase(draft)
    try {
      await database.exec('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF')
      await sealRows(database, codec)
      await database.exec(MARK_SEALED)
    } finally {
      await database.close()
    }
    await verifySnapshot(draft)
    await syncPath(draft)
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

const sealSnapshots = async ({ files, codec, log }: SealOldDeps): Promise<void> => {
  for (const name of await listSnapshots(files.snapshotDir)) {
    try {
      await sealSnapshot(join(files.snapshotDir, name), codec)
    } catch (error) {
      if (!(error instanceof DamageError)) throw error
      log.error('snapshot is damaged, and may hold Secrets in plain', { name, cause: error.message })
    }
  }
  await syncPath(files.snapshotDir)
}

/**
 * Seals what the database, open for writing alone, and the snapshots beside it still hold in plain. The write-ahead log is empty afterwards, so
 * the database must be marked as closed before. Failing (disk full) is logged: the next start tries again.
 */
export const sealOldFiles = async (deps: SealOldDeps, database: Database, markClosed: () => Promise<void>): Promise<void> => {
  const { files, codec, log } = deps
  if (!codec.sealing || (await isMarkedSealed(database))) return
  try {
    await markClosed()
    await sealRows(database, codec)
    await database.all('PRAGMA wal_checkpoint(TRUNCATE)')
    await sealSnapshots(deps)
    await database.exec(MARK_SEALED)
    const kept = (await readdir(files.dir)).filter(name => name.startsWith('damaged-'))
    log.info('Secrets of an older version are sealed', { keyFile: codec.sealing.keyFile })
    if (kept.length > 0)
      log.error('damaged files of an older version hold Secrets in plain', {
        kept: kept.join(),
        hint: 'remove them when they are no longer needed',
      })
  } catch (error) {
    log.error('Secrets of an older version could not be sealed yet', {
      cause: messageOf(error),
      hint: 'the next start tries again; check free space',
    })
  }
}
