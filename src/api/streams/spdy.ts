// The server's side of SPDY/3.1 as Kubernetes clients speak it: streams that the client opens, data and ends both ways, pings. Clients of
// this kind know no flow control of streams, so the brake is the connection itself. Source: SPDY protocol draft 3.1; moby/spdystream.

import type { Duplex } from 'node:stream'
import type { Clock } from '../../base/clock.ts'
import { CONTROL_BYTES_MAX, OUTBOUND_BYTES_MAX, SPDY_STREAMS_MAX } from './limits.ts'
import { createDrain, createInboundPace } from './pace.ts'
import { createHeaderReader, createHeaderWriter, type SpdyHeaders } from './spdy-headers.ts'

export interface SpdyStream {
  readonly id: number
  readonly headers: SpdyHeaders
  /** Settles when the client's connection wants more, or is gone. Nothing after `end`. */
  write(data: Uint8Array): Promise<void>
  /** No more data from us. */
  end(): void
  /** A returned promise counts the bytes as on their way until it settles. */
  onData: (data: Buffer) => Promise<void> | void
  /** The client sends no more. */
  onEnd: () => void
  /** The client gave the stream up, or the connection is gone; nothing follows. */
  onReset: () => void
}

export interface SpdyHooks {
  readonly clock: Pick<Clock, 'after'>
  /** Called as streams are opened; the handlers of a stream are set before it returns. */
  readonly onStream: (stream: SpdyStream) => void
  /** Once. */
  readonly onClose: () => void
  /** Data went one way or the other. */
  readonly onTraffic: () => void
}

export interface SpdyConnection {
  /** Says goodbye behind what was written, and closes. */
  close(): void
}

const VERSION = 3
const SYN_STREAM = 1
const SYN_REPLY = 2
const RST_STREAM = 3
const PING = 6
const GOAWAY = 7
const HEADERS = 8
const FIN = 1
const HEAD_BYTES = 8
const PROTOCOL_ERROR = 1
const REFUSED_STREAM = 3

interface Open extends SpdyStream {
  ended: boolean
  /** The client sent its end. */
  finished: boolean
}

interface State {
  readonly socket: Duplex
  readonly hooks: SpdyHooks
  readonly streams: Map<number, Open>
  readonly readHeaders: ReturnType<typeof createHeaderReader>
  readonly writeHeaders: ReturnType<typeof createHeaderWriter>
  readonly drained: () => Promise<void>
  lastId: number
  closed: boolean
}

const control = (type: number, flags: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt16BE(0x8000 | VERSION, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt8(flags, 4)
  head.writeUIntBE(body.length, 5, 3)
  return Buffer.concat([head, body])
}

const numbers = (...values: readonly number[]): Buffer => {
  const body = Buffer.alloc(values.length * 4)
  values.forEach((value, i) => void body.writeUInt32BE(value, i * 4))
  return body
}

const sendControl = (state: State, type: number, body: Buffer): void => {
  // A client that asks and does not read the answers is no client.
  if (state.socket.writableLength > OUTBOUND_BYTES_MAX) state.socket.destroy()
  else if (state.socket.writable) state.socket.write(control(type, 0, body))
}

const sendData = (state: State, id: number, data: Uint8Array, flags: number): void => {
  if (!state.socket.writable) return
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32BE(id, 0)
  head.writeUInt8(flags, 4)
  head.writeUIntBE(data.length, 5, 3)
  state.socket.write(data.length === 0 ? head : Buffer.concat([head, data]))
}

const forget = (state: State, stream: Open): void => {
  if (stream.ended && stream.finished) state.streams.delete(stream.id)
}

const finish = (state: State, stream: Open): void => {
  if (stream.finished) return
  stream.finished = true
  stream.onEnd()
  forget(state, stream)
}

const newStream = (state: State, id: number, headers: SpdyHeaders): Open => {
  const stream: Open = {
    id,
    headers,
    ended: false,
    finished: false,
    write(data) {
      if (stream.ended || data.length === 0) return Promise.resolve()
      state.hooks.onTraffic()
      sendData(state, id, data, 0)
      return state.drained()
    },
    end() {
      if (stream.ended) return
      stream.ended = true
      sendData(state, id, Buffer.alloc(0), FIN)
      forget(state, stream)
    },
    onData: () => undefined,
    onEnd: () => undefined,
    onReset: () => undefined,
  }
  return stream
}

const opened = (state: State, flags: number, body: Buffer): void => {
  if (body.length < 10) throw new Error('a stream is opened without a header block')
  const id = body.readUInt32BE(0) & 0x7fffffff
  // Read even when refused: the blocks of a connection are one compressed text.
  const headers = state.readHeaders(body.subarray(10))
  if (id % 2 === 0 || id <= state.lastId) throw new Error(`stream ${id} is opened out of turn`)
  state.lastId = id
  if (state.streams.size >= SPDY_STREAMS_MAX) {
    sendControl(state, RST_STREAM, numbers(id, REFUSED_STREAM))
    return
  }
  const stream = newStream(state, id, headers)
  state.streams.set(id, stream)
  sendControl(state, SYN_REPLY, Buffer.concat([numbers(id), state.writeHeaders(new Map())]))
  state.hooks.onTraffic()
  state.hooks.onStream(stream)
  if ((flags & FIN) !== 0) finish(state, stream)
}

const reset = (state: State, body: Buffer): void => {
  const stream = body.length >= 4 ? state.streams.get(body.readUInt32BE(0) & 0x7fffffff) : undefined
  if (!stream) return
  state.streams.delete(stream.id)
  stream.ended = true
  stream.finished = true
  stream.onReset()
}

const takeControl = (state: State, type: number, flags: number, body: Buffer): void => {
  if (type === SYN_STREAM) opened(state, flags, body)
  else if (type === RST_STREAM) reset(state, body)
  else if (type === PING && body.length >= 4 && body.readUInt32BE(0) % 2 === 1) sendControl(state, PING, body.subarray(0, 4))
  else if ((type === HEADERS || type === SYN_REPLY) && body.length > 4) state.readHeaders(body.subarray(4))
}

interface Parser {
  take(chunk: Buffer): void
}

/** Cuts the bytes into frames. Data is handed on as it comes; only control frames are gathered, up to their bound. */
const createParser = (state: State, onData: (id: number, data: Buffer, isLast: boolean, fin: boolean) => void): Parser => {
  const held: { bytes: Buffer; id: number; left: number; fin: boolean } = { bytes: Buffer.alloc(0), id: 0, left: 0, fin: false }
  /** One step; the rest of the bytes, or undefined when more of them are needed. */
  const step = (bytes: Buffer): Buffer | undefined => {
    if (held.left > 0) {
      const piece = bytes.subarray(0, held.left)
      held.left -= piece.length
      onData(held.id, piece, held.left === 0, held.fin)
      return bytes.subarray(piece.length)
    }
    if (bytes.length < HEAD_BYTES) return undefined
    const [first, flags, length] = [bytes.readUInt32BE(0), bytes[4]!, bytes.readUIntBE(5, 3)]
    if (first < 0x80000000) {
      ;[held.id, held.left, held.fin] = [first, length, (flags & FIN) !== 0]
      if (length === 0) onData(first, Buffer.alloc(0), true, held.fin)
      return bytes.subarray(HEAD_BYTES)
    }
    if (((first >>> 16) & 0x7fff) !== VERSION) throw new Error('a frame is not of SPDY/3')
    if (length > CONTROL_BYTES_MAX) throw new Error(`a control frame has more than ${CONTROL_BYTES_MAX} bytes`)
    if (bytes.length < HEAD_BYTES + length) return undefined
    takeControl(state, first & 0xffff, flags, bytes.subarray(HEAD_BYTES, HEAD_BYTES + length))
    return bytes.subarray(HEAD_BYTES + length)
  }
  return {
    take(chunk) {
      let bytes = held.bytes.length === 0 ? chunk : Buffer.concat([held.bytes, chunk])
      while (bytes.length > 0 && !state.closed) {
        const rest = step(bytes)
        if (rest === undefined) break
        bytes = rest
      }
      held.bytes = bytes
    },
  }
}

const ended = (state: State): void => {
  if (state.closed) return
  state.closed = true
  for (const stream of [...state.streams.values()]) {
    stream.ended = true
    stream.onReset()
  }
  state.streams.clear()
  state.hooks.onClose()
}

/** Speaks SPDY on a connection that was upgraded; `head` is what came with the request. Never throws. */
export const openSpdy = (socket: Duplex, head: Buffer, hooks: SpdyHooks): SpdyConnection => {
  const state: State = {
    socket,
    hooks,
    streams: new Map(),
    readHeaders: createHeaderReader(),
    writeHeaders: createHeaderWriter(),
    drained: createDrain(socket),
    lastId: 0,
    closed: false,
  }
  const pace = createInboundPace(hooks.clock, {
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    // Pings of a server have even numbers; the echo is not looked at.
    probe: () => sendControl(state, PING, numbers(2)),
  })
  const parser = createParser(state, (id, data, isLast, fin) => {
    const stream = state.streams.get(id)
    // Data of a stream that is over was on its way when it ended.
    if (!stream || stream.finished) return
    hooks.onTraffic()
    if (data.length > 0) pace.take(data.length, stream.onData(data))
    if (isLast && fin) finish(state, stream)
  })
  const take = (chunk: Buffer): void => {
    try {
      parser.take(chunk)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      sendControl(state, GOAWAY, numbers(state.lastId, PROTOCOL_ERROR))
      socket.destroy()
      ended(state)
    }
  }
  socket.on('data', take)
  socket.on('end', () => socket.end())
  socket.on('error', () => socket.destroy())
  socket.on('close', () => {
    pace.close()
    ended(state)
  })
  if (head.length > 0) take(head)
  return {
    close() {
      sendControl(state, GOAWAY, numbers(state.lastId, 0))
      socket.end()
      ended(state)
    },
  }
}
