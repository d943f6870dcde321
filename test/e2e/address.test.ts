// A device whose address changes in the middle of a session: the same device comes back from the new address, its pods never notice.
// The device lives in a network namespace of its own, joined to the server by a cable.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { Client, until } from './client.ts'
import { freePort, helio, type Running, SELF, startAs, startServer, temporaryDir, wipe } from './cluster.ts'

const PATIENCE_MS = 240_000
const SPACE = `helio-addr-${process.pid}`
const [NEAR, FAR] = [`adr${process.pid % 100_000}a`, `adr${process.pid % 100_000}b`]
const SERVER_ADDRESS = '10.219.77.1'

const ip = (...args: string[]): string => {
  const { status, stderr, stdout } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`)
  return stdout
}

interface NodeLike {
  metadata: { uid: string }
  status?: { addresses?: { type: string; address: string }[]; conditions?: { type: string; status: string }[] }
}
const addressesOf = (node: unknown): string[] =>
  ((node as NodeLike).status?.addresses ?? []).filter(a => a.type === 'InternalIP').map(a => a.address)

const skip =
  process.getuid?.() !== 0 ? 'not root' : spawnSync('ip', ['netns', 'add', SPACE]).status !== 0 ? 'no network namespaces here' : false
if (skip) t.comment(`SKIPPED LOUDLY: a change of address is not tested: ${skip}`)

const device = temporaryDir()
const cluster = temporaryDir()
const world: { server?: Running; agent?: Running; client?: Client } = {}

t.setTimeout(400_000)
t.teardown(async () => {
  world.client?.close()
  await world.agent?.stop()
  await world.server?.stop()
  wipe(device)
  wipe(cluster)
  // The space lives as long as a process in it; its cable goes with either end.
  spawnSync('ip', ['link', 'delete', NEAR])
  if (!skip) ip('netns', 'delete', SPACE)
})

t.test('the address of a device changes in the middle of a session', { skip }, async t => {
  ip('link', 'add', NEAR, 'type', 'veth', 'peer', 'name', FAR, 'netns', SPACE)
  ip('addr', 'add', `${SERVER_ADDRESS}/24`, 'dev', NEAR)
  ip('link', 'set', NEAR, 'up')
  ip('-n', SPACE, 'link', 'set', 'lo', 'up')
  ip('-n', SPACE, 'link', 'set', FAR, 'up')
  ip('-n', SPACE, 'addr', 'add', '10.219.77.2/24', 'dev', FAR)
  const port = await freePort()
  world.server = await startServer(cluster, port, '--no-agent', '--bind', SERVER_ADDRESS, '--cluster-cidr', '10.219.0.0/18')
  const token = readFileSync(join(cluster, 'join-token'), 'utf8').trim()
  const inSpace = { command: 'ip', args: ['netns', 'exec', SPACE, SELF.command, ...SELF.args] }
  const server = `https://${SERVER_ADDRESS}:${port}`
  world.agent = await startAs(
    inSpace,
    ...['agent', '--data-dir', device, '--server', server, '--token', token, '--node-name', 'mover', '--runtime', 'process'],
  )
  const file = join(cluster, 'still.tar')
  await writeImage(file, { name: 'heliopause.local/still:1', cmd: ['/bin/sleep', '100000'], env: [] })
  t.equal((await helio('image', 'import', file, '--data-dir', device)).code, 0)
  const client = await Client.open(join(cluster, 'kubeconfig'))
  world.client = client
  const spec = {
    nodeName: 'mover',
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'main', image: 'heliopause.local/still:1' }],
  }
  const made = await client.request('POST', '/api/v1/namespaces/default/pods', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a' },
    spec,
  })
  t.equal(made.status, 201)
  const untilNode = async (what: string, check: (node: unknown) => boolean): Promise<NodeLike> => {
    const nodes = await until(client, '/api/v1/nodes', items => items.has('mover') && check(items.get('mover')), PATIENCE_MS, what)
    return nodes.get('mover') as unknown as NodeLike
  }
  const before = await untilNode('the first address', node => addressesOf(node).includes('10.219.77.2'))
  const isRunning = (pod: unknown): boolean => (pod as { status?: { phase?: string } }).status?.phase === 'Running'
  await until(client, '/api/v1/namespaces/default/pods', items => items.has('a') && isRunning(items.get('a')), PATIENCE_MS, 'it runs')
  const podsBefore = (await helio('device', 'pods', '--data-dir', device, '--output', 'json')).stdout
  ip('-n', SPACE, 'addr', 'del', '10.219.77.2/24', 'dev', FAR)
  ip('-n', SPACE, 'addr', 'add', '10.219.77.3/24', 'dev', FAR)
  await helio('device', 'sync', '--data-dir', device)
  const after = await untilNode('the new address', node => addressesOf(node).join() === '10.219.77.3')
  t.equal(after.metadata.uid, before.metadata.uid, 'the same node')
  const podsAfter = (await helio('device', 'pods', '--data-dir', device, '--output', 'json')).stdout
  const pids = (text: string): unknown =>
    (JSON.parse(text) as { items: { containers: { pid: number }[] }[] }).items.map(pod => pod.containers[0]?.pid)
  t.match(pids(podsBefore), [Number])
  t.strictSame(pids(podsAfter), pids(podsBefore), 'the pods did not notice')
  await client.request('DELETE', '/api/v1/namespaces/default/pods/a')
  await until(client, '/api/v1/namespaces/default/pods', items => items.size === 0, PATIENCE_MS, 'it leaves through the new address')
})
