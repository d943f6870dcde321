// What goes into a connection first: frames wait here by priority, not in the transport's queue, so that a status is never behind more than
// the one bulk frame that is on its way. Control goes at once. The bound is that of the transport's queue: above it the connection closes.

import type { Cancel, Clock } from '../base/clock.ts'
import { PRIORITIES, type Priority, QUEUE_BYTES_MAX, SEND_AHEAD_BYTES, SEND_LOOK_MS } from './limits.ts'
import type { Connection } from './link.ts'

export interface Writer {
  /** Sends now or when those before it have gone; frames of one priority stay in order. */
  send(frame: string, priority: Priority): void
  /** The connection is over, or about to be closed: what waits and is no bulk goes out, the rest is dropped. */
  end(): void
}

/** Frames that wait, by priority; made when the first has to, since most connections never need it. */
const createWaiting = () => {
  const lanes = PRIORITIES.map(() => [] as string[])
  const state = { bytes: 0 }
  return {
    state,
    put(frame: string, priority: Priority): void {
      lanes[PRIORITIES.indexOf(priority)]!.push(frame)
      state.bytes += frame.length
    },
    take(): string | undefined {
      const frame = lanes.find(lane => lane.length > 0)?.shift()
      state.bytes -= frame?.length ?? 0
      return frame
    },
    dropBulk(): void {
      const bulk = lanes.at(-1)!
      for (const frame of bulk.splice(0)) state.bytes -= frame.length
    },
  }
}

export const createWriter = (connection: Connection, clock: Pick<Clock, 'after'>): Writer => {
  const state: { waiting: ReturnType<typeof createWaiting> | undefined; look: Cancel | undefined; over: boolean } = {
    waiting: undefined,
    look: undefined,
    over: false,
  }
  const flush = (): void => {
    state.look?.()
    state.look = undefined
    const { waiting } = state
    if (!waiting || state.over) return
    while (connection.queuedBytes < SEND_AHEAD_BYTES) {
      const frame = waiting.take()
      if (frame === undefined) {
        state.waiting = undefined
        return
      }
      connection.send(frame)
    }
    state.look = clock.after(SEND_LOOK_MS, flush)
  }
  const drop = (): void => {
    state.over = true
    state.look?.()
    state.waiting = undefined
  }
  connection.onDrain = flush
  return {
    send(frame, priority) {
      if (state.over) return
      if (priority === 'control' || (!state.waiting && connection.queuedBytes < SEND_AHEAD_BYTES)) {
        connection.send(frame)
        return
      }
      state.waiting ??= createWaiting()
      state.waiting.put(frame, priority)
      if (state.waiting.state.bytes + connection.queuedBytes > QUEUE_BYTES_MAX) {
        connection.close('slow')
        drop()
      } else if (!state.look) state.look = clock.after(SEND_LOOK_MS, flush)
    },
    end() {
      if (state.over) return
      const { waiting } = state
      drop()
      waiting?.dropBulk()
      for (let frame = waiting?.take(); frame !== undefined; frame = waiting?.take()) connection.send(frame)
    },
  }
}
