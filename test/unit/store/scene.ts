// A store with a past, as a killed process leaves it: part of it in the database file, part in the write-ahead log, two snapshots.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { openStore, type Store } from '../../../src/store/store.ts'
import { configMap, handClock } from '../../contract/store-world.ts'

/** Key and revision of each object, in key order. */
export type Picture = readonly (readonly [string, number])[]

export const pictureOf = (store: Store): Picture => store.list({ prefix: '' }).entries.map(entry => [entry.key, entry.revision] as const)

export const openAt = (dir: string, seed = 'later'): Promise<Store> =>
  openStore({ dir, clock: handClock(), random: seededRandom(seed), log: silentLog })

export interface Scene {
  readonly epoch: string
  /** After each durable write, the oldest first. */
  readonly history: readonly Picture[]
  /** How many of these writes are in the database file; the others are in the log. */
  readonly inFile: number
  readonly snapshots: readonly Picture[]
  /** A fresh copy of the directory. */
  copy(): string
  end(): void
}

export const createScene = async (): Promise<Scene> => {
  const root = mkdtempSync(join(tmpdir(), 'helio-scene-'))
  const dir = join(root, 'data')
  const history: Picture[] = []
  const snapshots: Picture[] = []
  let store = await openAt(dir, 'first')
  const { epoch } = store
  const write = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) {
      const key = `configmaps/default/n${i % 60}`
      const base = store.getStaged(key)
      const object = configMap(`n${i % 60}`, { i: String(i), text: 'lorem ipsum '.repeat(i % 50) })
      if (!base) await store.write({ do: 'create', key, object })
      else if (i % 7 === 0) await store.write({ do: 'delete', key })
      else await store.write({ do: 'update', key, object, expectRevision: base.revision })
      history.push(pictureOf(store))
    }
  }
  await write(0, 80)
  await store.snapshot()
  snapshots.push(pictureOf(store))
  await write(80, 170)
  await store.snapshot()
  snapshots.push(pictureOf(store))
  await write(170, 180)
  const inFile = history.length
  // A clean stop keeps what is newer than the last snapshot.
  await store.close()
  snapshots.push(pictureOf(store))
  store = await openAt(dir)
  await write(180, 190)
  const still = join(root, 'still')
  cpSync(dir, still, { recursive: true })
  await store.close()
  let copies = 0
  return {
    epoch,
    inFile,
    history,
    snapshots,
    copy() {
      const to = join(root, `copy-${copies++}`)
      cpSync(still, to, { recursive: true })
      return to
    },
    end: () => rmSync(root, { recursive: true, force: true }),
  }
}

/** Changes a file's bytes. */
export const rewrite = (file: string, change: (bytes: Buffer) => Buffer): void => writeFileSync(file, change(readFileSync(file)))
