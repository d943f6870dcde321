// What the store's tests stand on: a clock moved by hand, objects, and the two stores behind one face (SQLite in a temporary directory, memory).

import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import type { KubeObject } from '../../src/base/object.ts'
import { seededRandom } from '../../src/base/random.ts'
import { byteSealerOf } from '../../src/host/seal.ts'
import { createMemoryJournal, openStore, openStoreOn, type Sealing, type Store, type StoreEvent } from '../../src/store/store.ts'
import type { WindowBounds } from '../../src/store/window.ts'

export interface HandClock extends Clock {
  /** Timers that wait. */
  readonly waiting: number
  /** Moves time on, calling what falls due in order. */
  advance(ms: number): void
}

export const handClock = (): HandClock => {
  let nowMs = 0
  const timers = new Set<{ atMs: number; fn: () => void }>()
  return {
    now: () => Date.UTC(2026, 10, 22) + nowMs,
    mono: () => nowMs,
    after(delayMs, fn) {
      const timer = { atMs: nowMs + delayMs, fn }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    sleep: () => Promise.reject(new Error('the store does not sleep')),
    get waiting() {
      return timers.size
    },
    advance(ms) {
      const endMs = nowMs + ms
      for (;;) {
        const next = [...timers].filter(timer => timer.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
        if (!next) break
        timers.delete(next)
        nowMs = Math.max(nowMs, next.atMs)
        next.fn()
      }
      nowMs = endMs
    },
  }
}

/** Waits for a value that I/O brings about. */
export const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise(resolve => setImmediate(resolve))
}

export const configMap = (name: string, data: Record<string, string> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
  data,
})

export const dataOf = (object: KubeObject): Record<string, string> => object['data'] as Record<string, string>

/** A watcher that writes down what it hears. */
export const listen = (store: Store, prefix: string, fromRevision: number) => {
  const events: StoreEvent[] = []
  const closed: string[] = []
  const watch = store.watch({
    prefix,
    fromRevision,
    onEvents: batch => {
      events.push(...batch)
    },
    onClose: reason => {
      closed.push(reason)
    },
  })
  return { events, closed, close: watch.close }
}

export interface World {
  store: Store
  readonly clock: HandClock
  /** As after kill -9 now: what was not durable is gone. */
  crash(): Promise<void>
  /** Closes and opens. */
  reopen(): Promise<void>
  end(): Promise<void>
}

export interface WorldOptions {
  /** Values of current objects held in memory, where the store has a place for others. */
  readonly hotBytesMax?: number
  readonly window?: WindowBounds
  /** Where values can be sealed. */
  readonly sealing?: Sealing
  /** The disk refuses commits beyond this: memory counts a batch, SQLite the file. */
  readonly diskBytes?: number
}

export interface Backend {
  readonly name: string
  open(options?: WorldOptions): Promise<World>
}

export const memoryBackend: Backend = {
  name: 'memory',
  async open(options = {}) {
    const clock = handClock()
    const { hotBytesMax: _, sealing: __, diskBytes = Number.POSITIVE_INFINITY, ...rest } = options
    const deps = { clock, random: seededRandom('store'), log: silentLog, ...rest }
    let alive = {}
    const journal = createMemoryJournal({
      epoch: 'epoch',
      defer: (land, batch) => {
        const life = alive
        const bytes = batch.rows.reduce((sum, row) => sum + row.value.length, 0)
        setImmediate(() => {
          if (life === alive) land(bytes > diskBytes ? new Error('disk full') : undefined)
        })
      },
    })
    const start = (): Store => openStoreOn(deps, journal, journal.load())
    const world: World = {
      store: start(),
      clock,
      async crash() {
        alive = {}
        world.store = start()
      },
      async reopen() {
        await world.store.close()
        world.store = start()
      },
      end: () => world.store.close(),
    }
    return world
  },
}

export const temporaryDir = (): string => mkdtempSync(join(tmpdir(), 'helio-store-'))

/** Every value lies in the file of cold values as soon as it is written. */
export const coldBackend: Backend = {
  name: 'sqlite, all cold',
  open: (options = {}) => sqliteBackend.open({ hotBytesMax: 0, ...options }),
}

/** Seals the values of keys with these beginnings; the key is kept nowhere. */
export const sealingOf = (prefixes: readonly string[], key: number, more: Partial<Sealing> = {}): Sealing => ({
  prefixes,
  sealer: byteSealerOf(Buffer.alloc(32, key)),
  keyFile: '/keys/server.key',
  isNew: false,
  keep: () => undefined,
  ...more,
})

/** Every value is sealed wherever it leaves memory, and does so at once. */
export const sealedBackend: Backend = {
  name: 'sqlite, all sealed and cold',
  open: (options = {}) => sqliteBackend.open({ hotBytesMax: 0, sealing: sealingOf([''], 1), ...options }),
}

export const sqliteBackend: Backend = {
  name: 'sqlite',
  async open(options = {}) {
    const clock = handClock()
    const root = temporaryDir()
    let generation = 0
    const dir = (): string => join(root, String(generation))
    const { diskBytes, ...rest } = options
    const bound = diskBytes === undefined ? {} : { pagesMax: Math.floor(diskBytes / 4096) }
    const start = (): Promise<Store> => openStore({ dir: dir(), clock, random: seededRandom('store'), log: silentLog, ...bound, ...rest })
    const world: World = {
      store: await start(),
      clock,
      // The files as they are now, under another name, are what a killed process leaves behind.
      async crash() {
        const left = dir()
        const dead = world.store
        generation++
        cpSync(left, dir(), { recursive: true })
        world.store = await start()
        await dead.close()
      },
      async reopen() {
        await world.store.close()
        world.store = await start()
      },
      async end() {
        await world.store.close()
        rmSync(root, { recursive: true, force: true })
      },
    }
    return world
  },
}
