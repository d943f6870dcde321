// Checks of the store as its watchers see it, over all lives of the server: revisions strictly rise, an all-keys watcher gets each event
// once and in order or is told to list again, histories are linear, counted numbers lose no update, finalizers hold.

import { isReason } from '../../src/base/errors.ts'
import type { KubeObject } from '../../src/base/object.ts'
import type { StoreEvent } from '../../src/store/store.ts'
import { COUNTER } from './manifest.ts'
import type { ServerProcess, SimServer } from './server.ts'
import type { World } from './world.ts'

const COUNTER_KEY = `//configmaps/${COUNTER.metadata.namespace}/${COUNTER.metadata.name}`
const ORDER = 'watchers get every revision once, in order'

export interface History {
  /** Compares what the watchers were told with what is there. */
  finish(): void
  /** The counted number now. */
  readonly counted: number
  /** Increments that a restore forgot. */
  readonly forgotten: number
}

/** One watcher of everything that resumes where it was, whatever becomes of the server. */
const createWatcher = (world: World, name: string, onEvent: (event: StoreEvent, before: number | undefined) => void) => {
  const model = new Map<string, number>()
  const state = { seen: 0, epoch: '', startedAt: 0, watch: undefined as { close(): void } | undefined }
  const take = (event: StoreEvent): void => {
    const before = model.get(event.key)
    const told = `${name}: ${event.revision} ${event.type} ${event.key}`
    if (event.revision <= state.seen) world.fail(ORDER, `${told} after ${state.seen}`)
    // Of the time before the last start only the newest of several lazy writes is told, as what it was.
    const isPast = event.revision <= state.startedAt
    if (!isPast && (event.type === 'ADDED') !== (before === undefined)) world.fail(ORDER, `${told}, but it was known at ${before}`)
    if (event.previous && event.previous.revision !== before) world.fail(ORDER, `${told} follows ${event.previous.revision}, not ${before}`)
    if (event.object.metadata.resourceVersion !== String(event.revision)) world.fail(ORDER, `${told} carries another resourceVersion`)
    state.seen = event.revision
    if (event.type === 'DELETED') model.delete(event.key)
    else model.set(event.key, event.revision)
    onEvent(event, before)
  }
  const relist = ({ store }: ServerProcess): void => {
    const { entries, revision } = store.list({ prefix: '' })
    // Another epoch counts from anywhere: what matters is that nobody is resumed across it.
    if (store.epoch === state.epoch && revision < state.seen)
      world.fail('revisions never go back', `${name}: listed at ${revision}, saw ${state.seen} before`)
    state.seen = revision
    state.epoch = store.epoch
    model.clear()
    for (const entry of entries) model.set(entry.key, entry.revision)
  }
  const watch = (process: ServerProcess): void => {
    state.startedAt = process.startedAt
    state.watch = process.store.watch({
      prefix: '',
      fromRevision: state.seen,
      onEvents(events) {
        if (process.clock.isAlive) for (const event of events) take(event)
      },
      onClose: reason => world.fail(ORDER, `${name}: the watch was closed: ${reason}`),
    })
  }
  return {
    resume(process: ServerProcess): void {
      if (state.seen === 0) relist(process)
      try {
        watch(process)
        if (state.epoch !== process.store.epoch) world.fail(ORDER, `${name}: a watch went on over a restore`)
      } catch (error) {
        if (!isReason(error, 'Expired')) throw error
        world.mark('a watch was expired')
        relist(process)
        watch(process)
      }
    },
    pause: () => state.watch?.close(),
    finish(process: ServerProcess): void {
      const { entries } = process.store.list({ prefix: '' })
      const missing = entries.filter(entry => model.get(entry.key) !== entry.revision).map(entry => entry.key)
      if (missing.length > 0 || entries.length !== model.size)
        world.fail(
          ORDER,
          `${name}: told of ${model.size} objects, there are ${entries.length}; differing: ${missing.slice(0, 5).join(' ')}`,
        )
    },
  }
}

const finalizersOf = (object: KubeObject): readonly string[] => object.metadata.finalizers ?? []
const PAUSE_MS = 120_000

export const startHistory = (world: World, server: SimServer): History => {
  const random = world.random.fork('history')
  const counter = { n: 0, forgotten: 0, restores: 0 }
  const count = (object: KubeObject, isNext: boolean): void => {
    const n = Number((object as KubeObject & { data: { n: string } }).data.n)
    const isRight = isNext ? n === counter.n + 1 || (n === 0 && counter.n === 0) : n >= counter.n
    if (!isRight) world.fail('no update is lost', `the counter went from ${counter.n} to ${n}`)
    counter.n = n
  }
  const everything = createWatcher(world, 'the watcher', event => {
    world.trace(`${event.revision} ${event.type} ${event.key}`)
    if (event.key === COUNTER_KEY) count(event.object, true)
    if (event.type === 'DELETED' && finalizersOf(event.object).length > 0)
      world.fail('finalizers hold', `${event.key} was removed with ${finalizersOf(event.object).join(', ')}`)
  })
  const sleeper = createWatcher(world, 'the watcher that pauses', () => {})
  const state = { isPaused: false, isOver: false }
  const turn = (): void =>
    void world.after(random.int(PAUSE_MS), () => {
      if (state.isOver) return
      state.isPaused = !state.isPaused
      if (state.isPaused) sleeper.pause()
      else if (server.process) sleeper.resume(server.process)
      turn()
    })
  turn()
  server.onStart(process => {
    everything.resume(process)
    if (!state.isPaused) sleeper.resume(process)
    const stored = process.store.get(COUNTER_KEY)
    if (server.restores > counter.restores && stored) {
      const n = Number((stored.object as KubeObject & { data: { n: string } }).data.n)
      Object.assign(counter, { restores: server.restores, forgotten: counter.forgotten + counter.n - n, n })
    }
    if (stored) count(stored.object, false)
  })
  return {
    get counted() {
      return counter.n
    },
    get forgotten() {
      return counter.forgotten
    },
    finish() {
      state.isOver = true
      const { process } = server
      if (!process) return
      everything.finish(process)
      if (state.isPaused) sleeper.resume(process)
      sleeper.finish(process)
    },
  }
}
