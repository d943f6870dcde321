// Verified copies of the state to fall back to. Written from memory to a file of their own, so the writer never waits for one and damage in
// the database does not reach them. A snapshot has its final name only after it was read back and fsynced.

import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { rowSum } from './checksum.ts'
import type { Codec } from './codec.ts'
import { blamingFile, DamageError } from './damage.ts'
import { syncPath } from './data-files.ts'
import { openDatabase } from './database.ts'
import type { StoredEntry } from './entry.ts'
import { BATCH_BYTES_MAX, COPY_ROWS, SNAPSHOTS_KEPT } from './limits.ts'
import { checkPages, readCurrent } from './load.ts'
import { type Era, eraOf, metaText, readMeta, WRITE_META } from './meta.ts'
import { MARK_SEALED, SCHEMA } from './schema.ts'

export interface SnapshotContent extends Era {
  readonly codec: Codec
  readonly revision: number
  readonly ceiling: number
  readonly entries: readonly StoredEntry[]
}

const NAME = /^snapshot-(\d{16})\.db$/

/** Names in `dir`, the newest first. */
export const listSnapshots = async (dir: string): Promise<string[]> => {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  return (await readdir(dir))
    .filter(name => NAME.test(name))
    .sort()
    .reverse()
}

/** Reads a snapshot whole and throws a DamageError unless every row is what was written. Returns the number of objects and its revision. */
export const verifySnapshot = (file: string): Promise<{ readonly count: number; readonly revision: number }> =>
  blamingFile(async () => {
    const database = await openDatabase(file, 'readonly')
    try {
      const meta = await readMeta(database)
      await checkPages(database)
      let count = 0
      let revision = meta.snapshot ?? 1
      await readCurrent(database, row => {
        count++
        revision = Math.max(revision, row.revision)
      })
      return { count, revision }
    } finally {
      await database.close()
    }
  })

/** Cuts entries into statements of bounded rows and bytes. */
const inParts = (entries: readonly StoredEntry[]): StoredEntry[][] => {
  const parts: StoredEntry[][] = []
  let bytes = 0
  for (const entry of entries) {
    const part = parts.at(-1)
    bytes += entry.size
    if (part && part.length < COPY_ROWS && bytes <= BATCH_BYTES_MAX) part.push(entry)
    else {
      parts.push([entry])
      bytes = entry.size
    }
  }
  return parts
}

/** Writes a database file that holds this content and an empty log. The caller syncs it. */
export const writeDatabase = async (file: string, content: SnapshotContent, isSnapshot: boolean): Promise<void> => {
  const database = await openDatabase(file)
  try {
    await database.exec(
      `PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -512; PRAGMA auto_vacuum = INCREMENTAL; BEGIN; ${SCHEMA}`,
    )
    const { codec } = content
    if (codec.sealing) await database.exec(MARK_SEALED)
    const meta = { ...eraOf(content), ceiling: content.ceiling, open: false, ...(isSnapshot ? { snapshot: content.revision } : {}) }
    await database.run(WRITE_META, [metaText(meta)])
    for (const part of inParts(content.entries)) {
      let offset = 1
      const values = part.map(entry => codec.toDisk(entry.key, entry.bytes))
      const tuples = part.map(({ key, revision, createRevision }, i) => {
        const value = values[i]!
        const tuple = [key, revision, createRevision, offset, value.length, rowSum({ key, revision, createRevision, value })]
        offset += value.length
        return tuple
      })
      await database.run(
        'INSERT INTO current SELECT value->>0, value->>1, value->>2, substr(?2, value->>3, value->>4), value->>5 FROM json_each(?1)',
        [JSON.stringify(tuples), Buffer.concat(values)],
      )
    }
    await database.exec('COMMIT')
  } finally {
    await database.close()
  }
}

/** Writes, verifies and publishes a snapshot, then removes the oldest beyond the number kept. Returns its name and size. */
export const writeSnapshot = async (
  dir: string,
  content: SnapshotContent,
): Promise<{ readonly name: string; readonly sizeBytes: number }> => {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const name = `snapshot-${String(content.revision).padStart(16, '0')}.db`
  const draft = join(dir, `${name}.draft`)
  await rm(draft, { force: true })
  try {
    await writeDatabase(draft, content, true)
    await syncPath(draft)
    const { count } = await verifySnapshot(draft)
    if (count !== content.entries.length) throw new DamageError(`it holds ${count} objects instead of ${content.entries.length}`)
    await rename(draft, join(dir, name))
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  await syncPath(dir)
  for (const old of (await listSnapshots(dir)).slice(SNAPSHOTS_KEPT)) await rm(join(dir, old), { force: true })
  return { name, sizeBytes: (await stat(join(dir, name))).size }
}
