// Clocks of simulated machines: wall time with an offset, drift and steps (a dead battery: 1970); monotonic time restarts at boot.

import type { Clock } from '../../src/base/clock.ts'
import type { World } from './world.ts'

/** Where virtual time starts on a correct wall clock. */
export const WORLD_EPOCH_MS = Date.UTC(2026, 0, 1)

export interface SimClock extends Clock {
  /** The wall clock jumps (NTP, a flat battery). */
  setOffset(offsetMs: number): void
  /** The machine starts anew: monotonic time from 0, all its timers are gone. */
  boot(): void
  /** The machine or process is dead: its timers never fire. */
  halt(): void
}

export const createSimClock = (world: World, options: { offsetMs?: number; driftPerMillion?: number } = {}): SimClock => {
  const state = { offsetMs: options.offsetMs ?? 0, bootedAtMs: world.nowMs, life: 0 }
  const drift = (options.driftPerMillion ?? 0) / 1_000_000
  return {
    now: () => WORLD_EPOCH_MS + Math.floor(world.nowMs * (1 + drift)) + state.offsetMs,
    mono: () => world.nowMs - state.bootedAtMs,
    after(delayMs, fn) {
      const life = state.life
      return world.after(delayMs, () => {
        if (life === state.life) fn()
      })
    },
    sleep() {
      throw new Error('assertion failed: a simulated machine may not sleep; it asks for a timer')
    },
    setOffset(offsetMs) {
      state.offsetMs = offsetMs
    },
    boot() {
      state.life++
      state.bootedAtMs = world.nowMs
    },
    halt() {
      state.life++
    },
  }
}
