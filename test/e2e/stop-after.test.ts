// Pods that are to be stopped by the device itself when the server is silent: they stop, say why, and start again when it is back;
// the pod beside them runs on. The wish comes from the namespace.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { Client, until } from './client.ts'
import { freePort, helio, type Running, startAgent, startServer, temporaryDir, wipe } from './cluster.ts'

const PATIENCE_MS = 240_000
const device = temporaryDir()
const cluster = temporaryDir()
const world: { server?: Running; agent?: Running; client?: Client } = {}

interface DevicePod {
  name: string
  summary: string
  containers: { pid: number | null }[]
}
const podsOf = async (): Promise<DevicePod[]> =>
  (JSON.parse((await helio('device', 'pods', '--data-dir', device, '--output', 'json')).stdout) as { items: DevicePod[] }).items
const summaries = (pods: readonly DevicePod[]): string => pods.map(pod => `${pod.name} ${pod.summary}`).join(', ')
const untilDevice = async (wanted: string): Promise<readonly DevicePod[]> => {
  const endMs = performance.now() + PATIENCE_MS
  for (;;) {
    const pods = await podsOf()
    if (summaries(pods) === wanted) return pods
    if (performance.now() > endMs)
      throw new Error(`waited in vain for ${wanted}: ${JSON.stringify(pods)}\n${world.agent?.stderr().slice(-2000)}`)
  }
}

t.setTimeout(400_000)
t.teardown(async () => {
  world.client?.close()
  await world.agent?.stop()
  await world.server?.stop()
  wipe(device)
  wipe(cluster)
})

t.test('a silent server stops the pods whose namespace says so, and no others', async t => {
  const port = await freePort()
  const serve = (): Promise<Running> => startServer(cluster, port, '--no-agent', '--cluster-cidr', '10.221.0.0/18')
  world.server = await serve()
  const token = readFileSync(join(cluster, 'join-token'), 'utf8').trim()
  world.agent = await startAgent(device, '--server', world.server.url, '--token', token, '--node-name', 'cell', '--runtime', 'process')
  const file = join(cluster, 'still.tar')
  await writeImage(file, { name: 'heliopause.local/still:1', cmd: ['/bin/sleep', '100000'], env: [] })
  t.equal((await helio('image', 'import', file, '--data-dir', device)).code, 0)
  const client = await Client.open(join(cluster, 'kubeconfig'))
  const metadata = { name: 'robots', annotations: { 'heliopause.io/stop-after': '2s' } }
  t.equal((await client.request('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata })).status, 201)
  for (const [namespace, name] of [
    ['robots', 'arm'],
    ['default', 'lamp'],
  ] as const) {
    const containers = [{ name: 'main', image: 'heliopause.local/still:1' }]
    const spec = { nodeName: 'cell', terminationGracePeriodSeconds: 0, containers }
    const made = await client.request('POST', `/api/v1/namespaces/${namespace}/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec,
    })
    t.equal(made.status, 201)
  }
  const before = await untilDevice('lamp Running, arm Running')
  client.close()
  await world.server.kill()
  // It says so while the container still ends.
  let alone = await untilDevice('lamp Running, arm DisconnectedStop')
  while (typeof alone[1]?.containers[0]?.pid === 'number') alone = await untilDevice('lamp Running, arm DisconnectedStop')
  t.equal(alone[0]?.containers[0]?.pid, before[0]?.containers[0]?.pid)
  t.equal(alone[1]?.containers[0]?.pid, null)
  await world.agent.kill()
  world.agent = await startAgent(device, '--runtime', 'process')
  await untilDevice('lamp Running, arm DisconnectedStop')
  world.server = await serve()
  await helio('device', 'sync', '--data-dir', device)
  const after = await untilDevice('lamp Running, arm Running')
  t.equal(after[0]?.containers[0]?.pid, before[0]?.containers[0]?.pid, 'the other pod never noticed')
  world.client = await Client.open(join(cluster, 'kubeconfig'))
  const isRunning = (pod: unknown): boolean => (pod as { status?: { phase?: string; reason?: string } }).status?.reason === undefined
  await until(world.client, '/api/v1/namespaces/robots/pods', items => isRunning(items.get('arm')), PATIENCE_MS, 'the server knows')
  for (const path of ['robots/pods/arm', 'default/pods/lamp']) await world.client.request('DELETE', `/api/v1/namespaces/${path}`)
  await untilDevice('')
})
