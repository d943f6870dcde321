// The ways from this device to its server, as `--link` names them. A new way is one line in WAYS.

import { systemClock } from './host/clock.ts'
import { systemPki } from './host/pki.ts'
import { systemRandom } from './host/random.ts'
import type { Dialer } from './link/link.ts'
import { clusterIdOf, failoverDialer, loadBroker, loadMqtt, webSocketDialer } from './link/transports/index.ts'

/** What of a device's identity its ways need; a certificate that was renewed is read at the next dial. */
export interface LinkIdentity {
  readonly nodeName: string
  /** `https://host:port`. */
  readonly server: string
  readonly ca: string
  readonly certificate: string
  readonly key: string
  /** As the server told at joining. */
  readonly mqttPort?: number
  readonly mqttBroker?: string
  /** Public key of the server's signatures. */
  readonly headKey: string
}

export interface LinkOptions {
  /** In the order of first trial. */
  readonly ways: readonly WayName[]
  /** `mqtts://host:port`; by default the host of the server's address, and the port it told at joining. */
  readonly mqttUrl?: string
  /** `mqtts://host:port` of a broker: MQTT goes there; by default the one told at joining, if there was one. */
  readonly mqttBroker?: string
}

const MQTT_PORT_DEFAULT = 8883

/** Loads what it takes at the first dial, and not before. */
const loadedLater = (load: () => Promise<Dialer>): Dialer => {
  const state: { dialer?: Promise<Dialer> } = {}
  const self: Dialer = {
    async dial(signal) {
      state.dialer ??= load()
      const dialer = await state.dialer
      if (self.onHead) dialer.onHead = self.onHead
      return dialer.dial(signal)
    },
  }
  return self
}

const credentialsOf = (identity: LinkIdentity) => () => ({ ca: identity.ca, cert: identity.certificate, key: identity.key })

const mqttUrlOf = (identity: LinkIdentity): string =>
  `mqtts://${new URL(identity.server).hostname}:${identity.mqttPort ?? MQTT_PORT_DEFAULT}`

/** Longest silence of a session whose pings are answered; the broker gives half as much again. */
const BROKER_KEEPALIVE_SECONDS = 30 * 60

const brokerWay = async (identity: LinkIdentity, url: string): Promise<Dialer> =>
  (await loadBroker()).brokerDialer({
    url,
    cluster: clusterIdOf(systemPki.publicKeyPin(identity.ca)),
    device: identity.nodeName,
    credentials: credentialsOf(identity),
    verify: (text, signature) => systemPki.verify(identity.headKey, text, signature),
    clock: systemClock,
    random: systemRandom,
    keepaliveSeconds: BROKER_KEEPALIVE_SECONDS,
  })

const WAYS = {
  ws: (identity: LinkIdentity): Dialer => webSocketDialer({ server: identity.server, credentials: credentialsOf(identity) }),
  mqtt: (identity: LinkIdentity, { mqttUrl, mqttBroker }: LinkOptions): Dialer =>
    loadedLater(async () => {
      const broker = mqttBroker ?? (mqttUrl === undefined ? identity.mqttBroker : undefined)
      if (broker !== undefined) return brokerWay(identity, broker)
      return (await loadMqtt()).mqttDialer({
        url: mqttUrl ?? mqttUrlOf(identity),
        cluster: clusterIdOf(systemPki.publicKeyPin(identity.ca)),
        device: identity.nodeName,
        credentials: credentialsOf(identity),
        clock: systemClock,
      })
    }),
}

export type WayName = keyof typeof WAYS
const isWay = (name: string): name is WayName => Object.hasOwn(WAYS, name)

/** `ws`, `mqtt`, `auto` (both, WebSocket first) or a list such as `mqtt,ws`; undefined when it is none of them. */
export const parseWays = (text: string): readonly WayName[] | undefined => {
  const names = (text === 'auto' ? 'ws,mqtt' : text).split(',').map(name => name.trim())
  return names.every(isWay) && new Set(names).size === names.length ? names : undefined
}

export const isMqttUrl = (text: string): boolean => /^mqtts:\/\/[^/@?#]+\/?$/.test(text) && URL.canParse(text)

/** One dialer over all ways. */
export const dialerOf = (identity: LinkIdentity, options: LinkOptions): Dialer => {
  const ways = options.ways.map(name => ({ name, dialer: WAYS[name](identity, options) }))
  return ways.length === 1 && ways[0] ? ways[0].dialer : failoverDialer(ways)
}
