// Runs one session machine: inputs in order and never nested, one timer for whatever the machine plans next. The shell of both sides.

import type { Cancel, Clock } from '../base/clock.ts'

export interface PumpDeps<I, O> {
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly step: (input: I, nowMs: number) => readonly O[]
  readonly wakeAtMs: () => number | undefined
  readonly wake: I
  readonly carryOut: (output: O) => void
}

export interface Pump<I> {
  put(input: I): void
  /** No timer fires afterwards; inputs are still taken. */
  close(): void
}

export const createPump = <I, O>(deps: PumpDeps<I, O>): Pump<I> => {
  const queue: I[] = []
  const state: { running: boolean; closed: boolean; timer: { atMs: number; cancel: Cancel } | undefined } = {
    running: false,
    closed: false,
    timer: undefined,
  }
  const arm = (): void => {
    const atMs = state.closed ? undefined : deps.wakeAtMs()
    if (atMs === undefined) {
      state.timer?.cancel()
      state.timer = undefined
      return
    }
    // A timer that fires too early only looks again: a deadline that moves with every frame does not cost a timer each time.
    if (state.timer && state.timer.atMs <= atMs) return
    state.timer?.cancel()
    const delayMs = Math.max(0, Math.ceil(atMs - deps.clock.mono()))
    state.timer = {
      atMs,
      cancel: deps.clock.after(delayMs, () => {
        state.timer = undefined
        if (!state.closed) put(deps.wake)
      }),
    }
  }
  const put = (input: I): void => {
    queue.push(input)
    if (state.running) return
    state.running = true
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift())
        for (const output of deps.step(next, deps.clock.mono())) deps.carryOut(output)
    } finally {
      state.running = false
    }
    arm()
  }
  return {
    put,
    close() {
      state.closed = true
      state.timer?.cancel()
      state.timer = undefined
    },
  }
}
