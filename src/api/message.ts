// One HTTP exchange without HTTP: what `handle` gets and gives, so that a test needs no port and the listener no policy.

import type { IncomingHttpHeaders } from 'node:http'
import type { Identity } from '../base/pki.ts'
import type { Arrival } from './arrivals.ts'
import { BODY_BYTES_MAX, REQUEST_MS_MAX } from './limits.ts'

/** Bounds of a body; those of callers without a name are narrower than the usual ones. */
export interface BodyBound {
  readonly bytesMax: number
  readonly arrivesWithinMs: number
  readonly arrival?: Arrival
}

export const USUAL_BOUND: BodyBound = { bytesMax: BODY_BYTES_MAX, arrivesWithinMs: REQUEST_MS_MAX }

/** A device at the other end: its certificate is this authority's, but its dates may be wrong. DER. */
export interface DevicePeer {
  readonly identity: Identity
  readonly certificate: Uint8Array
}

export interface ApiRequest {
  readonly method: string
  /** Path and query, as in the request line. */
  readonly url: string
  readonly headers: Readonly<IncomingHttpHeaders>
  /** Undefined: nobody said who they are. */
  readonly identity: Identity | undefined
  /** For the renewal of its certificate alone; every other question goes by `identity`. */
  readonly device?: DevicePeer | undefined
  /** Reads the body; throws 413 when it is above BODY_BYTES_MAX, or the given bound. Called at most once, and only after the caller was let in. */
  readonly body: (bound?: BodyBound) => Promise<Buffer>
}

/** Where a streamed answer goes. */
export interface Sink {
  /** Takes the data at once; what the client has not read yet counts as pending. */
  write(data: Uint8Array): void
  pendingBytes(): number
  /** Settles when the client has taken what was written, or is gone. */
  drained(): Promise<void>
  /** Aborts when the client is gone or the server closes. */
  readonly signal: AbortSignal
}

/** Writes until the answer is complete; the stream ends when it settles. A rejection cuts the stream, so that the client notices. */
export type StreamBody = (sink: Sink) => Promise<void>

/** A body in pieces, each brought when it is its turn to be written: what the client has not taken yet need not be in memory. */
export interface Pieces extends Iterable<Buffer> {
  /** Of all of them together. */
  readonly bytes: number
}

export interface ApiResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly body: Buffer | Pieces | StreamBody
}

export const JSON_TYPE = 'application/json'

export const jsonResponse = (value: unknown, status = 200, type = JSON_TYPE): ApiResponse => ({
  status,
  headers: { 'content-type': type },
  body: Buffer.from(`${JSON.stringify(value)}\n`),
})

export const textResponse = (text: string, status = 200): ApiResponse => ({
  status,
  headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
  body: Buffer.from(text),
})
