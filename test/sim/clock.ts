// Clocks of simulated machines: wall time with an offset, drift and steps (a dead battery: 1970); monotonic time restarts at boot.
// Each process has a clock of its own: when it is killed its timers never fire and it can set no new ones.

import type { Clock } from '../../src/base/clock.ts'
import type { World } from './world.ts'

/** Where virtual time starts on a correct wall clock. */
export const WORLD_EPOCH_MS = Date.UTC(2026, 0, 1)

export interface ProcessClock extends Clock {
  readonly isAlive: boolean
  kill(): void
}

export interface MachineClock {
  /** The clock of a process started now. */
  process(): ProcessClock
  /** The wall clock jumps (NTP, a flat battery). */
  step(byMs: number): void
  /** Monotonic time begins anew; the processes of before have to be killed by whoever runs them. */
  boot(): void
}

export const createMachineClock = (world: World, options: { offsetMs?: number; driftPerMillion?: number } = {}): MachineClock => {
  const state = { offsetMs: options.offsetMs ?? 0, bootedAtMs: world.nowMs }
  const drift = (options.driftPerMillion ?? 0) / 1_000_000
  const now = (): number => WORLD_EPOCH_MS + Math.floor(world.nowMs * (1 + drift)) + state.offsetMs
  return {
    process() {
      const life = { alive: true }
      const after: Clock['after'] = (delayMs, fn) => {
        if (!life.alive) return () => {}
        return world.after(delayMs, () => {
          if (life.alive) fn()
        })
      }
      return {
        get isAlive() {
          return life.alive
        },
        kill() {
          life.alive = false
        },
        now,
        // Whole milliseconds, as the real one: with fractions a timer that is due could be planned again and again for no time at all.
        mono: () => Math.floor(world.nowMs - state.bootedAtMs),
        after,
        sleep: (delayMs, signal) =>
          new Promise(resolve => {
            const cancel = after(delayMs, resolve)
            signal?.addEventListener(
              'abort',
              () => {
                cancel()
                resolve()
              },
              { once: true },
            )
          }),
      }
    },
    step(byMs) {
      state.offsetMs += byMs
    },
    boot() {
      state.bootedAtMs = world.nowMs
    },
  }
}
