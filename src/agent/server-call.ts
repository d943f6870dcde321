// Questions of the device to its server's API outside the link: joining and the renewal of its certificate. The server is believed by the
// pinned authority's signature; neither names nor dates count, since this device's clock may be wrong by decades. DESIGN invariants 6, 8.

import { X509Certificate } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../base/clock.ts'
import { isObject } from '../base/json.ts'
import { JOIN_BYTES_MAX, JOIN_TIMEOUT_MS } from './limits.ts'

/** A server certificate the pinned authority signed itself; its dates do not matter, this device's clock may be wrong by decades. */
const isServerOf = (ca: string, socket: TLSSocket): boolean => {
  const peer = socket.getPeerX509Certificate()
  if (!peer) return false
  const authority = new X509Certificate(ca)
  const forServers = (peer.keyUsage ?? []).includes('1.3.6.1.5.5.7.3.1')
  return forServers && peer.checkIssued(authority) && peer.verify(authority.publicKey)
}

export interface Call {
  readonly url: URL
  readonly method: 'GET' | 'POST'
  readonly body?: string
  /** Checked against the pinned authority before anything is sent; without it nothing secret may be sent. */
  readonly ca?: string
  /** PEM: who asks. */
  readonly client?: { readonly cert: string; readonly key: string }
}

const readBody = (response: IncomingMessage): Promise<string> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    response.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > JOIN_BYTES_MAX) response.destroy(new Error(`the answer has more than ${JOIN_BYTES_MAX} bytes`))
      else chunks.push(chunk)
    })
    response.on('end', () => resolve(Buffer.concat(chunks).toString()))
    response.on('error', reject)
  })

/** One exchange with the server's API, outside the link. Rejects when nothing usable came back; the status is for the caller. */
export const callServer = (
  { url, method, body, ca, client }: Call,
  { clock, signal }: { readonly clock: Pick<Clock, 'after'>; readonly signal: AbortSignal },
): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method,
      agent: false,
      signal,
      // The authority is checked by hand below: names and dates do not count, the key does.
      rejectUnauthorized: false,
      ...client,
      headers: body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    })
    const cancel = clock.after(JOIN_TIMEOUT_MS, () => outgoing.destroy(new Error(`no answer within ${JOIN_TIMEOUT_MS / 1000} s`)))
    outgoing.on('error', error => {
      cancel()
      reject(error)
    })
    outgoing.on('response', response => {
      readBody(response)
        .then(text => resolve({ status: response.statusCode ?? 0, text }), reject)
        .finally(cancel)
    })
    outgoing.on('socket', socket => {
      socket.once('secureConnect', () => {
        if (ca !== undefined && !isServerOf(ca, socket as TLSSocket))
          outgoing.destroy(new Error('the server is not the one this device trusts'))
        else outgoing.end(body)
      })
    })
  })

/** The fields of a JSON answer; none of anything else. */
export const answerFields = (text: string): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch (error) {
    if (error instanceof SyntaxError) return {}
    throw error
  }
}
