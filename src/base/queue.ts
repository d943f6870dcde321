// The one work queue: a key is never in work twice, a key added while in work runs again afterwards, failures back off per key.
// Source: client-go util/workqueue. Time and timers come from the Clock; the queue itself never loops.

import type { BackoffPolicy } from './backoff.ts'
import { jitteredMs } from './backoff.ts'
import type { Cancel, Clock } from './clock.ts'
import type { Random } from './random.ts'

export interface Queue {
  /** Marks a key as having work. Deduplicates; while the key is in work it is run once more afterwards. */
  add(key: string): void
  /** Adds the key after a delay; a nearer pending delay of the same key wins. */
  addAfter(key: string, delayMs: number): void
  /** Adds the key after its backoff; each call without `forget` doubles the delay. */
  addFailed(key: string): void
  /** The key succeeded: its backoff starts anew. */
  forget(key: string): void
  /** The next key, now in work, or undefined when none waits. */
  take(): string | undefined
  /** Work on the key ended; it may be taken again. */
  done(key: string): void
  /** Keys waiting now (not counting delayed ones). */
  readonly length: number
  /** Stops all timers. */
  close(): void
}

export interface QueueDeps {
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly random: Random
  /** Called when the queue turns from empty to not empty. */
  readonly wake: () => void
}

export const RECONCILE_BACKOFF: BackoffPolicy = { baseMs: 10, capMs: 60_000 }

export const createQueue = (deps: QueueDeps, backoff: BackoffPolicy = RECONCILE_BACKOFF): Queue => {
  const waiting = new Set<string>()
  const inWork = new Set<string>()
  const dirty = new Set<string>()
  const failures = new Map<string, number>()
  const delayed = new Map<string, { atMs: number; cancel: Cancel }>()

  const add = (key: string): void => {
    if (inWork.has(key)) {
      dirty.add(key)
      return
    }
    if (waiting.has(key)) return
    waiting.add(key)
    if (waiting.size === 1) deps.wake()
  }
  const addAfter = (key: string, delayMs: number): void => {
    const atMs = deps.clock.mono() + delayMs
    const pending = delayed.get(key)
    if (pending) {
      if (pending.atMs <= atMs) return
      pending.cancel()
    }
    const cancel = deps.clock.after(delayMs, () => {
      delayed.delete(key)
      add(key)
    })
    delayed.set(key, { atMs, cancel })
  }
  return {
    add,
    addAfter,
    addFailed(key) {
      const attempt = failures.get(key) ?? 0
      failures.set(key, attempt + 1)
      addAfter(key, backoff.baseMs + jitteredMs(backoff, attempt, deps.random))
    },
    forget(key) {
      failures.delete(key)
    },
    take() {
      for (const key of waiting) {
        waiting.delete(key)
        inWork.add(key)
        return key
      }
      return undefined
    },
    done(key) {
      inWork.delete(key)
      if (dirty.delete(key)) add(key)
    },
    get length() {
      return waiting.size
    },
    close() {
      for (const { cancel } of delayed.values()) cancel()
      delayed.clear()
      waiting.clear()
    },
  }
}
