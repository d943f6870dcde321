// The real clock. The only place that reads time or sets a timer.

import { performance } from 'node:perf_hooks'
import type { Clock } from '../base/clock.ts'

/** Node's timers wrap above 2^31-1 ms; longer delays are chained. */
const TIMER_MS_MAX = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
  after(delayMs, fn) {
    let timer: NodeJS.Timeout
    const arm = (left: number): void => {
      timer = left > TIMER_MS_MAX ? setTimeout(() => arm(left - TIMER_MS_MAX), TIMER_MS_MAX) : setTimeout(fn, left)
    }
    arm(Math.max(0, delayMs))
    return () => clearTimeout(timer)
  },
  sleep(delayMs, signal) {
    return new Promise(resolve => {
      if (signal?.aborted) return resolve()
      const done = (): void => {
        cancel()
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const cancel = systemClock.after(delayMs, done)
      signal?.addEventListener('abort', done, { once: true })
    })
  },
}
