// MQTT 5 packets out of a byte stream and into bytes. Each packet is cut out by its fixed header first, against a bound, so that the
// library's parser never sees more than one whole packet: what a stranger declares is not what is allocated. Source: MQTT 5 section 2.

import type { Duplex } from 'node:stream'
import { generate, type Packet, parser, writeToStream } from 'mqtt-packet'
import { FRAME_BYTES_MAX, MQTT_OVERHEAD_BYTES_MAX } from '../limits.ts'

export type { Packet } from 'mqtt-packet'

/** Of a whole packet. */
export const PACKET_BYTES_MAX = FRAME_BYTES_MAX + MQTT_OVERHEAD_BYTES_MAX

/** MQTT 5 section 2.4, as far as they are used here. */
export const REASON = {
  success: 0x00,
  withWill: 0x04,
  noSubscription: 0x11,
  unspecified: 0x80,
  malformed: 0x81,
  protocol: 0x82,
  version: 0x84,
  notAuthorized: 0x87,
  serverBusy: 0x89,
  shuttingDown: 0x8b,
  badAuthentication: 0x8c,
  keepAlive: 0x8d,
  takenOver: 0x8e,
  filterInvalid: 0x8f,
  topicInvalid: 0x90,
  aliasInvalid: 0x94,
  tooLarge: 0x95,
  quota: 0x97,
  payloadFormat: 0x99,
  retain: 0x9a,
  qos: 0x9b,
  shared: 0x9e,
  identifiers: 0xa1,
  wildcard: 0xa2,
} as const

/** The bytes of a packet. Throws on fields that no packet can have: ours to prevent. */
export const encodePacket = (packet: Packet): Buffer => {
  // The library would keep a buffer for each of 65,536 numbers.
  writeToStream.cacheNumbers = false
  return generate(packet, { protocolVersion: 5 })
}

/** Takes one whole packet; undefined when it is malformed. */
export type Decoder = (bytes: Buffer) => Packet | undefined

const CONNECT_TYPE = 1

const newParser = () => {
  const slot: { packet: Packet | undefined } = { packet: undefined }
  const parse = parser({ protocolVersion: 5 })
  parse.on('packet', packet => {
    slot.packet = packet
  })
  // Said by the missing packet.
  parse.on('error', () => {
    slot.packet = undefined
  })
  return (bytes: Buffer): Packet | undefined => {
    slot.packet = undefined
    try {
      const rest = parse.parse(bytes)
      return rest === 0 ? slot.packet : undefined
    } catch (error) {
      if (error instanceof Error) return undefined
      throw error
    }
  }
}

/** One decoder serves any number of connections: it keeps nothing between packets. */
export const createDecoder = (): Decoder => {
  const state = { parse: newParser() }
  return bytes => {
    // The parser takes the protocol version of a CONNECT over for what follows.
    const connect = bytes[0]! >> 4 === CONNECT_TYPE
    const packet = connect ? newParser()(bytes) : state.parse(bytes)
    if (!packet && !connect) state.parse = newParser()
    return packet
  }
}

export interface PacketSink {
  /** Not called again after it returned false, until `release`. */
  onPacket(packet: Packet): boolean
  /** The stream cannot be read any further. Called once. */
  onFault(code: number, why: string): void
}

const EMPTY = Buffer.alloc(0)
const HEADER_BYTES_MAX = 5

/** Cuts packets out of chunks of any size. What is kept of an unfinished packet is at most twice what has come of it. */
export class PacketReader {
  /** May be raised between packets. */
  bytesMax: number
  readonly #decode: Decoder
  readonly #sink: PacketSink
  #kept: Buffer = EMPTY
  #used = 0
  #held = false
  #over = false

  constructor(decode: Decoder, sink: PacketSink, bytesMax: number) {
    this.#decode = decode
    this.#sink = sink
    this.bytesMax = bytesMax
  }

  /** Takes all that comes; what one chunk brings about goes out as one TLS record. */
  readFrom(socket: Duplex): void {
    socket.on('data', (chunk: Buffer) => {
      socket.cork()
      this.take(chunk)
      socket.uncork()
    })
  }

  take(chunk: Buffer): void {
    if (this.#over) return
    const whole = this.#used === 0 ? chunk : this.#append(chunk)
    this.#cut(whole)
  }

  /** Goes on after `onPacket` said false. */
  release(): void {
    if (!this.#held || this.#over) return
    this.#held = false
    this.#cut(this.#kept.subarray(0, this.#used))
  }

  /** Nothing is read any more. */
  stop(): void {
    this.#over = true
    this.#kept = EMPTY
    this.#used = 0
  }

  #append(chunk: Buffer): Buffer {
    const bytes = this.#used + chunk.length
    if (bytes > this.#kept.length) {
      const larger = Buffer.allocUnsafe(Math.max(bytes, this.#used * 2))
      this.#kept.copy(larger, 0, 0, this.#used)
      this.#kept = larger
    }
    chunk.copy(this.#kept, this.#used)
    this.#used = bytes
    return this.#kept.subarray(0, bytes)
  }

  #cut(whole: Buffer): void {
    let at = 0
    while (!this.#over && !this.#held) {
      const bytes = this.#lengthAt(whole, at)
      if (bytes === undefined || this.#over || whole.length - at < bytes) break
      const packet = this.#decode(whole.subarray(at, at + bytes))
      at += bytes
      if (!packet) this.#fault(REASON.malformed, 'a malformed packet')
      else if (!this.#sink.onPacket(packet)) this.#held = true
    }
    if (this.#over) this.stop()
    else this.#keep(whole, at)
  }

  #keep(whole: Buffer, at: number): void {
    this.#used = whole.length - at
    if (this.#used === 0) this.#kept = EMPTY
    // A chunk belongs to the socket's pool; and what was read makes room.
    else if (at > 0 || this.#kept.length === 0) this.#kept = Buffer.from(whole.subarray(at))
  }

  /** Of the packet that begins here, header and all; undefined while the header is not complete. */
  #lengthAt(whole: Buffer, at: number): number | undefined {
    let length = 0
    for (let i = 1; i < HEADER_BYTES_MAX; i++) {
      const byte = whole[at + i]
      if (byte === undefined) return undefined
      length += (byte & 0x7f) * 128 ** (i - 1)
      if (byte < 0x80) {
        const bytes = 1 + i + length
        if (bytes > this.bytesMax) this.#fault(REASON.tooLarge, `a packet of ${bytes} bytes, more than ${this.bytesMax}`)
        return bytes
      }
    }
    this.#fault(REASON.malformed, 'a packet without a length')
    return undefined
  }

  #fault(code: number, why: string): void {
    if (this.#over) return
    this.#over = true
    this.#sink.onFault(code, why)
  }
}
