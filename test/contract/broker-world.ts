// A server's side and devices around a broker, with real keys and no API: what the tests of the broker share.

import { X509Certificate } from 'node:crypto'
import { rmSync } from 'node:fs'
import type { KeyPair } from '../../src/base/pki.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemPki } from '../../src/host/pki.ts'
import { systemRandom } from '../../src/host/random.ts'
import type { Connection, Dialer } from '../../src/link/link.ts'
import { BROKER_CLIENT_NAME, brokerDialer, mqttLine, openBrokerServer } from '../../src/link/transports/broker.ts'
import type { OpenLine } from '../../src/link/transports/broker-line.ts'
import type { BrokerServer } from '../../src/link/transports/broker-server.ts'
import { clusterIdOf } from '../../src/link/transports/mqtt-topics.ts'
import { authorityFolder, type Mosquitto, openMosquitto } from './mosquitto.ts'

const DAY = 86_400_000
const now = systemClock.now()

export interface Keys {
  readonly authority: KeyPair
  readonly cluster: string
  readonly head: { readonly privatePem: string; readonly publicPem: string }
  device(name: string, authority?: KeyPair): KeyPair
  readonly server: KeyPair
}

export const makeKeys = (): Keys => {
  const authority = systemPki.createAuthority('ca', now - DAY, now + DAY)
  const client = (commonName: string, organization: string, by: KeyPair): KeyPair =>
    systemPki.issue(by, {
      commonName,
      organizations: [organization],
      altNames: [],
      usage: 'client',
      notBeforeMs: now - DAY,
      notAfterMs: now + DAY,
    })
  return {
    authority,
    cluster: clusterIdOf(systemPki.publicKeyPin(authority.certPem)),
    head: systemPki.createSigningKey(),
    device: (name, by = authority) => client(`system:node:${name}`, 'system:nodes', by),
    server: client(BROKER_CLIENT_NAME, 'heliopause:broker', authority),
  }
}

export const derOf = (pem: string): Uint8Array => new X509Certificate(pem).raw

/** Knows nodes by name and key, as the server does. */
export const nodesOf = (keys: Keys) => {
  const pins = new Map<string, string>()
  return {
    add: (name: string, pair: KeyPair): void => void pins.set(name, systemPki.publicKeyPin(pair.certPem)),
    remove: (name: string): void => void pins.delete(name),
    isNode: (name: string): boolean => pins.has(name),
    admit(name: string, certificate: Uint8Array): void {
      const parsed = new X509Certificate(certificate)
      if (!parsed.verify(new X509Certificate(keys.authority.certPem).publicKey)) throw new Error('not of this authority')
      if (systemPki.inspect(certificate).commonName !== `system:node:${name}`) throw new Error('another name')
      if (pins.get(name) !== systemPki.publicKeyPin(certificate)) throw new Error('another key')
    },
  }
}

export const quietLog = { error: () => {}, info: () => {}, debug: () => {} }

export interface BrokerWorld {
  readonly keys: Keys
  readonly mosquitto: Mosquitto
  readonly nodes: ReturnType<typeof nodesOf>
  /** `through`: what happens to its line besides. */
  server(
    accept: (device: string, connection: Connection) => void,
    options?: { readonly through?: (open: OpenLine) => OpenLine },
  ): BrokerServer
  /** A node of this name, and its way to the broker. */
  dialer(name: string, options?: { readonly pair?: KeyPair; readonly url?: string }): Dialer
  close(): Promise<void>
}

export const openBrokerWorld = async (): Promise<BrokerWorld> => {
  const keys = makeKeys()
  const nodes = nodesOf(keys)
  const folder = authorityFolder(keys.authority)
  const mosquitto = await openMosquitto(folder)
  const servers: BrokerServer[] = []
  const ca = keys.authority.certPem
  return {
    keys,
    mosquitto,
    nodes,
    server(accept, { through = (open: OpenLine): OpenLine => open } = {}) {
      const server = openBrokerServer({
        clock: systemClock,
        random: systemRandom,
        log: quietLog,
        cluster: keys.cluster,
        sign: text => systemPki.sign(keys.head.privatePem, text),
        isNode: nodes.isNode,
        admit: nodes.admit,
        accept,
        open: through(mqttLine({ url: mosquitto.url, credentials: () => ({ ca, cert: keys.server.certPem, key: keys.server.keyPem }) })),
      })
      servers.push(server)
      return server
    },
    dialer(name, { pair = keys.device(name), url = mosquitto.url } = {}) {
      nodes.add(name, pair)
      return brokerDialer({
        url,
        cluster: keys.cluster,
        device: name,
        credentials: () => ({ ca, cert: pair.certPem, key: pair.keyPem }),
        verify: (text, signature) => systemPki.verify(keys.head.publicPem, text, signature),
        clock: systemClock,
        random: systemRandom,
        keepaliveSeconds: 60,
      })
    },
    async close() {
      for (const server of servers) await server.close()
      await mosquitto.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
