// A Connection over one WebSocket, the same on both sides: text frames only, no compression (documents are deflated already, and a
// window per connection costs memory), bounded in both directions. Source: RFC 6455.

import type { WebSocket } from 'ws'
import { FRAME_BYTES_MAX, QUEUE_BYTES_MAX } from '../limits.ts'
import type { Connection } from '../link.ts'

export const LINK_PATH = '/link/v1'
export const LINK_SUBPROTOCOL = 'helio.v1'
/** How long the other side may take to answer a close; then the socket is cut. */
const CLOSE_TIMEOUT_MS = 5000

/** Options of ws that both sides share. */
export const SOCKET_OPTIONS = { maxPayload: FRAME_BYTES_MAX, perMessageDeflate: false, closeTimeout: CLOSE_TIMEOUT_MS } as const

const REASON_BYTES_MAX = 123
const CODE = { normal: 1000, unsupported: 1003 } as const

/** A close reason that fits the frame: whole characters, at most 123 bytes. */
const closeReason = (reason: string): string => {
  let cut = reason.slice(0, REASON_BYTES_MAX)
  while (Buffer.byteLength(cut) > REASON_BYTES_MAX) cut = cut.slice(0, -1)
  return cut
}

/** Wraps an open WebSocket. */
export const webSocketConnection = (socket: WebSocket): Connection => {
  const state = { over: false, fault: '' }
  const finish = (reason: string): void => {
    if (state.over) return
    state.over = true
    queueMicrotask(() => connection.onClose(reason))
  }
  const written = (): void => {
    if (!state.over && socket.bufferedAmount === 0) connection.onDrain?.()
  }
  const connection: Connection = {
    onFrame: () => {},
    onClose: () => {},
    get queuedBytes() {
      return socket.bufferedAmount
    },
    send(frame) {
      if (state.over || socket.readyState !== socket.OPEN) return
      if (socket.bufferedAmount + frame.length > QUEUE_BYTES_MAX) {
        // Nothing drains: a close frame would only queue up behind the rest.
        finish('slow')
        socket.terminate()
        return
      }
      socket.send(frame, written)
    },
    close(reason) {
      if (state.over) return
      finish(reason)
      socket.close(CODE.normal, closeReason(reason))
    },
  }
  socket.on('message', (data, isBinary) => {
    if (state.over) return
    if (isBinary) {
      finish('protocol: a binary frame')
      socket.close(CODE.unsupported)
    } else connection.onFrame(data.toString())
  })
  socket.on('error', error => {
    state.fault = error.message
  })
  socket.on('close', (code, reason) => finish(state.fault || reason.toString() || `closed by the other side (${code})`))
  return connection
}
