// Feeds inputs to the machine one after the other, hands its outputs on in order, and keeps its one alarm: none when nothing is due.

import type { Cancel, Clock } from '../base/clock.ts'
import { type DeviceState, type Input, type Output, step, wakeAtMs } from './machine.ts'

export interface Loop {
  send(input: Input): void
  /** Nothing is taken in any more. */
  close(): void
}

export const createLoop = (clock: Pick<Clock, 'now' | 'mono' | 'after'>, state: DeviceState, carry: (output: Output) => void): Loop => {
  const waiting: Input[] = []
  const at: { busy: boolean; closed: boolean; alarm: { atMs: number; cancel: Cancel } | undefined } = {
    busy: false,
    closed: false,
    alarm: undefined,
  }
  const arm = (): void => {
    const atMs = wakeAtMs(state)
    if (atMs === at.alarm?.atMs) return
    at.alarm?.cancel()
    at.alarm = atMs === undefined ? undefined : { atMs, cancel: clock.after(Math.max(0, atMs - clock.mono()), rung) }
  }
  const rung = (): void => {
    at.alarm = undefined
    send({ on: 'tick' })
  }
  const send = (input: Input): void => {
    if (at.closed) return
    waiting.push(input)
    if (at.busy) return
    at.busy = true
    try {
      for (let next = waiting.shift(); next; next = waiting.shift())
        for (const output of step(state, next, { wallMs: clock.now(), monoMs: clock.mono() })) carry(output)
    } finally {
      at.busy = false
    }
    arm()
  }
  return {
    send,
    close() {
      at.closed = true
      at.alarm?.cancel()
    },
  }
}
