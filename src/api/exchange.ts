// Bytes in and out of one HTTP exchange, the same for HTTP/1.1 and HTTP/2: a bounded body, an answer no faster than the client reads.

import type { Readable, Writable } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { ApiError } from '../base/errors.ts'
import { BODY_BYTES_MAX, REQUEST_MS_MAX, WRITE_CHUNK_BYTES } from './limits.ts'
import type { BodyBound, Sink } from './message.ts'
import { tooLarge } from './refusal.ts'

const EMPTY = Buffer.alloc(0)
const USUAL_BOUND: BodyBound = { bytesMax: BODY_BYTES_MAX, arrivesWithinMs: REQUEST_MS_MAX }

/** The whole body; 413 as soon as it is known to be too large (then the rest is discarded unread), 408-like Timeout when it does not come. */
export const readStream = (
  stream: Readable,
  declared: string | undefined,
  clock: Pick<Clock, 'after'>,
  { bytesMax, arrivesWithinMs }: BodyBound = USUAL_BOUND,
): Promise<Buffer> => {
  if (stream.readableEnded || declared === '0') return Promise.resolve(EMPTY)
  if (Number(declared) > bytesMax) {
    stream.resume()
    return Promise.reject(tooLarge(bytesMax))
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length
      if (bytes > bytesMax) settle(() => reject(tooLarge(bytesMax)))
      else chunks.push(chunk)
    }
    const onEnd = (): void => settle(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)))
    const onGone = (): void => settle(() => reject(new ApiError('BadRequest', 'the request ended before its body was complete')))
    const cancel = clock.after(arrivesWithinMs, () =>
      settle(() => reject(new ApiError('Timeout', 'the request body did not arrive in time'))),
    )
    const settle = (done: () => void): void => {
      cancel()
      stream.off('data', onData)
      stream.off('end', onEnd)
      stream.off('close', onGone)
      stream.off('error', onGone)
      // Errors after this are the connection's business; without a listener they would end the process.
      stream.on('error', ignoreLate)
      stream.resume()
      done()
    }
    stream.on('data', onData)
    stream.on('end', onEnd)
    stream.on('close', onGone)
    stream.on('error', onGone)
  })
}

const ignoreLate = (): void => undefined

/** Settles when the stream wants more, or will never want anything again. */
const wantsMore = (stream: Writable): Promise<void> =>
  new Promise(resolve => {
    const done = (): void => {
      stream.off('drain', done)
      stream.off('close', done)
      resolve()
    }
    if (!stream.writableNeedDrain || stream.destroyed) return resolve()
    stream.on('drain', done)
    stream.on('close', done)
  })

/** A sink over a socket's stream. `signal` is aborted by the caller. */
export const sinkOver = (stream: Writable, signal: AbortSignal): Sink => ({
  write(data) {
    if (!stream.destroyed && !stream.writableEnded) stream.write(data)
  },
  pendingBytes: () => stream.writableLength,
  drained: () => wantsMore(stream),
  signal,
})

/** Writes buffers in pieces of a useful size and ends the stream. Rejects where one cannot be had: the answer is cut then. */
export const writeBuffers = async (stream: Writable, buffers: Iterable<Buffer>): Promise<void> => {
  let pending: Buffer[] = []
  let bytes = 0
  for (const buffer of buffers) {
    pending.push(buffer)
    bytes += buffer.length
    if (bytes < WRITE_CHUNK_BYTES) continue
    if (stream.destroyed) return
    stream.write(Buffer.concat(pending, bytes))
    pending = []
    bytes = 0
    if (stream.writableNeedDrain) await wantsMore(stream)
  }
  if (!stream.destroyed) stream.end(Buffer.concat(pending, bytes))
}
