// A small MQTT 5 client over a socket that is open and believed already: one connection, clean start, QoS 0 and 1, no timer and no
// reconnect of its own (the link above has both). CONNECT and SUBSCRIBE go out together, which saves a round trip.

import type { Duplex } from 'node:stream'
import { MQTT_ALIASES_MAX, MQTT_REASON_CHARS_MAX, MQTT_RECEIVE_MAXIMUM, QUEUE_BYTES_MAX } from '../limits.ts'
import { InboundAliases, Outbound, type OutboundMessage } from './mqtt-outbound.ts'
import { createDecoder, encodePacket, PACKET_BYTES_MAX, type Packet, PacketReader, REASON } from './mqtt-packets.ts'

export interface MqttClientOptions {
  /** '' lets the server choose one. */
  readonly clientId: string
  /** 0: none. The caller's own pings count; a server may still announce one, see `MqttClient.serverKeepaliveSeconds`. */
  readonly keepaliveSeconds: number
  readonly sessionExpirySeconds: number
  readonly subscriptions: readonly { readonly topic: string; readonly qos: 0 | 1 }[]
  readonly will?: {
    readonly topic: string
    readonly payload: string | Buffer
    readonly qos: 0 | 1
    readonly retain: boolean
    readonly delaySeconds?: number
  }
}

export interface MqttMessage {
  readonly topic: string
  /** Read it before returning. */
  readonly payload: Buffer
  readonly qos: number
  readonly retain: boolean
}

export interface MqttClient {
  /** Told in order; an acknowledgement goes out when it returns. */
  onMessage: (message: MqttMessage) => void
  /** Called once. */
  onClose: (reason: string) => void
  /** The queue has become empty. */
  onDrain: () => void
  /** What the server wants instead of `keepaliveSeconds`; undefined when it did not say. */
  readonly serverKeepaliveSeconds: number | undefined
  /** Bytes queued and not yet taken by the socket, or held back by the server's Receive Maximum. */
  readonly queuedBytes: number
  /** Queues a message. Over QUEUE_BYTES_MAX the connection closes itself with reason 'slow'. */
  publish(message: OutboundMessage): void
  /** One more topic at QoS 0. A refusal is not told: nothing comes then. */
  subscribe(topic: string): void
  /** PINGREQ. */
  ping(): void
  /** DISCONNECT with a Reason String, behind what is queued; the will is sent only when asked for. */
  close(reason: string, options?: { readonly will: boolean }): void
}

const KEEPALIVE_SECONDS_MAX = 0xffff
const SUBSCRIBE_ID = 1

/** The server said no to the connection. */
export class MqttRefusal extends Error {
  readonly reasonCode: number

  constructor(reasonCode: number, why: string) {
    super(`the server refused (${hex(reasonCode)})${why === '' ? '' : `: ${why}`}`)
    this.reasonCode = reasonCode
  }
}

type Connack = Extract<Packet, { readonly cmd: 'connack' }>
type Publish = Extract<Packet, { readonly cmd: 'publish' }>

const connectPacket = (options: MqttClientOptions): Packet => ({
  cmd: 'connect',
  protocolVersion: 5,
  clean: true,
  clientId: options.clientId,
  keepalive: Math.min(KEEPALIVE_SECONDS_MAX, Math.ceil(options.keepaliveSeconds)),
  properties: {
    ...(options.sessionExpirySeconds > 0 ? { sessionExpiryInterval: options.sessionExpirySeconds } : {}),
    receiveMaximum: MQTT_RECEIVE_MAXIMUM,
    maximumPacketSize: PACKET_BYTES_MAX,
    topicAliasMaximum: MQTT_ALIASES_MAX,
  },
  ...(options.will
    ? {
        will: {
          topic: options.will.topic,
          payload: options.will.payload,
          qos: options.will.qos,
          retain: options.will.retain,
          properties: options.will.delaySeconds ? { willDelayInterval: options.will.delaySeconds } : {},
        },
      }
    : {}),
})

const subscribePacket = (subscriptions: MqttClientOptions['subscriptions']): Packet => ({
  cmd: 'subscribe',
  messageId: SUBSCRIBE_ID,
  // Retain as published tells a retained head from a fresh one.
  subscriptions: subscriptions.map(({ topic, qos }) => ({ topic, qos, nl: false, rap: true, rh: 0 })),
})

const hex = (code: number): string => `0x${code.toString(16).padStart(2, '0')}`

/** Properties come from the other side: a field given twice is a list. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value.slice(0, MQTT_REASON_CHARS_MAX).split(/[\r\n]/, 1)[0]! : '')
const numberOf = (value: unknown, otherwise: number): number => (typeof value === 'number' ? value : otherwise)

class Client implements MqttClient {
  onMessage: (message: MqttMessage) => void = () => {}
  onClose: (reason: string) => void = () => {}
  onDrain: () => void = () => {}
  serverKeepaliveSeconds: number | undefined
  readonly #socket: Duplex
  readonly #reader: PacketReader
  readonly #aliases = new InboundAliases(MQTT_ALIASES_MAX)
  #outbound: Outbound | undefined
  /** Settles the opening. */
  #opened: ((error: Error | undefined) => void) | undefined
  /** Subscriptions not answered, besides the first. */
  #asked = 0
  #over = false
  #fault = ''

  constructor(socket: Duplex, opened: (error: Error | undefined) => void) {
    this.#socket = socket
    this.#opened = opened
    this.#reader = new PacketReader(
      createDecoder(),
      { onPacket: packet => this.#take(packet), onFault: (code, why) => this.#protest(code, why) },
      PACKET_BYTES_MAX,
    )
    this.#reader.readFrom(socket)
    socket.on('error', error => {
      this.#fault ||= error.message
    })
    socket.on('end', () => socket.end())
    socket.on('close', () => this.#finish(this.#fault || 'closed by the other side'))
  }

  start(options: MqttClientOptions): void {
    this.#socket.write(Buffer.concat([connectPacket(options), subscribePacket(options.subscriptions)].map(encodePacket)))
  }

  get queuedBytes(): number {
    return this.#socket.writableLength + (this.#outbound?.waitingBytes ?? 0)
  }

  publish(message: OutboundMessage): void {
    if (this.#over || !this.#outbound) return
    if (this.queuedBytes + message.payload.length > QUEUE_BYTES_MAX) {
      // Nothing drains: a DISCONNECT would only queue up behind the rest.
      this.#finish('slow')
      this.#socket.destroy()
    } else if (!this.#outbound.publish(message)) this.close('protocol: the server takes no message of this size')
  }

  subscribe(topic: string): void {
    if (this.#over || !this.#outbound) return
    this.#asked++
    this.#socket.write(encodePacket(subscribePacket([{ topic, qos: 0 }])))
  }

  ping(): void {
    if (!this.#over) this.#socket.write(encodePacket({ cmd: 'pingreq' }))
  }

  close(reason: string, { will } = { will: false }): void {
    this.#end(will ? REASON.withWill : REASON.success, reason)
  }

  /** Says why and closes. */
  #end(reasonCode: number, reason: string): void {
    if (this.#over) return
    this.#finish(reason)
    if (this.#socket.destroyed) return
    const reasonString = reason.slice(0, MQTT_REASON_CHARS_MAX)
    this.#socket.end(encodePacket({ cmd: 'disconnect', reasonCode, properties: { reasonString } }))
  }

  /** The server broke the protocol. */
  #protest(code: number, why: string): false {
    this.#end(code, `protocol: ${why}`)
    return false
  }

  #finish(reason: string): void {
    this.#fail(new Error(reason))
  }

  #fail(error: Error): void {
    if (this.#over) return
    this.#over = true
    this.#reader.stop()
    // What still comes is read and dropped, so that the other side's end is seen.
    this.#socket.resume()
    const opened = this.#opened
    this.#opened = undefined
    if (opened) opened(error)
    // Not sooner than whoever waits for the opening has set its callbacks: a server may close with its first words.
    else setImmediate(() => this.onClose(error.message))
  }

  #take(packet: Packet): boolean {
    if (this.#over) return false
    if (!this.#outbound) return packet.cmd === 'connack' ? this.#connected(packet) : this.#protest(REASON.protocol, 'no CONNACK first')
    switch (packet.cmd) {
      case 'suback':
        return this.#subscribed(packet.granted)
      case 'publish':
        return this.#received(packet)
      case 'puback':
        return this.#acknowledged(packet.messageId, packet.reasonCode ?? REASON.success)
      case 'pingresp':
        return true
      case 'disconnect':
        this.#fault = textOf(packet.properties?.reasonString) || `closed by the other side (${hex(packet.reasonCode ?? 0)})`
        this.#finish(this.#fault)
        this.#socket.end()
        return false
      default:
        return this.#protest(REASON.protocol, `${packet.cmd} from a server`)
    }
  }

  #connected(packet: Connack): boolean {
    const { reasonCode = REASON.unspecified, properties } = packet
    if (reasonCode !== REASON.success) {
      this.#fail(new MqttRefusal(reasonCode, textOf(properties?.reasonString)))
      this.#socket.end()
      return false
    }
    this.serverKeepaliveSeconds = typeof properties?.serverKeepAlive === 'number' ? properties.serverKeepAlive : undefined
    const bounds = {
      receiveMaximum: numberOf(properties?.receiveMaximum, 0xffff),
      topicAliasMaximum: Math.min(MQTT_ALIASES_MAX, numberOf(properties?.topicAliasMaximum, 0)),
      packetBytesMax: numberOf(properties?.maximumPacketSize, Number.POSITIVE_INFINITY),
    }
    this.#outbound = new Outbound(bounds, bytes => this.#write(bytes))
    return true
  }

  #subscribed(granted: readonly unknown[]): boolean {
    const opened = this.#opened
    if (!opened) return this.#asked-- > 0 || this.#protest(REASON.protocol, 'a SUBACK nobody waits for')
    const refused = granted.find(code => typeof code !== 'number' || code >= REASON.unspecified)
    if (refused !== undefined) {
      this.#end(REASON.success, `the server refused a subscription (${hex(Number(refused))})`)
      return false
    }
    this.#opened = undefined
    opened(undefined)
    // Whoever waits for the opening sets its callbacks before the next message comes.
    this.#socket.pause()
    setImmediate(() => {
      if (this.#over) return
      this.#reader.release()
      this.#socket.resume()
    })
    return false
  }

  #received(packet: Publish): boolean {
    const topic = this.#aliases.resolve(packet.topic, packet.properties?.topicAlias)
    if (topic === undefined) return this.#protest(REASON.aliasInvalid, 'an alias that was not given')
    if (packet.qos > 1) return this.#protest(REASON.qos, 'QoS 2')
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
    this.onMessage({ topic, payload, qos: packet.qos, retain: packet.retain })
    if (packet.qos === 1 && !this.#over)
      this.#socket.write(encodePacket({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: REASON.success }))
    return true
  }

  #write(bytes: Buffer): void {
    this.#socket.write(bytes, this.#written)
  }

  readonly #written = (): void => {
    if (!this.#over && this.queuedBytes === 0) this.onDrain()
  }

  #acknowledged(id: number | undefined, code: number): boolean {
    if (code >= REASON.unspecified) {
      this.#end(REASON.success, `the server refused a message (${hex(code)})`)
      return false
    }
    return this.#outbound?.acknowledged(id ?? 0) || this.#protest(REASON.protocol, 'a PUBACK for nothing')
  }
}

/**
 * Connects and subscribes; settles when the server has granted both, rejects with a one-line message. The socket is this client's from
 * here on, and destroyed when `signal` aborts before that.
 */
export const openMqttClient = (socket: Duplex, options: MqttClientOptions, signal: AbortSignal): Promise<MqttClient> =>
  new Promise((resolve, reject) => {
    const giveUp = (): void => void socket.destroy(new Error('given up'))
    const client = new Client(socket, error => {
      signal.removeEventListener('abort', giveUp)
      if (!error) resolve(client)
      else {
        socket.destroy()
        reject(error)
      }
    })
    signal.addEventListener('abort', giveUp, { once: true })
    if (signal.aborted) giveUp()
    else client.start(options)
  })
