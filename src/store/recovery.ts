// From the files of a data directory to a loaded database, whatever state they are in. Damaged files are set aside, the newest snapshot
// that verifies takes their place, with a new epoch; without one the store starts empty and says so. Never fails for damage, so a
// server never boot-loops; fails only for what an operator has to fix (permissions, a full disk, a newer format).

import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { type Database, openDatabase } from './database.ts'
import type { Loaded } from './journal.ts'
import { CEILING_STEP, DAMAGED_KEPT, RESTORE_REVISION_STEP } from './limits.ts'
import { blamingFile, DamageError, FormatError, loadAll, readMeta } from './load.ts'
import { listSnapshots, syncPath, verifySnapshot } from './snapshots.ts'
import { createTables, markOpen, openForWriting } from './sqlite-journal.ts'
import type { Recovery } from './store.ts'

export const DATABASE_FILE = 'store.db'
const SIDE_FILES = ['-wal', '-shm', '-journal']

export interface RecoveryDeps {
  readonly dir: string
  readonly snapshotDir: string
  /** A fresh epoch for a store that is new or went back in time. */
  readonly newEpoch: () => string
  /** A file name part for damaged files: a time stamp. */
  readonly stamp: () => string
  readonly log: Log
  readonly pagesMax?: number
}

export interface Recovered {
  readonly database: Database
  readonly loaded: Loaded
  readonly recovery: Recovery
}

const sizeOf = async (file: string): Promise<number | undefined> => {
  try {
    return (await stat(file)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Moves the database and its side files into a directory of their own; returns its name. Older ones beyond the number kept are removed. */
const setAside = async ({ dir, stamp }: RecoveryDeps): Promise<string> => {
  const taken = await readdir(dir)
  let name = `damaged-${stamp()}`
  for (let i = 1; taken.includes(name); i++) name = `damaged-${stamp()}-${i}`
  await mkdir(join(dir, name), { mode: 0o700 })
  for (const suffix of ['', ...SIDE_FILES]) {
    const file = join(dir, DATABASE_FILE + suffix)
    if ((await sizeOf(file)) !== undefined) await rename(file, join(dir, name, DATABASE_FILE + suffix))
  }
  await syncPath(dir)
  const kept = (await readdir(dir)).filter(entry => entry.startsWith('damaged-')).sort()
  for (const old of kept.slice(0, -DAMAGED_KEPT)) await rm(join(dir, old), { recursive: true, force: true })
  return name
}

/** Puts the newest snapshot that verifies in the database's place. Undefined when there is none. */
const restoreSnapshot = async ({ dir, snapshotDir, newEpoch, log }: RecoveryDeps): Promise<string | undefined> => {
  const draft = join(dir, `${DATABASE_FILE}.draft`)
  for (const name of await listSnapshots(snapshotDir)) {
    try {
      await rm(draft, { force: true })
      await copyFile(join(snapshotDir, name), draft)
      await verifySnapshot(draft)
    } catch (error) {
      if (!(error instanceof DamageError)) throw error
      log.error('snapshot is damaged', { name, cause: error.message })
      continue
    }
    const database = await openDatabase(draft)
    await database.run("UPDATE meta SET value = ? WHERE name = 'epoch'", [newEpoch()])
    await database.run("UPDATE meta SET value = value + ? WHERE name = 'ceiling'", [RESTORE_REVISION_STEP])
    await database.close()
    await syncPath(draft)
    await rename(draft, join(dir, DATABASE_FILE))
    await syncPath(dir)
    return name
  }
  await rm(draft, { force: true })
  return undefined
}

/** Opens, checks and loads the database file as it is. Throws DamageError. Leaves nothing open when it throws. */
const loadDatabase = async (deps: RecoveryDeps, emptyAtRevision: number | undefined): Promise<Recovered> => {
  const file = join(deps.dir, DATABASE_FILE)
  const hadWal = ((await sizeOf(`${file}-wal`)) ?? 0) > 0
  const database = await blamingFile(() => openForWriting(file, deps.pagesMax))
  try {
    return await blamingFile(async () => {
      const found = await readMeta(database)
      if (!found && emptyAtRevision === undefined) throw new DamageError('it is empty')
      if (!found) await createTables(database, deps.newEpoch(), emptyAtRevision ?? 1)
      const meta = found ?? (await readMeta(database))!
      const walLost = meta.open && !hadWal
      const { loaded, logDamage } = await loadAll(database, meta)
      const epoch = walLost ? deps.newEpoch() : meta.epoch
      const revision = loaded.revision + (walLost ? RESTORE_REVISION_STEP : 0)
      const ceiling = revision + CEILING_STEP
      await markOpen(database, epoch, ceiling)
      if (logDamage !== undefined) await database.exec('DELETE FROM log')
      const fresh = walLost || logDamage !== undefined
      return {
        database,
        loaded: { ...loaded, epoch, revision, ceiling, ...(fresh ? { log: [], floor: revision, olderRows: 0 } : {}) },
        recovery: describe(found !== undefined, walLost, logDamage),
      }
    })
  } catch (error) {
    await database.close()
    throw error
  }
}

const describe = (existed: boolean, walLost: boolean, logDamage: string | undefined): Recovery => {
  if (!existed) return { kind: 'created', message: 'store created' }
  if (walLost) {
    return { kind: 'repaired', message: 'the write-ahead log of the last run is missing: changes since its last checkpoint may be lost' }
  }
  if (logDamage !== undefined)
    return { kind: 'repaired', message: `the change log was damaged and is started anew (${logDamage}); no object is lost` }
  return { kind: 'clean', message: 'store is sound' }
}

/** `wrong` is what was found, in a few words. */
const fallBack = async (deps: RecoveryDeps, wrong: string): Promise<Recovered> => {
  const kept = await setAside(deps)
  const snapshot = await restoreSnapshot(deps)
  const recovered = await loadDatabase(deps, snapshot === undefined ? RESTORE_REVISION_STEP : undefined)
  const outcome = snapshot === undefined ? 'there is no good snapshot, so the store starts empty' : `restored ${snapshot}`
  return {
    ...recovered,
    recovery: { kind: 'restored', message: `database was damaged (${wrong}): ${outcome}; damaged files are in ${kept}`, kept },
  }
}

/** Loads what the directory holds; the caller has locked it. */
export const recover = async (deps: RecoveryDeps): Promise<Recovered> => {
  const file = join(deps.dir, DATABASE_FILE)
  const size = await sizeOf(file)
  const wal = await sizeOf(`${file}-wal`)
  try {
    if (size === undefined || (size === 0 && wal === undefined)) {
      if (wal !== undefined) return await fallBack(deps, `${DATABASE_FILE} is missing, its write-ahead log is there`)
      if ((await listSnapshots(deps.snapshotDir)).length > 0)
        return await fallBack(deps, `${DATABASE_FILE} is missing, snapshots are there`)
      return await loadDatabase(deps, 1)
    }
    return await loadDatabase(deps, undefined)
  } catch (error) {
    if (error instanceof DamageError) return await fallBack(deps, error.message)
    if (error instanceof ApiError) throw error
    const hint =
      error instanceof FormatError
        ? 'run the newer program, or restore a snapshot'
        : 'check permissions and free space of the data directory'
    throw new ApiError('ServiceUnavailable', `open store ${deps.dir}: ${messageOf(error)}`, { cause: error, hint })
  }
}
