// What a client of the server's own MQTT endpoint may ask, and the reason code of what it may not: default deny. A certificate says which
// device it is; only that device's topics exist for it. Functions of the packet alone. MQTT 5 sections 3 and 4.13.

import { MQTT_CLIENT_ID_CHARS_MAX, MQTT_FILTERS_MAX } from '../limits.ts'
import { type Packet, REASON } from './mqtt-packets.ts'
import { parseTopic, type TopicKind } from './mqtt-topics.ts'

export type PacketOf<C extends Packet['cmd']> = Extract<Packet, { readonly cmd: C }>

/** Reason code and cause: the connection ends with it. */
export type Fault = readonly [code: number, why: string]

/** Who a connection proved to be: a device, or why it is none. */
export type Proven = { readonly device: string } | { readonly refusal: string }

/** Property types are the sender's word: one given twice is a list, and some may not be 0. */
export const isPositive = (value: unknown): value is number => typeof value === 'number' && value > 0

/** Of this device's own topics; undefined for every other. */
export const ownKind = (topic: string, cluster: string, device: string): TopicKind | undefined => {
  const parsed = parseTopic(topic)
  return parsed?.cluster === cluster && parsed.device === device ? parsed.kind : undefined
}

export const connectFault = ({ will, properties, clientId }: PacketOf<'connect'>, proven: Proven, cluster: string): Fault | undefined => {
  if ('refusal' in proven) return [REASON.notAuthorized, proven.refusal]
  if (properties?.authenticationMethod !== undefined) return [REASON.badAuthentication, 'a certificate is the only proof']
  if (clientId.length > MQTT_CLIENT_ID_CHARS_MAX) return [REASON.unspecified, 'the client identifier is too long']
  for (const bound of [properties?.receiveMaximum, properties?.maximumPacketSize])
    if (bound !== undefined && !isPositive(bound)) return [REASON.protocol, 'a bound that is none']
  // The connection itself tells that the device lives; a will is for brokers, and only looked at here.
  if (will && ownKind(will.topic, cluster, proven.device) !== 'alive') return [REASON.notAuthorized, 'a will for a topic of somebody else']
  return will && (will.qos ?? 0) > 1 ? [REASON.qos, 'a will of QoS 2'] : undefined
}

export const publishFault = ({ qos, messageId }: PacketOf<'publish'>): Fault | undefined => {
  if (qos > 1) return [REASON.qos, 'QoS 2']
  return qos === 1 && !isPositive(messageId) ? [REASON.protocol, 'a message without a number'] : undefined
}

export const subscribeFault = ({ subscriptions, messageId, properties }: PacketOf<'subscribe'>): Fault | undefined => {
  if (!isPositive(messageId) || subscriptions.length === 0) return [REASON.protocol, 'an empty SUBSCRIBE']
  if (properties?.subscriptionIdentifier !== undefined) return [REASON.identifiers, 'a subscription identifier']
  return subscriptions.length > MQTT_FILTERS_MAX ? [REASON.quota, `more than ${MQTT_FILTERS_MAX} filters`] : undefined
}

export const unsubscribeFault = ({ unsubscriptions, messageId }: PacketOf<'unsubscribe'>): Fault | undefined =>
  !isPositive(messageId) || unsubscriptions.length === 0 || unsubscriptions.length > MQTT_FILTERS_MAX
    ? [REASON.protocol, 'an UNSUBSCRIBE of nothing or of too much']
    : undefined

/** Why a filter is not granted; undefined when it is one of the two that are. */
export const filterRefusal = (filter: string, kind: TopicKind | undefined): number | undefined => {
  if (kind === 'down' || kind === 'head') return undefined
  if (filter.startsWith('$share/')) return REASON.shared
  return /[+#]/.test(filter) ? REASON.wildcard : REASON.notAuthorized
}
