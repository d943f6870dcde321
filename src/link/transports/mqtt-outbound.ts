// What one side of an MQTT connection publishes: in order, within the other side's Receive Maximum, with topic aliases where it takes
// them. The same on both sides. Nothing is kept for sending again: sessions end with their connection. MQTT 5 sections 3.3.2.3.4, 4.9.

import { MQTT_INFLIGHT_MAX } from '../limits.ts'
import { encodePacket } from './mqtt-packets.ts'

export interface OutboundMessage {
  readonly topic: string
  readonly payload: string | Buffer
  readonly qos: 0 | 1
  readonly retain?: boolean
}

/** What the other side announced. */
export interface OutboundBounds {
  readonly receiveMaximum: number
  readonly topicAliasMaximum: number
  /** Of a whole packet. */
  readonly packetBytesMax: number
}

export class Outbound {
  readonly #write: (bytes: Buffer) => void
  readonly #bounds: OutboundBounds
  #aliases: Map<string, number> | undefined
  #inflight: Set<number> | undefined
  #waiting: OutboundMessage[] | undefined
  #waitingBytes = 0
  #lastId = 0

  constructor(bounds: OutboundBounds, write: (bytes: Buffer) => void) {
    this.#bounds = bounds
    this.#write = write
  }

  /** Bytes of messages that wait for an acknowledgement of others. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** False: the other side does not take packets of this size, and nothing was sent. */
  publish(message: OutboundMessage): boolean {
    if (this.#waiting === undefined && this.#mayGo(message)) return this.#send(message)
    this.#waiting ??= []
    this.#waiting.push(message)
    this.#waitingBytes += message.payload.length
    return true
  }

  /** A PUBACK came. False when nothing of that number is under way, or what goes next is too large for the other side. */
  acknowledged(id: number): boolean {
    if (!this.#inflight?.delete(id)) return false
    let taken = 0
    let fits = true
    const waiting = this.#waiting ?? []
    for (const message of waiting) {
      if (!this.#mayGo(message)) break
      taken++
      this.#waitingBytes -= message.payload.length
      fits = this.#send(message) && fits
    }
    this.#waiting = taken === waiting.length ? undefined : waiting.slice(taken)
    return fits
  }

  #mayGo(message: OutboundMessage): boolean {
    return message.qos === 0 || (this.#inflight?.size ?? 0) < Math.min(MQTT_INFLIGHT_MAX, this.#bounds.receiveMaximum)
  }

  #send({ topic, payload, qos, retain }: OutboundMessage): boolean {
    const known = this.#aliases?.get(topic)
    const alias = known ?? this.#nextAlias()
    const id = qos === 1 ? this.#nextId() : undefined
    const bytes = encodePacket({
      cmd: 'publish',
      topic: known === undefined ? topic : '',
      payload,
      qos,
      dup: false,
      retain: retain ?? false,
      ...(id === undefined ? {} : { messageId: id }),
      properties: alias === undefined ? {} : { topicAlias: alias },
    })
    if (bytes.length > this.#bounds.packetBytesMax) return false
    if (alias !== undefined && known === undefined) {
      this.#aliases ??= new Map()
      this.#aliases.set(topic, alias)
    }
    if (id !== undefined) {
      this.#inflight ??= new Set()
      this.#inflight.add(id)
    }
    this.#write(bytes)
    return true
  }

  #nextAlias(): number | undefined {
    const next = (this.#aliases?.size ?? 0) + 1
    return next <= this.#bounds.topicAliasMaximum ? next : undefined
  }

  /** 1 to 65535, and none that is under way: there are far fewer of those. */
  #nextId(): number {
    do this.#lastId = (this.#lastId % 0xffff) + 1
    while (this.#inflight?.has(this.#lastId))
    return this.#lastId
  }
}

/** The other side's topic aliases. MQTT 5 section 3.3.2.3.4. */
export class InboundAliases {
  readonly #maximum: number
  #topics: Map<number, string> | undefined

  constructor(maximum: number) {
    this.#maximum = maximum
  }

  /** The topic meant; undefined when the alias is not one (0x94). */
  resolve(topic: string, alias: unknown): string | undefined {
    if (alias === undefined) return topic === '' ? undefined : topic
    if (typeof alias !== 'number' || alias < 1 || alias > this.#maximum) return undefined
    if (topic === '') return this.#topics?.get(alias)
    this.#topics ??= new Map()
    this.#topics.set(alias, topic)
    return topic
  }
}
