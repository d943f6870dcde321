// Streams of one connection, multiplexed: each may send only as many bytes ahead as the other side gave it credit for. The same machine
// on both sides; the server numbers and opens, either side ends. PURE.

import type { Codec } from './codec.ts'
import { type Priority, STREAM_CHUNK_BYTES, STREAM_CREDIT_BYTES, STREAM_QUEUE_BYTES_MAX, STREAMS_MAX } from './limits.ts'
import { PRIORITY_OF, type StreamFrame, type StreamRequest } from './messages.ts'

interface Stream {
  sendCredit: number
  readonly queue: { readonly data: Uint8Array; readonly channel: number }[]
  queuedBytes: number
  /** What the other side may still send, and what was consumed here and not yet given back. */
  receiveCredit: number
  consumed: number
  /** Set once our side has ended it; the end goes out behind the queue. */
  ending: { readonly error: string | undefined } | undefined
  /** The writer was told to wait. */
  waiting: boolean
}

export interface Mux {
  readonly streams: Map<number, Stream>
  lastId: number
  /** Raw bytes of one frame, at most STREAM_CHUNK_BYTES. */
  chunkBytes: number
}

export type MuxOutput =
  | { readonly do: 'send'; readonly text: string; readonly priority: Priority }
  | { readonly do: 'data'; readonly id: number; readonly channel: number; readonly data: Uint8Array }
  /** The stream is over; nothing of it follows. Not said to the side that ended it. */
  | { readonly do: 'ended'; readonly id: number; readonly error: string | undefined }
  /** The writer of this stream may go on. */
  | { readonly do: 'writable'; readonly id: number }

export type MuxOut = (output: MuxOutput) => void

export const newMux = (): Mux => ({ streams: new Map(), lastId: 0, chunkBytes: STREAM_CHUNK_BYTES })

const newStream = (credit: number): Stream => ({
  sendCredit: credit,
  queue: [],
  queuedBytes: 0,
  receiveCredit: credit,
  consumed: 0,
  ending: undefined,
  waiting: false,
})

const send = (out: MuxOut, frame: StreamFrame | { readonly t: 'open'; readonly [field: string]: unknown }): void =>
  out({ do: 'send', text: JSON.stringify(frame), priority: PRIORITY_OF[frame.t] })

/** An empty piece is the end of its channel and costs one byte of credit, so that nothing is free. */
const costOf = (data: Uint8Array): number => Math.max(1, data.length)

const flush = (mux: Mux, id: number, stream: Stream, codec: Codec, out: MuxOut): void => {
  while (stream.queue.length > 0 && stream.sendCredit > 0) {
    const { data, channel } = stream.queue[0]!
    const piece = data.subarray(0, Math.min(stream.sendCredit, mux.chunkBytes))
    if (piece.length === data.length) stream.queue.shift()
    else stream.queue[0] = { data: data.subarray(piece.length), channel }
    stream.queuedBytes -= piece.length
    stream.sendCredit -= costOf(piece)
    send(out, { t: 'data', id, channel, data: codec.toBase64(piece) })
  }
  if (stream.queue.length > 0) return
  if (stream.ending) {
    mux.streams.delete(id)
    send(out, { t: 'end', id, ...(stream.ending.error === undefined ? {} : { error: stream.ending.error }) })
  } else if (stream.waiting) {
    stream.waiting = false
    out({ do: 'writable', id })
  }
}

/** Server: opens a stream and returns its number; undefined when STREAMS_MAX are open. */
export const muxOpen = (mux: Mux, request: StreamRequest, allowed: boolean, out: MuxOut): number | undefined => {
  if (mux.streams.size >= STREAMS_MAX) return undefined
  const id = ++mux.lastId
  mux.streams.set(id, newStream(STREAM_CREDIT_BYTES))
  send(out, { t: 'open', id, request, credit: STREAM_CREDIT_BYTES, ...(allowed ? { allowed } : {}) })
  return id
}

/** Device: the server opened a stream. False when it may not (its number was used, or there are too many; then it has been ended). */
export const muxOpened = (mux: Mux, id: number, credit: number, out: MuxOut): boolean => {
  if (id <= mux.lastId) return false
  mux.lastId = id
  if (mux.streams.size >= STREAMS_MAX) {
    send(out, { t: 'end', id, error: `open stream: ${STREAMS_MAX} are open already` })
    return false
  }
  mux.streams.set(id, newStream(credit))
  return true
}

/** Takes bytes to send. False: no credit is left, wait for 'writable' before writing more. Over the queue's bound the stream ends. */
export const muxWrite = (mux: Mux, id: number, data: Uint8Array, channel: number, codec: Codec, out: MuxOut): boolean => {
  const stream = mux.streams.get(id)
  if (!stream || stream.ending) return true
  if (stream.queuedBytes + data.length > STREAM_QUEUE_BYTES_MAX) {
    const error = 'write stream: the writer does not wait for the reader'
    mux.streams.delete(id)
    send(out, { t: 'end', id, error })
    out({ do: 'ended', id, error })
    return true
  }
  stream.queue.push({ data, channel })
  stream.queuedBytes += data.length
  flush(mux, id, stream, codec, out)
  stream.waiting = stream.queue.length > 0
  return !stream.waiting
}

/** The reader has used up bytes; credit goes back in halves of the window. */
export const muxConsumed = (mux: Mux, id: number, data: Uint8Array, out: MuxOut): void => {
  const stream = mux.streams.get(id)
  if (!stream) return
  stream.consumed += costOf(data)
  if (stream.consumed < STREAM_CREDIT_BYTES / 2 && stream.receiveCredit > 0) return
  stream.receiveCredit += stream.consumed
  send(out, { t: 'credit', id, bytes: stream.consumed })
  stream.consumed = 0
}

/** Ends a stream from our side, behind what is queued. */
export const muxEnd = (mux: Mux, id: number, error: string | undefined, codec: Codec, out: MuxOut): void => {
  const stream = mux.streams.get(id)
  if (!stream || stream.ending) return
  stream.ending = { error }
  // A bad end does not wait for a reader that may never come.
  if (error !== undefined) stream.queue.length = 0
  flush(mux, id, stream, codec, out)
}

const release = (mux: Mux, id: number, stream: Stream, error: string | undefined, out: MuxOut): void => {
  mux.streams.delete(id)
  if (stream.waiting) out({ do: 'writable', id })
  if (!stream.ending) out({ do: 'ended', id, error })
}

/** A frame of the other side. Frames of streams that are over are ignored: both ends may end one at the same time. */
export const muxFrame = (mux: Mux, frame: StreamFrame, codec: Codec, out: MuxOut): void => {
  const stream = mux.streams.get(frame.id)
  if (!stream) return
  if (frame.t === 'credit') {
    stream.sendCredit = Math.min(STREAM_CREDIT_BYTES, stream.sendCredit + frame.bytes)
    flush(mux, frame.id, stream, codec, out)
  } else if (frame.t === 'end') release(mux, frame.id, stream, frame.error, out)
  else {
    const data = codec.fromBase64(frame.data)
    stream.receiveCredit -= costOf(data)
    if (stream.receiveCredit < 0) {
      send(out, { t: 'end', id: frame.id, error: 'read stream: more was sent than there was credit for' })
      release(mux, frame.id, stream, 'read stream: more was sent than there was credit for', out)
    } else if (!stream.ending) out({ do: 'data', id: frame.id, channel: frame.channel, data })
    else muxConsumed(mux, frame.id, data, out)
  }
}

/** The connection is gone, and every stream with it. Numbers begin anew with the next one. */
export const muxLost = (mux: Mux, reason: string, out: MuxOut): void => {
  for (const [id, stream] of mux.streams) release(mux, id, stream, `connection lost: ${reason}`, out)
  mux.lastId = 0
}
