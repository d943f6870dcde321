// Where devices come in: the same proof on every transport, then to the hub. A name is a Node, and the Node belongs to one key.

import type { TLSSocket } from 'node:tls'
import { type Identity, noResource, peerOf, refuseUpgrade, type UpgradeHandler } from '../api/api.ts'
import type { Clock } from '../base/clock.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { Node } from '../kinds/node.ts'
import type { Hub } from '../link/link.ts'
import { clusterIdOf, LINK_PATH, loadMqtt, PROFILES, webSocketAcceptor } from '../link/transports/index.ts'
import type { Credentials } from './credentials.ts'
import { KEY_ANNOTATION } from './join.ts'
import type { LiveView } from './view.ts'

export interface GateDeps {
  readonly view: LiveView
  readonly pki: Pki
  readonly hub: Hub
  readonly clock: Clock
  readonly log: Log
  readonly credentials: Pick<Credentials, 'authority' | 'server'>
}

/** The device a connection may speak for: its name is a Node, and the Node belongs to the key of the certificate. Throws Forbidden. */
export const deviceOf = (
  view: Pick<LiveView, 'get'>,
  pki: Pick<Pki, 'publicKeyPin'>,
  identity: Identity | undefined,
  peerCertificate: Uint8Array | undefined,
): string => {
  const node = identity?.node && view.get<Node>('Node', '', identity.node)
  if (!identity?.node || !node || !peerCertificate)
    throw new ApiError('Forbidden', `link: ${identity?.name ?? 'anonymous'} is no node of this cluster`)
  if (node.metadata.annotations?.[KEY_ANNOTATION] !== pki.publicKeyPin(peerCertificate))
    throw new ApiError('Forbidden', `link: the node ${identity.node} belongs to another key`)
  return identity.node
}

/** Takes the WebSockets of devices to the hub; refuses everybody else's. */
export const linkUpgrade = ({ view, pki, hub, log }: Pick<GateDeps, 'view' | 'pki' | 'hub' | 'log'>): UpgradeHandler => {
  const acceptWebSocket = webSocketAcceptor()
  return (request, socket, head, identity, peerCertificate) => {
    if (request.url?.split('?')[0] !== LINK_PATH) return refuseUpgrade(socket, noResource())
    try {
      const device = deviceOf(view, pki, identity, peerCertificate)
      const connection = acceptWebSocket(request, socket, head)
      if (connection) hub.accept(device, connection)
    } catch (error) {
      log.info('link refused', { why: messageOf(error) })
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n')
    }
  }
}

export interface MqttGate {
  readonly port: number
  close(): Promise<void>
}

/** Opens the MQTT endpoint for devices; rejects with a hint when the port is taken. */
export const openMqttGate = async (deps: GateDeps, address: { readonly bind: string; readonly port: number }): Promise<MqttGate> => {
  const { view, pki, hub, clock, log, credentials } = deps
  const { listenMqtt } = await loadMqtt()
  const ca = credentials.authority.certPem
  const listener = await listenMqtt(
    {
      clock,
      log,
      cluster: clusterIdOf(pki.publicKeyPin(ca)),
      accept: (device, connection) => hub.accept(device, connection),
      head(device) {
        const head = hub.head(device)
        return head && JSON.stringify(head)
      },
      keepaliveMs: device => PROFILES[hub.contact(device)?.profile ?? 'lan'].keepaliveMs,
    },
    {
      ...address,
      ca,
      cert: credentials.server.certPem,
      key: credentials.server.keyPem,
      deviceOf(socket: TLSSocket) {
        const peer = peerOf(socket, ca)
        return deviceOf(view, pki, peer.identity ?? peer.outdatedDevice, peer.certificate)
      },
    },
  )
  const unsubscribe = view.subscribe(changes => {
    for (const { object } of changes) {
      const name = object.metadata.name ?? ''
      if (object.kind === 'Node' && !view.get<Node>('Node', '', name)) listener.endpoint.forget(name)
    }
  })
  log.info('MQTT for devices', { port: listener.port })
  return {
    port: listener.port,
    async close() {
      unsubscribe()
      await listener.close()
    },
  }
}
