// One controller's work: which keys wait, which may run now, and what a run's end means for its key. Conflicts come back soon and
// silently, failures back off and are logged once, and nothing runs on a view older than what it wrote itself.

import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { createQueue } from '../base/queue.ts'
import type { Random } from '../base/random.ts'
import type { Controller, View } from '../controllers/controller.ts'

export interface WorkerDeps {
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly random: Random
  readonly log: Log
  readonly view: Pick<View, 'revision'>
  /** Called when there is work again. */
  readonly wake: () => void
}

/** How a run of a key ended. */
export interface RunEnd {
  /** The view must have reached this before the key may run again. */
  readonly revision: number
  readonly conflicts: number
  /** The first refusal that was no conflict. */
  readonly error: string | undefined
  readonly againMs: number | undefined
}

export interface Worker {
  readonly controller: Controller
  /** Keys waiting now. */
  readonly waiting: number
  add(key: string): void
  /** The next key that may run; those that may not yet come back by themselves. */
  take(): string | undefined
  ended(key: string, end: RunEnd): void
  /** The view moved on: keys that waited for it may run. */
  moved(): void
  close(): void
}

export const createWorker = (controller: Controller, deps: WorkerDeps): Worker => {
  const queue = createQueue({ clock: deps.clock, random: deps.random, wake: deps.wake })
  const floors = new Map<string, number>()
  const parked = new Set<string>()
  const gap = createGap(controller.gapMs ?? 0, deps.clock)
  const failing = new Set<string>()
  let isClosed = false

  const mayRun = (key: string): boolean => {
    if ((floors.get(key) ?? 0) > deps.view.revision) {
      parked.add(key)
      return false
    }
    floors.delete(key)
    const leftMs = gap.leftMs(key)
    if (leftMs > 0) queue.addAfter(key, leftMs)
    return leftMs <= 0
  }
  const failed = (key: string, message: string): void => {
    const fields = { controller: controller.name, key, message }
    if (failing.has(key)) deps.log.debug('reconcile failed again', fields)
    else deps.log.error('reconcile failed', fields)
    failing.add(key)
    queue.addFailed(key)
  }
  return {
    controller,
    get waiting() {
      return queue.length
    },
    add: key => queue.add(key),
    take() {
      for (let key = queue.take(); key !== undefined; key = queue.take()) {
        if (mayRun(key)) return key
        queue.done(key)
      }
      return undefined
    },
    ended(key, { revision, conflicts, error, againMs }) {
      if (isClosed) return
      gap.ran(key)
      if (revision > deps.view.revision) floors.set(key, revision)
      if (error !== undefined) failed(key, error)
      else if (conflicts > 0) queue.addFailed(key)
      else {
        queue.forget(key)
        failing.delete(key)
        if (againMs !== undefined) queue.addAfter(key, againMs)
      }
      queue.done(key)
    },
    moved() {
      for (const key of parked) {
        if ((floors.get(key) ?? 0) > deps.view.revision) continue
        parked.delete(key)
        queue.add(key)
      }
    },
    close() {
      isClosed = true
      queue.close()
    },
  }
}

/** Remembers when keys ran last, as long as that matters. */
const createGap = (gapMs: number, clock: Pick<Clock, 'mono'>): { leftMs(key: string): number; ran(key: string): void } => {
  const ranAtMs = new Map<string, number>()
  return {
    leftMs: key => (gapMs === 0 ? 0 : (ranAtMs.get(key) ?? Number.NEGATIVE_INFINITY) + gapMs - clock.mono()),
    ran(key) {
      if (gapMs === 0) return
      const nowMs = clock.mono()
      ranAtMs.delete(key)
      ranAtMs.set(key, nowMs)
      // In order of time: what is past its gap stands at the front.
      for (const [old, atMs] of ranAtMs) {
        if (atMs + gapMs > nowMs) return
        ranAtMs.delete(old)
      }
    },
  }
}
