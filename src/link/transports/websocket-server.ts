// The server's end of WebSocket links: takes an upgrade of the API port's HTTP/1.1 side. Who the peer is was settled by TLS before.

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { Connection } from '../link.ts'
import { LINK_PATH, LINK_SUBPROTOCOL, SOCKET_OPTIONS, webSocketConnection } from './websocket.ts'

export { LINK_PATH } from './websocket.ts'

const offers = (request: IncomingMessage): readonly string[] =>
  (request.headers['sec-websocket-protocol'] ?? '').split(',').map(offer => offer.trim())

const refuse = (socket: Duplex, message: string): undefined => {
  // An upgraded socket has no handler of the HTTP server's any more.
  socket.on('error', () => socket.destroy())
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(message)}\r\n\r\n${message}`,
  )
  return undefined
}

/** Upgrades; undefined when the request was not one of ours and has been answered. */
export type AcceptWebSocket = (request: IncomingMessage, socket: Duplex, head: Buffer) => Connection | undefined

/** One acceptor serves every upgrade of a server; it holds no port and nothing to close. */
export const webSocketAcceptor = (): AcceptWebSocket => {
  const server = new WebSocketServer({ ...SOCKET_OPTIONS, noServer: true, clientTracking: false, handleProtocols: () => LINK_SUBPROTOCOL })
  return (request, socket, head) => {
    // Not parsed as a URL: what a stranger sends need not be one.
    if (request.url?.split('?', 1)[0] !== LINK_PATH) return refuse(socket, `upgrade: the link is at ${LINK_PATH}`)
    if (!offers(request).includes(LINK_SUBPROTOCOL)) return refuse(socket, `upgrade: the subprotocol must be ${LINK_SUBPROTOCOL}`)
    const accepted: Connection[] = []
    // Answers synchronously; a request that is no proper handshake is refused by the library and calls nothing.
    server.handleUpgrade(request, socket, head, webSocket => void accepted.push(webSocketConnection(webSocket)))
    return accepted[0]
  }
}
