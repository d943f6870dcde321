// The shell around the state machine: the real journal or one in memory, snapshots, the lock, promises.

import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { ApiError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { type Random, uuid } from '../base/random.ts'
import { type Codec, createCodec, type Sealing, sealedCold } from './codec.ts'
import { type Core, createCore } from './core.ts'
import { dataFiles } from './data-files.ts'
import { isSafeVersion, sqliteVersion } from './database.ts'
import { createAdmission } from './hot.ts'
import type { Journal, Loaded } from './journal.ts'
import { CLOSING_SNAPSHOT_BYTES_MAX, HOT_BYTES_MAX } from './limits.ts'
import { lockDirectory } from './lock.ts'
import { createMemoryJournal } from './memory-journal.ts'
import { type Era, eraOf } from './meta.ts'
import { type Recovered, recover } from './recovery.ts'
import { createSnapshotSchedule } from './snapshot-schedule.ts'
import { listSnapshots, writeSnapshot } from './snapshots.ts'
import { createSpill, type Spill } from './spill.ts'
import { createSqliteJournal } from './sqlite-journal.ts'
import type { Recovery, Store } from './store.ts'
import type { WindowBounds } from './window.ts'

export interface StoreDeps {
  readonly clock: Pick<Clock, 'now' | 'mono' | 'after'>
  readonly random: Random
  readonly log: Log
  /** Bounds of the event window, for tests that want a small one. */
  readonly window?: WindowBounds
}

export interface OpenStoreDeps extends StoreDeps {
  /** The data directory's part for the store; created when absent. Holds store.db, snapshots/, store.lock and damaged-…/. */
  readonly dir: string
  /** Values of current objects held in memory; the others lie in a file without a name in `dir`. */
  readonly hotBytesMax?: number
  /** Which values are sealed on disk, and with what; none when absent. */
  readonly sealing?: Sealing
  /** Bound of the database file in pages of 4 KiB. */
  readonly pagesMax?: number
}

export interface StoreShell {
  readonly core: Core
  readonly era: Era
  readonly recovery: Recovery
  readonly snapshot: () => Promise<string>
  /** Lets go of what stands behind the core; called once, after the last flush. */
  readonly release: () => Promise<void>
}

/** The door's promises over a core's callbacks. */
export const createStore = ({ core, era, recovery, snapshot, release }: StoreShell): Store => {
  let closing: Promise<void> | undefined
  const flush = (): Promise<void> => new Promise((resolve, reject) => core.flush(error => (error ? reject(error) : resolve())))
  const close = async (): Promise<void> => {
    core.seal()
    try {
      await flush()
    } finally {
      core.close()
      await release()
    }
  }
  return {
    get revision() {
      return core.revision
    },
    ...eraOf(era),
    recovery,
    stats: core.stats,
    get problem() {
      return core.problem
    },
    get: key => core.get(key),
    getStaged: key => core.getStaged(key),
    list: options => core.reader.list(options),
    count: prefix => core.reader.count(prefix),
    write: write => new Promise((resolve, reject) => core.write(write, (error, entry) => (error ? reject(error) : resolve(entry!)))),
    watch: options => core.watch(options),
    flush,
    snapshot,
    close: () => {
      closing ??= close()
      return closing
    },
  }
}

const refuseOldSqlite = (): void => {
  if (isSafeVersion(sqliteVersion())) return
  throw new ApiError('InternalError', `open store: SQLite ${sqliteVersion()} can lose committed writes`, {
    hint: 'use SQLite 3.51.3 or newer (or 3.50.7, 3.44.6)',
  })
}

const assemble = async (
  deps: OpenStoreDeps,
  snapshotDir: string,
  { database, loaded, recovery }: Recovered,
  { cold: spill, codec, unlock }: { readonly cold: Spill; readonly codec: Codec; readonly unlock: () => Promise<void> },
): Promise<Store> => {
  // What is used later must not hold on to all that was loaded.
  const era = eraOf(loaded)
  const journal = await createSqliteJournal(database, era, codec)
  const closing = new AbortController()
  const schedule = createSnapshotSchedule({
    ...deps,
    first: (await listSnapshots(snapshotDir)).length === 0,
    write: () => writeSnapshot(snapshotDir, { ...era, ...core.entries(), codec }),
    trim: () => journal.trim(closing.signal),
  })
  const committed = (durableWrites: number, bytes: number): void => {
    if (durableWrites > 0) schedule.written(bytes)
  }
  const core = createCore({ ...deps, journal, cold: sealedCold(spill, codec), committed }, loaded)
  return createStore({
    core,
    era,
    recovery,
    snapshot: schedule.now,
    async release() {
      closing.abort()
      try {
        await schedule.close(core.bytes <= CLOSING_SNAPSHOT_BYTES_MAX)
        await journal.close(core.revision)
      } finally {
        spill.clear()
        await unlock()
      }
    },
  })
}

/**
 * Opens or creates the store in a directory and takes the directory's lock. Rejects with an ApiError and a hint when another process has it,
 * or when the disk refuses; never for damaged files (see `recovery`).
 */
export const openStore = async (deps: OpenStoreDeps): Promise<Store> => {
  refuseOldSqlite()
  await mkdir(deps.dir, { recursive: true, mode: 0o700 })
  await chmod(deps.dir, 0o700)
  const files = dataFiles(deps.dir, () => new Date(deps.clock.now()).toISOString().replaceAll(/[-:]|\.\d+/g, ''))
  const lock = await lockDirectory(deps.dir)
  const cold = createSpill(join(deps.dir, 'store.cold'))
  const codec = createCodec(deps.sealing)
  try {
    const recovered = await recover({
      files,
      newEpoch: () => uuid(deps.random),
      log: deps.log,
      codec,
      admission() {
        cold.clear()
        return createAdmission({ cold: sealedCold(cold, codec), bytesMax: deps.hotBytesMax ?? HOT_BYTES_MAX })
      },
      ...(deps.pagesMax === undefined ? {} : { pagesMax: deps.pagesMax }),
    })
    const { kind, message } = recovered.recovery
    if (kind === 'restored' || kind === 'repaired') deps.log.error('store recovered', { kind, cause: message })
    return await assemble(deps, files.snapshotDir, recovered, { cold, codec, unlock: lock.release })
  } catch (error) {
    cold.clear()
    await lock.release()
    throw error
  }
}

/** A store on any journal, without files: the simulator's and the tests' way in. `loaded` is what that journal holds. */
export const openStoreOn = (deps: StoreDeps, journal: Journal, loaded: Loaded): Store => {
  const core = createCore({ ...deps, journal }, loaded)
  return createStore({
    core,
    era: loaded,
    recovery: { kind: loaded.durable === 1 ? 'created' : 'clean', message: 'store is in memory' },
    snapshot: () => Promise.reject(new ApiError('MethodNotAllowed', 'write snapshot: the store is in memory')),
    release: () => Promise.resolve(),
  })
}

/** An empty store in memory; commits land in the next microtask. */
export const openMemoryStore = (deps: StoreDeps): Store => {
  const epoch = uuid(deps.random)
  const journal = createMemoryJournal({ epoch, defer: land => queueMicrotask(land) })
  return openStoreOn(deps, journal, journal.load())
}
