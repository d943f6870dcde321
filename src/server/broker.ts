// The server at an MQTT broker of somebody else's: devices that cannot be reached otherwise come in through it. Who they are is judged as on
// every other way in (device-gate.ts), by their certificate; dates do not count, the key does.

import { X509Certificate } from 'node:crypto'
import type { Cancel } from '../base/clock.ts'
import { ApiError } from '../base/errors.ts'
import type { Pki } from '../base/pki.ts'
import type { Random } from '../base/random.ts'
import type { Node } from '../kinds/node.ts'
import { type BrokerServer, clusterIdOf, loadBroker } from '../link/transports/index.ts'
import type { BrokerIdentity } from './credentials.ts'
import { deviceOf, type GateDeps } from './device-gate.ts'
import { affectedDevices } from './render.ts'
import type { LiveView } from './view.ts'

/** Changes are gathered so long before the heads of devices that are away are rendered, so many at a time. */
const HEADS_DELAY_MS = 1000
const HEADS_BATCH_MAX = 64

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

/**
 * Devices that are away find at the broker what they should have, though this server may be away when they look. Gathered, and in slices:
 * a change that touches every device does not stop the world.
 */
const keepHeads = ({ hub, clock }: Pick<BrokerDeps, 'hub' | 'clock'>, server: Pick<BrokerServer, 'isAway' | 'retain'>) => {
  const dirty = new Set<string>()
  const state: { timer: Cancel | undefined } = { timer: undefined }
  const arm = (): void => {
    state.timer ??= clock.after(HEADS_DELAY_MS, () => {
      state.timer = undefined
      for (const device of [...dirty].slice(0, HEADS_BATCH_MAX)) {
        dirty.delete(device)
        const head = server.isAway(device) ? hub.head(device) : undefined
        if (head) server.retain(device, JSON.stringify(head))
      }
      if (dirty.size > 0) arm()
    })
  }
  return {
    changed(device: string): void {
      if (!server.isAway(device)) return
      dirty.add(device)
      arm()
    },
    close: (): void => state.timer?.(),
  }
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
  const heads = keepHeads(deps, server)
  const unsubscribe = view.subscribe(changes => {
    for (const { object, old } of changes) {
      if (object.kind === 'Node' && !isNode(object.metadata.name ?? '')) server.forget(object.metadata.name ?? '')
      for (const device of affectedDevices(view, object, old)) heads.changed(device)
    }
  })
  return {
    close() {
      unsubscribe()
      heads.close()
      return server.close()
    },
  }
}
