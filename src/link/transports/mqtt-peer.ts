// One MQTT connection at the server's own endpoint, after TLS. Who it is was settled by its certificate; it may speak of that device's
// topics and of nothing else. A subscription to `down` makes it the device's link, the same frames as on a WebSocket; one to `head` alone
// makes it a watcher, which any stock client can be. No session outlives its connection, and nothing a client says is retained.

import { isUtf8 } from 'node:buffer'
import type { Duplex } from 'node:stream'
import {
  FRAME_BYTES_MAX,
  MQTT_ALIASES_MAX,
  MQTT_ALIVE_MAX,
  MQTT_ANSWERS_MAX,
  MQTT_CLOSE_MS_MAX,
  MQTT_CONNECT_BYTES_MAX,
  MQTT_CONNECT_MS_MAX,
  MQTT_REASON_CHARS_MAX,
  MQTT_RECEIVE_MAXIMUM,
  QUEUE_BYTES_MAX,
} from '../limits.ts'
import type { Connection } from '../link.ts'
import { InboundAliases, Outbound } from './mqtt-outbound.ts'
import { type Decoder, encodePacket, PACKET_BYTES_MAX, type Packet, PacketReader, REASON } from './mqtt-packets.ts'
import {
  connectFault,
  filterRefusal,
  isPositive,
  ownKind,
  type PacketOf,
  type Proven,
  publishFault,
  subscribeFault,
  unsubscribeFault,
} from './mqtt-rules.ts'
import { type TopicKind, topicOf } from './mqtt-topics.ts'

/** What a connection asks of the endpoint. One for all connections. */
export interface PeerHost {
  readonly cluster: string
  readonly decode: Decoder
  mono(): number
  keepaliveMs(device: string): number
  /** For a client that brings none; never the same twice. */
  newClientId(): string
  /** The device's signed head as JSON; undefined when there is none. */
  head(device: string): string | undefined
  /** Each head the link offers. */
  headOffered(device: string, head: string): void
  /** CONNECT was taken; the deadline has moved. */
  connected(peer: MqttPeer): void
  /** The connection asked for `down`. */
  link(device: string, connection: Connection): void
  refused(why: string): void
  /** Nothing more comes of it; the socket may need a while to say so to the other side. */
  over(peer: MqttPeer): void
  gone(peer: MqttPeer): void
}

/** MQTT 5 section 3.1.2.10. */
const KEEPALIVE_FACTOR = 1.5

/** MQTT 3.1.1's "unacceptable protocol version". */
const REFUSAL_OF_3 = Buffer.from([0x20, 2, 0, 1])

export class MqttPeer implements Connection {
  onFrame: (frame: string) => void = () => {}
  onClose: (reason: string) => void = () => {}
  onDrain?: () => void
  clientId = ''
  /** Monotonic; the connection is cut when it is reached. The link judges its own silence. */
  deadlineMs: number
  readonly proven: Proven
  readonly #socket: Duplex
  readonly #host: PeerHost
  readonly #reader: PacketReader
  readonly #aliases = new InboundAliases(MQTT_ALIASES_MAX)
  #outbound: Outbound | undefined
  #keepaliveMs = 0
  /** QoS granted. */
  #down: 0 | 1 | undefined
  #head: 0 | 1 | undefined
  #asPublished = false
  #answers = 0
  #alive = 0
  #over = false
  #fault = ''

  constructor(socket: Duplex, proven: Proven, host: PeerHost) {
    this.#socket = socket
    this.#host = host
    this.proven = proven
    this.deadlineMs = host.mono() + MQTT_CONNECT_MS_MAX
    this.#reader = new PacketReader(host.decode, this, MQTT_CONNECT_BYTES_MAX)
    this.#reader.readFrom(socket)
    socket.on('error', error => {
      this.#fault ||= error.message
    })
    socket.on('close', () => {
      this.#finish(this.#fault || 'closed by the other side')
      host.gone(this)
    })
  }

  get isLink(): boolean {
    return this.#down !== undefined && !this.#over
  }

  get queuedBytes(): number {
    return this.#socket.writableLength + (this.#outbound?.waitingBytes ?? 0)
  }

  send(frame: string): void {
    if (this.#over || this.#down === undefined || !('device' in this.proven)) return
    this.#publish(this.proven.device, 'down', frame, this.#down, false)
  }

  retain(head: string): void {
    if ('device' in this.proven) this.#host.headOffered(this.proven.device, head)
  }

  close(reason: string): void {
    this.end(REASON.success, reason)
  }

  /** A newer head, for those who watch it. */
  tellHead(head: string): void {
    if (this.#head !== undefined && 'device' in this.proven) this.#publish(this.proven.device, 'head', head, this.#head, this.#asPublished)
  }

  /** DISCONNECT, behind what is queued. */
  end(reasonCode: number, reason: string): void {
    if (this.#over) return
    const bytes = this.#outbound
      ? encodePacket({ cmd: 'disconnect', reasonCode, properties: { reasonString: reason.slice(0, MQTT_REASON_CHARS_MAX) } })
      : undefined
    this.#finish(reason)
    if (bytes) this.#socket.end(bytes)
    else this.#socket.end()
  }

  /** The deadline has passed. */
  cut(): void {
    const silent = this.#over || !this.#outbound
    this.end(REASON.keepAlive, 'nothing was heard for too long')
    if (silent) this.#socket.destroy()
  }

  onFault(code: number, why: string): void {
    if (this.#outbound) this.end(code, `protocol: ${why}`)
    else this.#refuse(code, why)
  }

  onPacket(packet: Packet): boolean {
    if (this.#over) return false
    if (!this.#outbound) {
      if (packet.cmd === 'connect') this.#connect(packet)
      else this.#refuse(REASON.protocol, `${packet.cmd} before CONNECT`)
      return !this.#over
    }
    this.#heard()
    switch (packet.cmd) {
      case 'publish':
        this.#received(packet)
        break
      case 'puback':
        if (!this.#outbound.acknowledged(packet.messageId ?? 0)) this.onFault(REASON.protocol, 'a PUBACK for nothing')
        break
      case 'subscribe':
        this.#subscribe(packet)
        break
      case 'unsubscribe':
        this.#unsubscribe(packet)
        break
      case 'pingreq':
        this.#answer({ cmd: 'pingresp' })
        break
      case 'disconnect':
        this.#leave(packet)
        break
      default:
        this.onFault(REASON.protocol, `${packet.cmd} from a client`)
    }
    return !this.#over
  }

  #heard(): void {
    this.deadlineMs = this.#down === undefined ? this.#host.mono() + this.#keepaliveMs * KEEPALIVE_FACTOR : Number.POSITIVE_INFINITY
  }

  #finish(reason: string): void {
    if (this.#over) return
    this.#over = true
    this.deadlineMs = this.#host.mono() + MQTT_CLOSE_MS_MAX
    this.#reader.stop()
    this.#outbound = undefined
    this.#socket.resume()
    this.#host.over(this)
    queueMicrotask(() => this.onClose(reason))
  }

  #refuse(reasonCode: number, why: string): void {
    this.#host.refused(why)
    this.#socket.write(
      encodePacket({
        cmd: 'connack',
        sessionPresent: false,
        reasonCode,
        properties: { reasonString: why.slice(0, MQTT_REASON_CHARS_MAX) },
      }),
    )
    this.end(reasonCode, why)
  }

  #connect(packet: PacketOf<'connect'>): void {
    if (packet.protocolVersion !== 5) {
      this.#host.refused('MQTT before version 5')
      this.#socket.write(REFUSAL_OF_3)
      this.end(REASON.version, 'MQTT before version 5')
      return
    }
    const fault = connectFault(packet, this.proven, this.#host.cluster)
    if (fault) this.#refuse(...fault)
    else this.#welcome(packet)
  }

  #welcome({ clientId, properties }: PacketOf<'connect'>): void {
    if (!('device' in this.proven)) return
    this.clientId = clientId === '' ? this.#host.newClientId() : clientId
    this.#keepaliveMs = this.#host.keepaliveMs(this.proven.device)
    this.#outbound = new Outbound(
      {
        receiveMaximum: properties?.receiveMaximum ?? 0xffff,
        topicAliasMaximum: isPositive(properties?.topicAliasMaximum) ? Math.min(MQTT_ALIASES_MAX, properties.topicAliasMaximum) : 0,
        packetBytesMax: properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY,
      },
      bytes => this.#write(bytes),
    )
    this.#reader.bytesMax = PACKET_BYTES_MAX
    this.#heard()
    this.#write(
      encodePacket({
        cmd: 'connack',
        sessionPresent: false,
        reasonCode: REASON.success,
        properties: {
          ...(properties?.sessionExpiryInterval ? { sessionExpiryInterval: 0 } : {}),
          ...(clientId === '' ? { assignedClientIdentifier: this.clientId } : {}),
          receiveMaximum: MQTT_RECEIVE_MAXIMUM,
          maximumQoS: 1,
          maximumPacketSize: PACKET_BYTES_MAX,
          topicAliasMaximum: MQTT_ALIASES_MAX,
          wildcardSubscriptionAvailable: false,
          subscriptionIdentifiersAvailable: false,
          sharedSubscriptionAvailable: false,
          serverKeepAlive: Math.min(0xffff, Math.ceil(this.#keepaliveMs / 1000)),
        },
      }),
    )
    this.#host.connected(this)
  }

  #own(topic: string): TopicKind | undefined {
    return 'device' in this.proven ? ownKind(topic, this.#host.cluster, this.proven.device) : undefined
  }

  #received(packet: PacketOf<'publish'>): void {
    const topic = this.#aliases.resolve(packet.topic, packet.properties?.topicAlias)
    const fault = topic === undefined ? ([REASON.aliasInvalid, 'an alias that was not given'] as const) : publishFault(packet)
    if (fault) {
      this.onFault(...fault)
      return
    }
    const code = this.#deliver(this.#own(topic ?? ''), packet)
    if (this.#over) return
    if (packet.qos === 1) this.#answer({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: code })
    else if (code !== REASON.success) this.onFault(code, 'a message to a topic that is not this device’s to write')
  }

  #deliver(kind: TopicKind | undefined, { payload, retain }: PacketOf<'publish'>): number {
    if (kind === 'alive') {
      if (++this.#alive > MQTT_ALIVE_MAX) this.onFault(REASON.quota, 'too many signs of life')
      return REASON.success
    }
    if (kind !== 'up') return REASON.notAuthorized
    if (retain) return REASON.retain
    if (this.#down === undefined) {
      this.onFault(REASON.protocol, 'a frame before the subscription to down')
      return REASON.protocol
    }
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
    if (bytes.length > FRAME_BYTES_MAX) this.onFault(REASON.tooLarge, 'a frame is too large')
    else if (!isUtf8(bytes)) this.onFault(REASON.payloadFormat, 'a frame is not text')
    else this.onFrame(bytes.toString())
    return REASON.success
  }

  #subscribe(packet: PacketOf<'subscribe'>): void {
    const { proven } = this
    const fault = subscribeFault(packet)
    if (fault) this.onFault(...fault)
    if (fault || !('device' in proven)) return
    const { subscriptions, messageId = 0 } = packet
    const had = { down: this.#down !== undefined, head: this.#head !== undefined }
    const granted = subscriptions.map(({ topic, qos, rap }) => this.#grant(topic, qos > 0 ? 1 : 0, rap === true))
    this.#answer({ cmd: 'suback', messageId, granted })
    const watched = subscriptions.findLast(({ topic }) => this.#own(topic) === 'head')
    // Retain handling: 0 sends at each subscription, 1 at a new one, 2 never.
    if (watched && this.#head !== undefined && (watched.rh === 0 || (watched.rh === 1 && !had.head))) {
      const head = this.#host.head(proven.device)
      if (head !== undefined) this.#publish(proven.device, 'head', head, this.#head, true)
    }
    if (this.#down === undefined || had.down || this.#over) return
    this.#heard()
    this.#host.link(proven.device, this)
  }

  #grant(filter: string, qos: 0 | 1, asPublished: boolean): number {
    const kind = this.#own(filter)
    const refusal = filterRefusal(filter, kind)
    if (refusal !== undefined) return refusal
    if (kind === 'down') this.#down = qos
    else {
      this.#head = qos
      this.#asPublished = asPublished
    }
    return qos
  }

  #unsubscribe(packet: PacketOf<'unsubscribe'>): void {
    const fault = unsubscribeFault(packet)
    if (fault) {
      this.onFault(...fault)
      return
    }
    const kinds = packet.unsubscriptions.map(topic => this.#own(topic))
    const held = (kind: TopicKind | undefined): boolean =>
      (kind === 'head' ? this.#head : kind === 'down' ? this.#down : undefined) !== undefined
    this.#answer({
      cmd: 'unsuback',
      messageId: packet.messageId ?? 0,
      granted: kinds.map(kind => (held(kind) ? REASON.success : REASON.noSubscription)),
    })
    if (kinds.includes('head')) this.#head = undefined
    // The link is over with its subscription.
    if (kinds.includes('down') && held('down')) this.end(REASON.success, 'unsubscribed')
  }

  #leave({ properties }: PacketOf<'disconnect'>): void {
    const reason = properties?.reasonString
    this.#finish(typeof reason === 'string' && reason !== '' ? reason.slice(0, MQTT_REASON_CHARS_MAX) : 'closed by the other side')
    this.#socket.end()
  }

  #publish(device: string, kind: TopicKind, text: string, qos: 0 | 1, retain: boolean): void {
    if (this.#over || !this.#outbound) return
    const topic = topicOf({ cluster: this.#host.cluster, device, kind })
    if (this.queuedBytes + text.length > QUEUE_BYTES_MAX) {
      this.#finish('slow')
      // Nothing drains: a DISCONNECT would only queue up behind the rest.
      this.#socket.destroy()
    } else if (!this.#outbound.publish({ topic, payload: text, qos, retain }))
      this.end(REASON.tooLarge, 'protocol: the client takes no message of this size')
  }

  #answer(packet: Packet): void {
    if (this.#over) return
    if (++this.#answers > MQTT_ANSWERS_MAX) {
      this.#finish('slow')
      this.#socket.destroy()
    } else this.#socket.write(encodePacket(packet), this.#answered)
  }

  readonly #answered = (): void => {
    this.#answers--
    this.#written()
  }

  #write(bytes: Buffer): void {
    this.#socket.write(bytes, this.#written)
  }

  readonly #written = (): void => {
    if (!this.#over && this.queuedBytes === 0) this.onDrain?.()
  }
}
