// Two ends of a connection in one process, for tests and the simulated world: frames are copied, in order, never within the call that
// sent them. With a clock they take as long as `delayMs` says.

import type { Clock } from '../../base/clock.ts'
import { FRAME_BYTES_MAX, QUEUE_BYTES_MAX } from '../limits.ts'
import type { Connection, Dialer } from '../link.ts'

export interface MemoryOptions {
  readonly clock?: Pick<Clock, 'mono' | 'after'>
  /** How long a frame of so many bytes travels; frames never overtake each other. 0 when absent. */
  readonly delayMs?: (bytes: number) => number
}

interface End extends Connection {
  queuedBytes: number
  over: boolean
}

/** The two ends. */
export const memoryPair = (options: MemoryOptions = {}): readonly [Connection, Connection] => {
  const lastMs = { a: 0, b: 0 }
  const later = (side: 'a' | 'b', bytes: number, fn: () => void): void => {
    const { clock, delayMs } = options
    if (!clock) {
      queueMicrotask(fn)
      return
    }
    const atMs = Math.max(lastMs[side], clock.mono() + (delayMs?.(bytes) ?? 0))
    lastMs[side] = atMs
    clock.after(atMs - clock.mono(), fn)
  }
  const finish = (end: End, reason: string): void => {
    if (end.over) return
    end.over = true
    queueMicrotask(() => end.onClose(reason))
  }
  const makeEnd = (side: 'a' | 'b', other: () => End): End => {
    const end: End = {
      queuedBytes: 0,
      over: false,
      onFrame: () => {},
      onClose: () => {},
      send(frame) {
        if (end.over) return
        const bytes = Buffer.byteLength(frame)
        if (end.queuedBytes + bytes > QUEUE_BYTES_MAX) {
          end.close('slow')
          return
        }
        end.queuedBytes += bytes
        later(side, bytes, () => {
          end.queuedBytes -= bytes
          if (end.queuedBytes === 0 && !end.over) end.onDrain?.()
          if (other().over) return
          if (bytes > FRAME_BYTES_MAX) other().close('protocol: a frame is too large')
          else other().onFrame(frame)
        })
      },
      close(reason) {
        if (end.over) return
        finish(end, reason)
        // What was sent before still arrives.
        later(side, 0, () => finish(other(), reason))
      },
    }
    return end
  }
  const a: End = makeEnd('a', () => b)
  const b: End = makeEnd('b', () => a)
  return [a, b]
}

/** Dials by handing the other end to `accept`; rejects while `reachable` says no. */
export const memoryDialer = (
  accept: (connection: Connection) => void,
  options: MemoryOptions & { readonly reachable?: () => boolean } = {},
): Dialer => ({
  async dial(signal) {
    if (options.reachable?.() === false) throw new Error('dial server: no route')
    const [mine, theirs] = memoryPair(options)
    await Promise.resolve()
    if (signal.aborted) throw new Error('dial server: given up')
    accept(theirs)
    return mine
  },
})
