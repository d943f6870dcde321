// A device without containers: joins for real, speaks the link for real, and reports every pod of its document as running. Many of
// them in one process stand for a fleet in benchmarks.

import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { timestamp } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemPki } from '../../src/host/pki.ts'
import { systemRandom } from '../../src/host/random.ts'
import type { Pod } from '../../src/kinds/pod.ts'
import type { DeviceLink, Document, Head } from '../../src/link/link.ts'
import { openDeviceLink, webSocketDialer } from '../../src/link/transports/index.ts'

export interface FakeDevice {
  readonly link: DeviceLink
  close(): Promise<void>
}

const post = (url: string, ca: string, body: unknown): Promise<Record<string, string>> =>
  new Promise((resolve, reject) => {
    const call = request(url, { method: 'POST', ca, headers: { 'content-type': 'application/json' } }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () =>
        response.statusCode === 200
          ? resolve(JSON.parse(text) as Record<string, string>)
          : reject(new Error(`${response.statusCode} ${text}`)),
      )
    })
    call.on('error', reject)
    call.end(JSON.stringify(body))
  })

const podStatus = (nowMs: number): Record<string, unknown> => {
  const at = timestamp(nowMs)
  const condition = (type: string): Record<string, unknown> => ({ type, status: 'True', lastTransitionTime: at, lastProbeTime: null })
  return {
    phase: 'Running',
    startTime: at,
    podIP: '10.0.0.1',
    conditions: ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map(condition),
    containerStatuses: [
      { name: 'c', ready: true, restartCount: 0, started: true, image: 'i', imageID: 'sha256:0', state: { running: { startedAt: at } } },
    ],
  }
}

const nodeStatus = (pods: number): Record<string, unknown> => ({
  capacity: { cpu: '64', memory: '64Gi', pods: String(pods) },
  allocatable: { cpu: '64', memory: '64Gi', pods: String(pods) },
  conditions: [
    { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'fake', lastTransitionTime: timestamp(systemClock.now()) },
  ],
  addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
})

/** Joins with the server's token and stays connected until closed. */
export const openFakeDevice = async (dataDir: string, server: string, name: string, podsMax = 200): Promise<FakeDevice> => {
  const ca = readFileSync(join(dataDir, 'pki/ca.crt'), 'utf8')
  const token = readFileSync(join(dataDir, 'join-token'), 'utf8').trim()
  const { requestPem, keyPem } = systemPki.createRequest(name)
  const answer = await post(`${server}/heliopause.io/v1/join`, ca, { token, nodeName: name, csr: requestPem })
  const kept: { value: { head: Head; document: Document } | undefined } = { value: undefined }
  const told = new Map<string, string>()
  const link: DeviceLink = openDeviceLink({
    device: name,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    dialer: webSocketDialer({ server, credentials: () => ({ ca, cert: answer['certificate']!, key: keyPem }) }),
    memory: {
      load: () => kept.value,
      async save(head, document) {
        kept.value = { head, document }
      },
    },
    verify: (text, signature) => systemPki.verify(answer['headKey']!, text, signature),
    sha256: systemPki.sha256,
    onDocument: document => report(document),
    onStream: (_request, stream) => stream.end('a fake device has no logs'),
  })
  const report = ({ pods }: Document): void => {
    const present = new Set<string>()
    for (const pod of pods as Pod[]) {
      const uid = pod.metadata.uid ?? ''
      present.add(uid)
      const gone = pod.metadata.deletionTimestamp !== undefined
      const state = gone ? 'gone' : 'running'
      if (told.get(uid) === state) continue
      told.set(uid, state)
      link.setStatus(`pod/${uid}`, {
        namespace: pod.metadata.namespace ?? '',
        name: pod.metadata.name ?? '',
        uid,
        status: podStatus(systemClock.now()),
        ...(gone ? { gone: true } : {}),
      })
    }
    for (const uid of told.keys()) {
      if (present.has(uid)) continue
      told.delete(uid)
      link.setStatus(`pod/${uid}`, null)
    }
  }
  link.setStatus('node', nodeStatus(podsMax))
  return { link, close: () => link.close() }
}
