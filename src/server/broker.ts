// The server at an MQTT broker of somebody else's: devices that cannot be reached otherwise come in through it. Who they are is judged as on
// every other way in (device-gate.ts), by their certificate; dates do not count, the key does.

import { X509Certificate } from 'node:crypto'
import { ApiError } from '../base/errors.ts'
import type { Pki } from '../base/pki.ts'
import type { Random } from '../base/random.ts'
import type { Node } from '../kinds/node.ts'
import { clusterIdOf, loadBroker } from '../link/transports/index.ts'
import type { BrokerIdentity } from './credentials.ts'
import { deviceOf, type GateDeps } from './device-gate.ts'
import type { LiveView } from './view.ts'

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const NODES = 'system:nodes'
const NODE_PREFIX = 'system:node:'

/** Throws Forbidden unless the authority signed this certificate (DER) for this device, and the node belongs to its key. */
export const admitCertificate = (
  deps: { readonly view: Pick<LiveView, 'get'>; readonly pki: Pick<Pki, 'inspect' | 'publicKeyPin'>; readonly authorityPem: string },
  device: string,
  certificate: Uint8Array,
): void => {
  const authority = new X509Certificate(deps.authorityPem)
  const shown = new X509Certificate(certificate)
  if (!shown.checkIssued(authority) || !shown.verify(authority.publicKey) || shown.ca || !shown.keyUsage?.includes(CLIENT_AUTH))
    throw new ApiError('Forbidden', `link: the certificate of ${device} is not by this cluster’s authority`)
  const { commonName, organizations } = deps.pki.inspect(certificate)
  if (commonName !== `${NODE_PREFIX}${device}` || !organizations.includes(NODES))
    throw new ApiError('Forbidden', `link: the certificate is not that of ${device}`)
  deviceOf(deps.view, deps.pki, { name: commonName, groups: organizations, node: device }, certificate)
}

export interface BrokerDeps extends Omit<GateDeps, 'credentials' | 'profile'> {
  readonly random: Random
  readonly headKeyPem: string
  readonly identity: BrokerIdentity
}

export interface BrokerGate {
  /** After the hub's: its last words still go out. */
  close(): Promise<void>
}

/** Begins at once; a broker that cannot be reached is tried again for ever, and said so in the log. */
export const openBroker = async (deps: BrokerDeps, url: string): Promise<BrokerGate> => {
  const { view, pki, hub, identity } = deps
  const { mqttLine, openBrokerServer } = await loadBroker()
  const isNode = (device: string): boolean => view.get<Node>('Node', '', device) !== undefined
  const server = openBrokerServer({
    clock: deps.clock,
    random: deps.random,
    log: deps.log,
    cluster: clusterIdOf(pki.publicKeyPin(identity.authorityPem)),
    sign: text => pki.sign(deps.headKeyPem, text),
    isNode,
    admit: (device, certificate) => admitCertificate({ view, pki, authorityPem: identity.authorityPem }, device, certificate),
    accept: (device, connection) => hub.accept(device, connection),
    open: mqttLine({
      url,
      credentials: () => ({ ca: identity.authorityPem, cert: identity.client.certPem, key: identity.client.keyPem }),
    }),
  })
  const unsubscribe = view.subscribe(changes => {
    for (const { object } of changes)
      if (object.kind === 'Node' && !isNode(object.metadata.name ?? '')) server.forget(object.metadata.name ?? '')
  })
  return {
    close() {
      unsubscribe()
      return server.close()
    },
  }
}
