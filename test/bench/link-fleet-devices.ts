// A process of devices for link-fleet.ts: each is a real link with a real dialer, and reports one node's status. Tells its parent each second
// how many are connected and in sync.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemPki } from '../../src/host/pki.ts'
import { systemRandom } from '../../src/host/random.ts'
import type { DeviceLink, Dialer, Document, HeldHead } from '../../src/link/link.ts'
import { brokerDialer } from '../../src/link/transports/broker.ts'
import { clusterIdOf, openDeviceLink, webSocketDialer } from '../../src/link/transports/index.ts'
import { mqttDialer } from '../../src/link/transports/mqtt.ts'
import { signDevice } from '../../src/server/join.ts'
import type { Transport } from './link-wire.ts'

export interface DevicesOrder {
  /** The server's, for its authority. */
  readonly dataDir: string
  readonly url: string
  readonly transport: Transport
  readonly requestPem: string
  readonly keyPem: string
  readonly headKey: string
  readonly from: number
  readonly count: number
  readonly perSecond: number
}

export interface DevicesState {
  readonly connected: number
  /** Connected, with the document and with nothing left to report. */
  readonly synced: number
  readonly dials: number
}

interface Device {
  readonly link: DeviceLink
  readonly kept: { value: { head: HeldHead; document: Document } | undefined }
}

const STATUS = {
  capacity: { cpu: '4', memory: '4Gi', pods: '50' },
  allocatable: { cpu: '4', memory: '4Gi', pods: '50' },
  conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'fake', lastTransitionTime: '2026-01-01T00:00:00Z' }],
  addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
  nodeInfo: { architecture: 'amd64', operatingSystem: 'linux', kernelVersion: '6.1.0', kubeletVersion: 'v1.36.0' },
}

const openDevice = (order: DevicesOrder, name: string, ca: string, caKey: string): Device => {
  const signer = { credentials: { authority: { certPem: ca, keyPem: caKey } }, pki: systemPki, nowMs: systemClock.now }
  const cert = signDevice(signer, name, order.requestPem)
  const credentials = () => ({ ca, cert, key: order.keyPem })
  const { url } = order
  const cluster = clusterIdOf(systemPki.publicKeyPin(ca))
  const verify = (text: string, signature: string): boolean => systemPki.verify(order.headKey, text, signature)
  const dialers: Readonly<Record<Transport, () => Dialer>> = {
    ws: () => webSocketDialer({ server: url, credentials }),
    mqtt: () => mqttDialer({ url, cluster, device: name, credentials, clock: systemClock }),
    broker: () =>
      brokerDialer({
        ...{ url, cluster, device: name, credentials, verify },
        ...{ clock: systemClock, random: systemRandom, keepaliveSeconds: 1800 },
      }),
  }
  const kept: Device['kept'] = { value: undefined }
  const link = openDeviceLink({
    device: name,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    dialer: dialers[order.transport](),
    memory: {
      load: () => kept.value,
      async save(head, document) {
        kept.value = { head, document }
      },
    },
    verify,
    sha256: systemPki.sha256,
    onDocument: () => {},
    onStream: (_request, stream) => stream.end('none here'),
  })
  link.setStatus('node', STATUS)
  return { link, kept }
}

const devices: Device[] = []
const tell = (): void => {
  const connected = devices.filter(({ link }) => link.connected)
  const synced = connected.filter(({ link, kept }) => kept.value && link.usage().perPriority.status.waiting === 0)
  const dials = devices.reduce((sum, { link }) => sum + link.line.dials, 0)
  process.send?.({ connected: connected.length, synced: synced.length, dials } satisfies DevicesState)
}

const run = async (order: DevicesOrder): Promise<void> => {
  const [ca, caKey] = [readFileSync(join(order.dataDir, 'pki/ca.crt'), 'utf8'), readFileSync(join(order.dataDir, 'pki/ca.key'), 'utf8')]
  const startMs = systemClock.mono()
  for (let i = 0; i < order.count; i++) {
    devices.push(openDevice(order, `fleet-${order.from + i}`, ca, caKey))
    const dueMs = startMs + ((i + 1) * 1000) / order.perSecond
    if (dueMs > systemClock.mono() + 50) await systemClock.sleep(dueMs - systemClock.mono())
  }
}

process.once('message', order => {
  setInterval(tell, 1000)
  run(order as DevicesOrder).catch((error: unknown) => {
    process.stderr.write(`devices: ${String(error)}\n`)
    process.exit(1)
  })
})
process.once('disconnect', () => process.exit(0))
