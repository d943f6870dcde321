// A device that wakes up in 1970 with no server in sight, and a server that comes back eleven years later: pods run first, certificates
// that ran out strand nobody, and identity is the key whatever the address. The clocks are wrong by libfaketime; time itself runs true.
// Nothing here is a claim on speed: how long the pods took is printed.

import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { Client, until } from './client.ts'
import { type Actor, freePort, helio, type Running, SELF, startAgent, startAs, startServer, temporaryDir, wipe } from './cluster.ts'

const PATIENCE_MS = 240_000
const PODS = '/api/v1/namespaces/default/pods'
const WORD = 'open-sesame-e2e'

const LIBRARIES = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib/arm-linux-gnueabihf']
const faketime = LIBRARIES.map(dir => `${dir}/faketime/libfaketimeMT.so.1`).find(existsSync)

/** The program with a wrong wall clock and a true monotonic one. */
const at = (time: string): Actor => ({
  command: '/usr/bin/env',
  args: [
    `LD_PRELOAD=${faketime}`,
    `FAKETIME=${time}`,
    'FAKETIME_DONT_FAKE_MONOTONIC=1',
    'DONT_FAKE_MONOTONIC=1',
    SELF.command,
    ...SELF.args,
  ],
})
const IN_1970 = at('@1970-01-01 00:00:30')
const YEARS_LATER = at('+4015d')

const device = temporaryDir()
const cluster = temporaryDir()
const world: { server?: Running | undefined; agent?: Running | undefined; client?: Client | undefined; port: number } = { port: 0 }

type Item = Record<string, unknown>
interface PodLike {
  metadata: { uid: string }
  status?: { phase?: string; conditions?: { type: string; status: string }[]; containerStatuses?: { restartCount: number }[] }
}
interface DevicePod {
  name: string
  uid: string
  summary: string
  containers: { pid: number | null }[]
}

const podsOf = async (): Promise<DevicePod[]> => {
  const { code, stdout, stderr } = await helio('device', 'pods', '--data-dir', device, '--output', 'json')
  if (code !== 0) throw new Error(`device pods: ${stderr}`)
  return (JSON.parse(stdout) as { items: DevicePod[] }).items
}
const statusOf = async (): Promise<{
  clock: { now: string; complaint: string | null }
  server: { connected: boolean }
  warnings: string[]
}> => JSON.parse((await helio('device', 'status', '--data-dir', device, '--output', 'json')).stdout)

const untilDevice = async <T>(ask: () => Promise<T>, check: (answer: T) => boolean, what: string): Promise<T> => {
  const endMs = performance.now() + PATIENCE_MS
  for (;;) {
    const answer = await ask()
    if (check(answer)) return answer
    if (performance.now() > endMs)
      throw new Error(`${what}: not within ${PATIENCE_MS} ms: ${JSON.stringify(answer)}\n${world.agent?.stderr().slice(-3000)}`)
  }
}
const untilSaid = async (running: Running, words: string): Promise<void> => {
  while (!running.stderr().includes(words)) await once(running.child.stderr!, 'data')
}
const allRun = (pods: readonly DevicePod[], count: number): boolean => pods.length === count && pods.every(pod => pod.summary === 'Running')
const isReady = (pod: PodLike): boolean => pod.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false

const manifestOf = (name: string): Item => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: {
    terminationGracePeriodSeconds: 0,
    nodeName: 'tower-1',
    containers: [
      {
        name: 'main',
        image: 'heliopause.local/cold:1',
        command: ['/bin/sh', '-c', 'test "$(cat /keys/word)" = "$WORD" && exec /bin/sleep 100000'],
        env: [{ name: 'WORD', value: WORD }],
        volumeMounts: [{ name: 'keys', mountPath: '/keys' }],
      },
    ],
    volumes: [{ name: 'keys', secret: { secretName: 'keys' } }],
  },
})

const skip = process.getuid?.() !== 0 ? 'not root' : faketime === undefined ? 'no libfaketime here' : false
if (skip) t.comment(`SKIPPED LOUDLY: a cold boot is not tested: ${skip}`)

t.setTimeout(900_000)
t.teardown(async () => {
  world.client?.close()
  await world.agent?.stop()
  await world.server?.stop()
  wipe(device)
  wipe(cluster)
})

t.test('a device and its pods, with everything as it should be', { skip }, async t => {
  world.port = await freePort()
  world.server = await startServer(cluster, world.port, '--no-agent', '--cluster-cidr', '10.211.0.0/16')
  world.client = await Client.open(join(cluster, 'kubeconfig'))
  writeFileSync(join(cluster, 'old-kubeconfig'), readFileSync(join(cluster, 'kubeconfig')))
  const token = readFileSync(join(cluster, 'join-token'), 'utf8').trim()
  world.agent = await startAgent(device, '--server', world.server.url, '--token', token, '--node-name', 'tower-1', '--runtime', 'crun')
  const file = join(cluster, 'cold.tar')
  await writeImage(file, { name: 'heliopause.local/cold:1', cmd: ['/bin/sleep', '100000'], env: [] })
  t.equal((await helio('image', 'import', file, '--data-dir', device)).code, 0)
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keys' }, stringData: { word: WORD } }
  t.equal((await world.client.request('POST', '/api/v1/namespaces/default/secrets', secret)).status, 201)
  for (const name of ['a', 'b', 'c']) t.equal((await world.client.request('POST', PODS, manifestOf(name))).status, 201)
  await until(
    world.client,
    PODS,
    items => items.size === 3 && [...items.values()].every(pod => isReady(pod as unknown as PodLike)),
    PATIENCE_MS,
    'three Ready',
  )
})

t.test('the stolen disk of the device tells no Secret, but for what runs', { skip }, async t => {
  const files = readdirSync(device, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.parentPath.startsWith(join(device, 'run')) && !entry.parentPath.includes('/volumes/'))
    .map(entry => join(entry.parentPath, entry.name))
  t.ok(files.some(file => file.endsWith('agent.db')))
  const words = [WORD, Buffer.from(WORD).toString('base64'), 'PRIVATE KEY']
  t.strictSame(
    files.filter(file => words.some(word => readFileSync(file).includes(word))),
    [],
  )
})

t.test('power gone, 1970, no server: every pod runs all the same', { skip }, async t => {
  const before = await podsOf()
  world.client?.close()
  await world.server?.kill()
  await world.agent?.kill()
  for (const pod of before) for (const { pid } of pod.containers) if (pid !== null) process.kill(pid, 'SIGKILL')
  const startMs = performance.now()
  world.agent = await startAs(IN_1970, 'agent', '--data-dir', device, '--runtime', 'crun')
  const after = await untilDevice(podsOf, pods => allRun(pods, 3), 'three run in 1970')
  t.comment(
    `three pods ran ${Math.round(performance.now() - startMs)} ms after the agent was started in 1970, ready after ${Math.round(world.agent.readyMs)} ms`,
  )
  t.strictSame(after.map(pod => pod.uid).sort(), before.map(pod => pod.uid).sort())
  const { clock } = await statusOf()
  t.match(clock.complaint, /it shows 1970-01-01/)
  t.ok(clock.now > '2026', `time is no earlier than what is certain: ${clock.now}`)
})

t.test('the server is back eleven years later: expired certificates strand nobody, and are made new', { skip }, async t => {
  const pids = (await podsOf()).map(pod => pod.containers[0]?.pid)
  world.server = await startAs(
    YEARS_LATER,
    'server',
    '--data-dir',
    cluster,
    '--port',
    String(world.port),
    '--no-agent',
    '--cluster-cidr',
    '10.211.0.0/16',
  )
  await helio('device', 'sync', '--data-dir', device)
  await untilSaid(world.agent!, '"message":"certificate renewed"')
  world.client = await Client.open(join(cluster, 'kubeconfig'))
  const pods = await until(
    world.client,
    PODS,
    items => items.size === 3 && [...items.values()].every(pod => isReady(pod as unknown as PodLike)),
    PATIENCE_MS,
    'converged',
  )
  t.equal(pods.size, 3)
  t.strictSame(
    (await podsOf()).map(pod => pod.containers[0]?.pid),
    pids,
    'nothing was restarted for it',
  )
  const year = new Date().getUTCFullYear() + 10
  t.ok((await statusOf()).clock.now > String(year), 'the signed time of the server is believed')
  const human = await Client.open(join(cluster, 'old-kubeconfig'))
  t.equal((await human.request('GET', PODS)).status, 401, 'a person’s expired certificate stays refused')
  human.close()
})

t.test('the time that is certain lasts over a restart without contact', { skip }, async t => {
  world.client?.close()
  await world.server?.stop()
  await world.agent?.stop()
  world.agent = await startAs(IN_1970, 'agent', '--data-dir', device, '--runtime', 'crun')
  const { clock, server } = await statusOf()
  t.equal(server.connected, false)
  t.ok(clock.now > String(new Date().getUTCFullYear() + 10), clock.now)
})

t.test('the server has another address: same device, same pods, nothing restarted; the new certificate works', { skip }, async t => {
  const pids = (await podsOf()).map(pod => pod.containers[0]?.pid)
  await world.agent?.stop()
  const port = await freePort()
  world.server = await startAs(
    YEARS_LATER,
    'server',
    '--data-dir',
    cluster,
    '--port',
    String(port),
    '--no-agent',
    '--cluster-cidr',
    '10.211.0.0/16',
  )
  world.agent = await startAs(IN_1970, 'agent', '--data-dir', device, '--runtime', 'crun', '--server', `https://127.0.0.1:${port}`)
  await untilSaid(world.agent, '"message":"renewed certificate works"')
  world.client = await Client.open(join(cluster, 'kubeconfig'))
  const nodes = await until(world.client, '/api/v1/nodes', items => items.size === 1, PATIENCE_MS, 'one node')
  t.strictSame([...nodes.keys()], ['tower-1'])
  t.strictSame(
    (await podsOf()).map(pod => pod.containers[0]?.pid),
    pids,
  )
})

t.test(
  'the key file is lost: what runs runs on, it is said plainly, and a new key gets the same node by the operator’s word',
  { skip },
  async t => {
    const pids = (await podsOf()).map(pod => pod.containers[0]?.pid)
    await world.agent?.stop()
    rmSync(join(device, 'device.key'))
    const token = readFileSync(join(cluster, 'join-token'), 'utf8').trim()
    const server = ['--server', world.server!.url, '--token', token]
    world.agent = await startAs(IN_1970, 'agent', '--data-dir', device, '--runtime', 'crun', '--node-name', 'tower-1', ...server)
    await untilSaid(world.agent, 'has joined with another key')
    t.match((await statusOf()).warnings, [/key file was lost or is another one/])
    const freed = { metadata: { annotations: { 'heliopause.io/public-key-sha256': null } } }
    const type = { 'content-type': 'application/merge-patch+json' }
    t.equal((await world.client!.request('PATCH', '/api/v1/nodes/tower-1', freed, type)).status, 200)
    const pods = await untilDevice(podsOf, found => allRun(found, 3), 'the document came again')
    t.strictSame(
      pods.map(pod => pod.containers[0]?.pid),
      pids,
      'nothing was restarted for it',
    )
  },
)

t.test('pods leave as they came', { skip }, async () => {
  for (const name of ['a', 'b', 'c']) await world.client!.request('DELETE', `${PODS}/${name}`)
  await untilDevice(podsOf, pods => pods.length === 0, 'all gone')
})
