// The pace of one client connection: it is read only while the device keeps up, written only as fast as the client reads, and closed
// after a long silence. One of these per connection, whatever its protocol.

import type { Writable } from 'node:stream'
import type { Cancel, Clock } from '../../base/clock.ts'
import { INBOUND_BYTES_MAX, PAUSED_PROBE_MS } from './limits.ts'

/** Stops and goes on reading a connection. */
export interface Reading {
  pause(): void
  resume(): void
  /** Sends something harmless: a connection that is not read shows only by writing that nobody is at its other end any more. */
  probe(): void
}

export interface InboundPace {
  /** Counts bytes until their taker has settled. */
  take(bytes: number, taken: Promise<void> | void): void
  /** The connection is over. */
  close(): void
}

/** Reads no more while the bytes on their way exceed the bound. */
export const createInboundPace = (clock: Pick<Clock, 'after'>, reading: Reading): InboundPace => {
  const state: { bytes: number; paused: boolean; cancel: Cancel } = { bytes: 0, paused: false, cancel: () => undefined }
  const probeLater = (): void => {
    state.cancel = clock.after(PAUSED_PROBE_MS, () => {
      reading.probe()
      probeLater()
    })
  }
  const done = (bytes: number) => (): void => {
    state.bytes -= bytes
    if (!state.paused || state.bytes > INBOUND_BYTES_MAX / 2) return
    state.paused = false
    state.cancel()
    reading.resume()
  }
  return {
    take(bytes, taken) {
      if (taken === undefined) return
      state.bytes += bytes
      // A taker that failed has taken as well: its stream is over.
      taken.then(done(bytes), done(bytes))
      if (state.paused || state.bytes <= INBOUND_BYTES_MAX) return
      state.paused = true
      reading.pause()
      probeLater()
    },
    close: () => state.cancel(),
  }
}

/** Settles when the stream wants more, or never will. Shared by all who wait, so that many writers cost one listener. */
export const createDrain = (stream: Writable): (() => Promise<void>) => {
  const state: { waiting: Promise<void> | undefined } = { waiting: undefined }
  return () => {
    if (stream.destroyed || !stream.writableNeedDrain) return Promise.resolve()
    state.waiting ??= new Promise(resolve => {
      const done = (): void => {
        stream.off('drain', done)
        stream.off('close', done)
        state.waiting = undefined
        resolve()
      }
      stream.on('drain', done)
      stream.on('close', done)
    })
    return state.waiting
  }
}

export interface IdleWatch {
  /** Something was carried. */
  touch(): void
  close: Cancel
}

/** Calls `expired` once nothing was carried for `idleMs`. A timer that fires looks when it was last touched, so touching costs nothing. */
export const watchIdle = (clock: Pick<Clock, 'mono' | 'after'>, idleMs: number, expired: () => void): IdleWatch => {
  const state: { touchedMs: number; cancel: Cancel } = { touchedMs: clock.mono(), cancel: () => undefined }
  const arm = (afterMs: number): void => {
    state.cancel = clock.after(afterMs, () => {
      const leftMs = state.touchedMs + idleMs - clock.mono()
      if (leftMs <= 0) expired()
      else arm(leftMs)
    })
  }
  arm(idleMs)
  return {
    touch() {
      state.touchedMs = clock.mono()
    },
    close: () => state.cancel(),
  }
}
