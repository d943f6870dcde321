// From the files of a data directory to a loaded database, whatever state they are in. Damaged files are set aside, the newest snapshot
// that verifies takes their place, with a new epoch; without one the store starts empty and says so. Never fails for damage, so a
// server never boot-loops; fails only for what an operator has to fix (permissions, a full disk, a newer format).

import { join } from 'node:path'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Codec } from './codec.ts'
import { blamingFile, DamageError, FormatError, KeyError } from './damage.ts'
import { copyAside, type DataFiles, installDraft, setAside, sizeOf } from './data-files.ts'
import { type Database, openDatabase } from './database.ts'
import type { Admit } from './hot.ts'
import type { Loaded } from './journal.ts'
import { CEILING_STEP } from './limits.ts'
import { loadAll } from './load.ts'
import { eraOf, metaText, readMeta, revisionAfterRestore, WRITE_META } from './meta.ts'
import { sealOldFiles } from './seal-old.ts'
import { listSnapshots, verifySnapshot, writeDatabase } from './snapshots.ts'
import { markClosed, markOpen, openForWriting } from './sqlite-journal.ts'
import type { Recovery } from './store.ts'
import { inspectWal } from './wal.ts'

export interface RecoveryDeps {
  readonly files: DataFiles
  /** A fresh epoch for a store that is new or went back in time. */
  readonly newEpoch: () => string
  readonly log: Log
  readonly pagesMax?: number
  /** A new reading of the values begins: all that was put away before is forgotten. Says of each where it lies from now on. */
  readonly admission: () => Admit
  readonly codec: Codec
}

export interface Recovered {
  readonly database: Database
  readonly loaded: Loaded
  readonly recovery: Recovery
}

/** An empty database in place; after a loss its revisions begin where none were handed out before. */
const createEmpty = ({ files, newEpoch, codec }: RecoveryDeps, isFirst: boolean): Promise<void> => {
  const epoch = newEpoch()
  const revision = isFirst ? 1 : revisionAfterRestore(0, epoch)
  return installDraft(files, draft => writeDatabase(draft, { epoch, base: 0, revision, ceiling: revision, entries: [], codec }, false))
}

/** Puts the newest snapshot that verifies in the database's place; returns its name. Undefined when there is none. */
const restoreSnapshot = async ({ files, newEpoch, log }: RecoveryDeps): Promise<string | undefined> => {
  for (const name of await listSnapshots(files.snapshotDir)) {
    const snapshot = join(files.snapshotDir, name)
    let known: number
    try {
      known = (await verifySnapshot(snapshot)).revision
    } catch (error) {
      if (!(error instanceof DamageError)) throw error
      log.error('snapshot is damaged', { name, cause: error.message })
      continue
    }
    await installDraft(files, async (draft, copy) => {
      await copy(snapshot)
      const database = await openDatabase(draft)
      try {
        const { ceiling } = await readMeta(database)
        const epoch = newEpoch()
        await database.run(WRITE_META, [metaText({ epoch, base: known, ceiling: revisionAfterRestore(ceiling, epoch), open: false })])
      } finally {
        await database.close()
      }
    })
    return name
  }
  return undefined
}

/** Why the state of an unclean end may be older than what was acknowledged; undefined when it is not. */
const lostCommits = async ({ files, log }: RecoveryDeps, wasOpen: boolean, wal: Wal): Promise<string | undefined> => {
  if (!wasOpen) return undefined
  if (!wal.present) return 'the write-ahead log of the last run is missing'
  if (wal.commitsBehind > 1) return `the write-ahead log is damaged before its last ${wal.commitsBehind} commits`
  if (wal.commitsBehind === 1) log.info('last commit in the write-ahead log is torn', { file: files.wal })
  return undefined
}

interface Wal {
  readonly present: boolean
  /** One is what a power cut may leave of a commit nobody was answered for; more were answered. */
  readonly commitsBehind: number
}

/** Opens, checks and loads the database file as it is. Throws DamageError. Leaves nothing open when it throws. */
const loadDatabase = async (deps: RecoveryDeps): Promise<Recovered> => {
  const { files } = deps
  const present = ((await sizeOf(files.wal)) ?? 0) > 0
  const wal: Wal = { present, commitsBehind: present ? (await inspectWal(files.wal)).commitsBehind : 0 }
  const kept = wal.commitsBehind > 1 ? await copyAside(files) : undefined
  const database = await blamingFile(() => openForWriting(files.database, deps.pagesMax))
  try {
    return await blamingFile(async () => {
      const meta = await readMeta(database)
      const { loaded, logDamage } = await loadAll(database, meta, { admit: deps.admission(), codec: deps.codec })
      deps.codec.sealing?.keep()
      const lost =
        meta.snapshot === undefined
          ? await lostCommits(deps, meta.open, wal)
          : `store.db is a snapshot of revision ${meta.snapshot} that was put in its place`
      const era = lost === undefined ? eraOf(meta) : { epoch: deps.newEpoch(), base: meta.snapshot ?? loaded.durable }
      const revision = lost === undefined ? loaded.revision : revisionAfterRestore(loaded.revision, era.epoch)
      const ceiling = revision + CEILING_STEP
      if (logDamage !== undefined) await database.exec('DELETE FROM log')
      await sealOldFiles(deps, database, () => markClosed(database, era, ceiling))
      await markOpen(database, era, ceiling)
      const fresh = lost !== undefined || logDamage !== undefined
      const restart = { log: [], floor: revision, durable: revision, olderRows: logDamage === undefined ? loaded.logRows : 0 }
      return {
        database,
        loaded: { ...loaded, ...era, revision, ceiling, ...(fresh ? restart : {}) },
        recovery: describe(lost, logDamage, kept),
      }
    })
  } catch (error) {
    await database.close()
    throw error
  }
}

const describe = (lost: string | undefined, logDamage: string | undefined, kept: string | undefined): Recovery => {
  if (lost !== undefined) {
    const where = kept === undefined ? '' : `; a copy of the files is in ${kept}`
    return { kind: 'repaired', message: `${lost}: the newest changes may be lost${where}`, ...(kept === undefined ? {} : { kept }) }
  }
  if (logDamage !== undefined) {
    return { kind: 'repaired', message: `the change log was damaged (${logDamage}) and starts anew; no object is lost` }
  }
  return { kind: 'clean', message: 'store is sound' }
}

/** `wrong` is what was found, in a few words. */
const fallBack = async (deps: RecoveryDeps, wrong: string): Promise<Recovered> => {
  const kept = await setAside(deps.files)
  const snapshot = await restoreSnapshot(deps)
  if (snapshot === undefined) await createEmpty(deps, false)
  const outcome = snapshot === undefined ? 'there is no good snapshot, so the store starts empty' : `restored ${snapshot}`
  const message = `database was damaged (${wrong}): ${outcome}; damaged files are in ${kept}`
  try {
    return { ...(await loadDatabase(deps)), recovery: { kind: 'restored', message, kept } }
  } catch (error) {
    // The next start, with the right key, finds nothing wrong any more.
    if (error instanceof KeyError) deps.log.error(message)
    throw error
  }
}

const recoverFiles = async (deps: RecoveryDeps): Promise<Recovered> => {
  const { files } = deps
  if ((await sizeOf(files.database)) === undefined) {
    if (((await sizeOf(files.wal)) ?? 0) > 0) return fallBack(deps, 'store.db is missing, its write-ahead log is there')
    if ((await listSnapshots(files.snapshotDir)).length > 0) return fallBack(deps, 'store.db is missing, snapshots are there')
    await createEmpty(deps, true)
    return { ...(await loadDatabase(deps)), recovery: { kind: 'created', message: 'store created' } }
  }
  try {
    return await loadDatabase(deps)
  } catch (error) {
    if (error instanceof DamageError) return fallBack(deps, error.message)
    throw error
  }
}

/** Loads what the directory holds; the caller has locked it. Rejects with an ApiError and a hint for what only an operator can fix. */
export const recover = async (deps: RecoveryDeps): Promise<Recovered> => {
  try {
    return await recoverFiles(deps)
  } catch (error) {
    const hint =
      error instanceof FormatError
        ? 'run the newer program, or restore a snapshot'
        : error instanceof KeyError
          ? 'nothing was changed; put the key file that belongs to this data back, or name it with --secret-key-file'
          : 'check permissions and free space of the data directory'
    throw new ApiError('ServiceUnavailable', `open store ${deps.files.dir}: ${messageOf(error)}`, { cause: error, hint })
  }
}
