// A clock that moves when told, for shells whose machines plan minutes ahead. Callbacks get a turn of the microtask queue between timers.

import type { Clock } from '../../../src/base/clock.ts'

export interface ManualClock extends Clock {
  /** Runs every timer due within, in order. */
  pass(ms: number): Promise<void>
  /** Timers armed now. */
  readonly armed: number
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

export const manualClock = (): ManualClock => {
  const state = { nowMs: 0, seq: 0 }
  const timers = new Map<number, { readonly atMs: number; readonly fn: () => void }>()
  const after = (delayMs: number, fn: () => void): (() => void) => {
    const id = ++state.seq
    timers.set(id, { atMs: state.nowMs + Math.max(0, delayMs), fn })
    return () => void timers.delete(id)
  }
  return {
    now: () => Date.UTC(2026, 10, 22, 10) + state.nowMs,
    mono: () => state.nowMs,
    after,
    sleep: delayMs => new Promise(resolve => after(delayMs, resolve)),
    get armed() {
      return timers.size
    },
    async pass(ms) {
      const untilMs = state.nowMs + ms
      await turn()
      for (;;) {
        const [next] = [...timers].filter(([, timer]) => timer.atMs <= untilMs).sort((a, b) => a[1].atMs - b[1].atMs || a[0] - b[0])
        if (!next) break
        timers.delete(next[0])
        state.nowMs = Math.max(state.nowMs, next[1].atMs)
        next[1].fn()
        await turn()
      }
      state.nowMs = untilMs
    },
  }
}
