// Bytes in and out of one HTTP exchange, the same for HTTP/1.1 and HTTP/2: a bounded body, an answer no faster than the client reads.

import type { Readable, Writable } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { ApiError } from '../base/errors.ts'
import { WRITE_CHUNK_BYTES, WRITE_STALL_MS_MAX } from './limits.ts'
import { type BodyBound, type Sink, USUAL_BOUND } from './message.ts'
import { tooLarge } from './refusal.ts'

const EMPTY = Buffer.alloc(0)

/** The whole body; 413 as soon as it is known to be too large (then the rest is discarded unread), 408-like Timeout when it does not come. */
export const readStream = (
  stream: Readable,
  declared: string | undefined,
  clock: Pick<Clock, 'after'>,
  { bytesMax, arrivesWithinMs, arrival }: BodyBound = USUAL_BOUND,
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
      else {
        chunks.push(chunk)
        arrival?.grew(chunk.length)
      }
    }
    const onEnd = (): void => settle(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)))
    const onGone = (): void => settle(() => reject(new ApiError('BadRequest', 'the request ended before its body was complete')))
    const onLate = (): void => settle(() => reject(new ApiError('Timeout', 'the request body did not arrive in time')))
    const cancel = clock.after(arrivesWithinMs, onLate)
    const settle = (done: () => void): void => {
      cancel()
      arrival?.signal.removeEventListener('abort', onLate)
      stream.off('data', onData)
      stream.off('end', onEnd)
      stream.off('close', onGone)
      stream.off('error', onGone)
      // Errors after this are the connection's business; without a listener they would end the process.
      stream.on('error', ignoreLate)
      stream.resume()
      done()
    }
    arrival?.signal.addEventListener('abort', onLate)
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

/** Settles when what was written last has been taken by the system, or the stream is gone. */
const finished = (stream: Writable): Promise<void> =>
  new Promise(resolve => {
    if (stream.writableFinished || stream.destroyed) return resolve()
    stream.once('finish', resolve)
    stream.once('close', resolve)
  })

/** Pieces of a useful size: small buffers put together, large ones cut. */
function* piecesOf(buffers: Iterable<Buffer>): Generator<Buffer> {
  let pending: Buffer[] = []
  let bytes = 0
  for (const buffer of buffers)
    for (let at = 0; at < buffer.length; at += WRITE_CHUNK_BYTES) {
      const part = buffer.subarray(at, at + WRITE_CHUNK_BYTES)
      pending.push(part)
      bytes += part.length
      if (bytes < WRITE_CHUNK_BYTES) continue
      yield Buffer.concat(pending, bytes)
      pending = []
      bytes = 0
    }
  yield Buffer.concat(pending, bytes)
}

export interface Patience {
  readonly clock: Pick<Clock, 'after'>
  /** Called when the client has not taken a piece within WRITE_STALL_MS_MAX. */
  readonly cut: () => void
}

/** Writes buffers in pieces and ends the stream; a client that does not read them is cut off. Rejects where one cannot be had: the answer is cut then. */
export const writeBuffers = async (stream: Writable, buffers: Iterable<Buffer>, { clock, cut }: Patience): Promise<void> => {
  const within = async (taken: Promise<void>): Promise<void> => {
    const cancel = clock.after(WRITE_STALL_MS_MAX, cut)
    await taken
    cancel()
  }
  for (const piece of piecesOf(buffers)) {
    if (stream.destroyed) return
    stream.write(piece)
    if (stream.writableNeedDrain) await within(wantsMore(stream))
  }
  if (stream.destroyed) return
  stream.end()
  await within(finished(stream))
}
