// A Deployment of 1,000 replicas over fake devices: until all pods are bound, and until all are available.

import { join } from 'node:path'
import { Client, until } from '../e2e/client.ts'
import { openFakeDevice } from '../e2e/fake-device.ts'
import { report, round } from './measure.ts'

const DEVICES = 10

export const replicas = async (dir: string, url: string, count = 1000): Promise<void> => {
  const devices = await Promise.all(Array.from({ length: DEVICES }, (_, i) => openFakeDevice(dir, url, `fake-${i}`)))
  const client = await Client.open(join(dir, 'kubeconfig'))
  const ready = (item: Record<string, unknown>): boolean =>
    (item['status'] as { conditions?: { type: string; status: string }[] })?.conditions?.some(
      c => c.type === 'Ready' && c.status === 'True',
    ) ?? false
  await until(client, '/api/v1/nodes', items => items.size === DEVICES && [...items.values()].every(ready), 20_000, 'devices Ready')
  const PODS = '/api/v1/namespaces/default/pods'
  const start = performance.now()
  const made = until(client, PODS, items => items.size === count, 120_000, 'created').then(() => performance.now() - start)
  const bound = until(
    client,
    PODS,
    items => items.size === count && [...items.values()].every(pod => (pod['spec'] as { nodeName?: string }).nodeName),
    120_000,
    'bound',
  ).then(() => performance.now() - start)
  const available = until(
    client,
    '/apis/apps/v1/namespaces/default/deployments',
    items => (items.get('big')?.['status'] as { availableReplicas?: number } | undefined)?.availableReplicas === count,
    120_000,
    'available',
  ).then(() => performance.now() - start)
  await client.ok('POST', '/apis/apps/v1/namespaces/default/deployments', {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'big' },
    spec: {
      replicas: count,
      selector: { matchLabels: { app: 'big' } },
      template: { metadata: { labels: { app: 'big' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  })
  const [madeMs, boundMs, availableMs] = await Promise.all([made, bound, available])
  report('replicas', {
    count,
    devices: DEVICES,
    allCreatedSeconds: round(madeMs / 1000),
    allBoundSeconds: round(boundMs / 1000),
    allAvailableSeconds: round(availableMs / 1000),
  })
  client.close()
  await Promise.all(devices.map(device => device.close()))
}
