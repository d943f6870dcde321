// The answer to an upgrade nobody takes: a Status over HTTP/1.1 on the raw socket, so that kubectl exec and its kin print the reason.

import type { Duplex } from 'node:stream'
import { type ApiError, toStatus } from '../base/errors.ts'

/** Answers with the error and closes. */
export const refuseUpgrade = (socket: Duplex, error: ApiError): void => {
  const body = Buffer.from(`${JSON.stringify(toStatus(error))}\n`)
  const head = [
    `HTTP/1.1 ${error.code} ${error.reason}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    'Connection: close',
    '',
    '',
  ].join('\r\n')
  socket.end(Buffer.concat([Buffer.from(head), body]))
}
