// Several ways to one server: the way on which the server spoke last comes first, and when a way fails the next is tried. It keeps no
// timer: how long a dial may take and when to dial again is the link's own affair.

import { isReason, messageOf } from '../../base/errors.ts'
import type { Connection, Dialer } from '../link.ts'

export interface Way {
  /** `ws`, `mqtt`. */
  readonly name: string
  readonly dialer: Dialer
}

/** A connection that tells whether the server ever spoke on it: one that opens and stays mute leads nowhere. */
const watched = (connection: Connection, onEnd: (spoke: boolean) => void): Connection => {
  const state = { spoke: false }
  const outer: Connection = {
    onFrame: () => {},
    onClose: () => {},
    get queuedBytes() {
      return connection.queuedBytes
    },
    send: frame => connection.send(frame),
    close: reason => connection.close(reason),
  }
  connection.onFrame = frame => {
    state.spoke = true
    outer.onFrame(frame)
  }
  connection.onDrain = () => outer.onDrain?.()
  connection.onClose = reason => {
    onEnd(state.spoke)
    outer.onClose(reason)
  }
  return outer
}

/**
 * Dials over `ways` in their order, beginning with the one that worked last. A way that is refused gives over to the next within the same
 * dial; one that hangs until the dial is given up, or stays mute, is last the next time. Rejects with what each way said.
 */
export const failoverDialer = (ways: readonly Way[]): Dialer => {
  const state = { first: 0 }
  const dialer: Dialer = {
    async dial(signal) {
      const said: string[] = []
      for (const step of ways.keys()) {
        const at = (state.first + step) % ways.length
        const way = ways[at]!
        const failed = (): void => {
          state.first = (at + 1) % ways.length
        }
        if (dialer.onHead) way.dialer.onHead = dialer.onHead
        try {
          const connection = await way.dialer.dial(signal)
          state.first = at
          return watched(connection, spoke => {
            if (!spoke && state.first === at) failed()
          })
        } catch (error) {
          // A server that was reached and knows no such device says the same on every way.
          if (isReason(error, 'Forbidden')) throw error
          if (signal.aborted) {
            failed()
            throw error
          }
          said.push(`${way.name}: ${messageOf(error)}`)
        }
      }
      throw new Error(said.join('; '))
    },
  }
  return dialer
}
