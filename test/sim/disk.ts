// A disk of the simulated world: a write is pending until it has landed, writes land in order, and a crash keeps a drawn prefix of what
// was pending, without anyone hearing of it.

import type { Random } from '../../src/base/random.ts'
import type { World } from './world.ts'

export interface DiskShape {
  /** Until a write is durable, ms: inclusive below, exclusive above. */
  readonly syncMs: readonly [number, number]
}

export const FLASH: DiskShape = { syncMs: [2, 42] }
export const SSD: DiskShape = { syncMs: [1, 13] }

export interface SimDisk {
  /** `land` makes it durable; `done` tells the process that asked. */
  write(land: () => void, done: () => void): void
  /** The power or the process goes: some of what is pending lands, none of it is told. */
  crash(): void
  readonly pending: number
  /** Calls back once, at the next write, before it has landed. */
  onWrite(fn: () => void): void
}

export const createSimDisk = (world: World, random: Random, shape: DiskShape): SimDisk => {
  let pending: { readonly land: () => void; readonly cancel: () => void }[] = []
  let freeAtMs = 0
  let watching: (() => void)[] = []
  return {
    onWrite: fn => void watching.push(fn),
    get pending() {
      return pending.length
    },
    write(land, done) {
      const [low, high] = shape.syncMs
      freeAtMs = Math.max(freeAtMs, world.nowMs) + low + random.int(high - low)
      const cancel = world.after(freeAtMs - world.nowMs, () => {
        pending = pending.filter(one => one.cancel !== cancel)
        land()
        done()
      })
      pending.push({ land, cancel })
      for (const fn of watching.splice(0)) fn()
    },
    crash() {
      const kept = pending.length === 0 ? 0 : random.int(pending.length + 1)
      if (kept > 0) world.mark('a write landed unheard before a crash')
      if (kept < pending.length) world.mark('a write was lost in a crash')
      for (const [index, { land, cancel }] of pending.entries()) {
        cancel()
        if (index < kept) land()
      }
      pending = []
      watching = []
      freeAtMs = world.nowMs
    },
  }
}
