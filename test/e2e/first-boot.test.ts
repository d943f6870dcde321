// The first boot of a flashed device, end to end: a seed and pre-loaded pods, no network; then the server is there, the device joins and
// takes its document. A seed of another cluster, a power cut at any moment, labels that people changed.

import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemExec } from '../../src/host/exec.ts'
import { deviceToken } from '../../src/server/device-token.ts'
import { Client } from './client.ts'
import { freePort, helio, type Running, SELF, startAgent, startAs, startServer, temporaryDir, wipe } from './cluster.ts'
import { flashDevice, NODES, podsOf, seedText, untilRunning } from './first-boot-device.ts'
import { waitUntil } from './waiting.ts'

const RANGE = '10.223.0.0/16'
const PODS = '/api/v1/namespaces/default/pods'

const untilSaid = (running: Running, words: string): Promise<void> => waitUntil(words, async () => running.stderr().includes(words))

interface World {
  readonly device: string
  readonly cluster: string
  readonly seed: string
  readonly roles: Running[]
}

/** A device as it comes out of scripts/flash, and a cluster that is not there yet. */
const makeWorld = async (t: Test): Promise<World> => {
  const world: World = { device: temporaryDir(), cluster: temporaryDir(), seed: '', roles: [] }
  t.teardown(async () => {
    for (const role of world.roles) await role.kill()
    wipe(world.device)
    wipe(world.cluster)
  })
  await flashDevice(world.device)
  return { ...world, seed: join(world.device, 'seed.yaml') }
}

const serve = async (world: World, port: number): Promise<{ server: Running; client: Client; token: string }> => {
  const server = await startServer(world.cluster, port, '--no-agent', '--cluster-cidr', RANGE)
  world.roles.push(server)
  const token = readFileSync(join(world.cluster, 'join-token'), 'utf8').trim()
  return { server, client: await Client.open(join(world.cluster, 'kubeconfig')), token }
}

const walk = async (t: Test, runtime: 'process' | 'crun'): Promise<void> => {
  const world = await makeWorld(t)
  const { device, seed, roles } = world
  const port = await freePort()
  // The cluster's keys exist before the device is flashed; the server itself is out of reach at the first boot.
  const before = await serve(world, port)
  // One of the two devices has a Node before it comes, as an operator makes it who says things about it beforehand.
  const site = runtime === 'process' ? 'west' : 'north'
  if (runtime === 'process') {
    const made = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'tower-17', labels: { 'heliopause.io/site': site } } }
    t.equal((await before.client.request('POST', NODES, made)).status, 201)
  }
  before.client.close()
  await before.server.stop()
  const token = deviceToken(before.token, 'tower-17')
  const podCIDR = runtime === 'crun' ? '10.224.0.0/24' : '10.225.0.0/24'
  writeFileSync(
    seed,
    seedText({ nodeName: 'tower-17', site: 'north', labels: '{rack: "3"}', server: `https://127.0.0.1:${port}`, token, podCIDR }),
  )
  const start = async (): Promise<Running> => {
    const agent = await startAgent(device, '--seed', seed, '--runtime', runtime)
    roles.push(agent)
    return agent
  }
  const first = await start()
  const pod = await untilRunning(device, 'first')
  t.match(first.stderr(), 'preload/broken.yaml', 'the broken manifest is named')
  t.match((await helio('device', 'status', '--data-dir', device)).stdout, /tower-17/)
  await untilSaid(first, 'join failed')

  await first.kill()
  const second = await start()
  const adopted = await untilRunning(device, 'first')
  t.strictSame([adopted.uid, adopted.containers[0]?.pid], [pod.uid, pod.containers[0]?.pid], 'kill -9: the same pod, the same process')
  t.ok(readFileSync(seed, 'utf8').includes(token), 'the token is there until it was used')

  const { client } = await serve(world, port)
  t.teardown(() => client.close())
  await untilSaid(second, 'token in the seed overwritten')
  t.notOk(readFileSync(seed, 'utf8').includes('helio1.'))
  const labels = async (): Promise<Record<string, string>> =>
    ((await client.request('GET', `${NODES}/tower-17`)).json as unknown as { metadata: { labels: Record<string, string> } }).metadata.labels
  t.match(await labels(), {
    rack: '3',
    'topology.kubernetes.io/zone': 'north',
    'heliopause.io/site': site,
    'kubernetes.io/hostname': 'tower-17',
  })
  const { spec } = (await client.request('GET', `${NODES}/tower-17`)).json as unknown as { spec: { podCIDR?: string } }
  t.match(spec.podCIDR, /\/24$/)
  await waitUntil('the pre-loaded pod gave way to the document', async () => (await podsOf(device)).length === 0)
  const mine = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'second' },
    spec: {
      nodeName: 'tower-17',
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'main', image: 'heliopause.local/first:1', command: ['sleep', '100000'] }],
    },
  }
  t.equal((await client.request('POST', PODS, mine)).status, 201)
  await untilRunning(device, 'second')

  const patched = await client.request(
    'PATCH',
    `${NODES}/tower-17`,
    { metadata: { labels: { rack: '4', 'heliopause.io/site': null } } },
    { 'content-type': 'application/merge-patch+json' },
  )
  t.equal(patched.status, 200)
  await second.stop()
  const third = await startAgent(device, '--runtime', runtime)
  roles.push(third)
  await untilRunning(device, 'second')
  t.match(await labels(), { rack: '4', 'heliopause.io/site': undefined }, 'what people changed stays')
  await third.stop()
}

t.setTimeout(900_000)

t.test('first boot with no network, then a server: plain processes', t => walk(t, 'process'))

const noCrun = process.getuid?.() !== 0 ? 'not root' : systemExec.find('crun') === undefined ? 'no crun' : false
t.test('first boot with no network, then a server: containers', { skip: noCrun }, t => walk(t, 'crun'))

t.test('a seed of another cluster: the device does not join, its pods run, and it says why', async t => {
  const world = await makeWorld(t)
  const { client, token } = await serve(world, await freePort())
  t.teardown(() => client.close())
  const foreign = `helio1.${'0'.repeat(64)}.${token.split('.')[2]}`
  const url = world.roles[0]?.url ?? ''
  writeFileSync(world.seed, seedText({ nodeName: 'stray', server: url, token: foreign }))
  const agent = await startAgent(world.device, '--seed', world.seed, '--runtime', 'process')
  world.roles.push(agent)
  await untilRunning(world.device, 'first')
  await untilSaid(agent, 'is not the server the token was made by')
  t.ok(readFileSync(world.seed, 'utf8').includes(foreign), 'the token waits for its own server')
  t.equal((await client.request('GET', `${NODES}/stray`)).status, 404)
})

t.test('a token for one device is good for no other name, and a reserved label for nobody', async t => {
  const world = await makeWorld(t)
  const { client, token } = await serve(world, await freePort())
  t.teardown(() => client.close())
  const server = world.roles[0]?.url ?? ''
  writeFileSync(world.seed, seedText({ nodeName: 'tower-2', server, token: deviceToken(token, 'tower-1') }))
  const agent = await startAgent(world.device, '--seed', world.seed, '--runtime', 'process')
  world.roles.push(agent)
  await untilSaid(agent, 'the token is not this server')
  t.equal((await client.request('GET', `${NODES}/tower-2`)).status, 404)
  await agent.stop()
  writeFileSync(world.seed, seedText({ nodeName: 'tower-2', server, token, labels: '{node-role.kubernetes.io/control-plane: ""}' }))
  const second = await startAgent(world.device, '--seed', world.seed, '--runtime', 'process')
  world.roles.push(second)
  await untilSaid(second, 'the prefix is reserved')
  t.equal((await client.request('GET', `${NODES}/tower-2`)).status, 404)
})

t.test('kill -9 at any moment of the first boot: the next start goes on', async t => {
  const world = await makeWorld(t)
  const { client, token } = await serve(world, await freePort())
  t.teardown(() => client.close())
  const url = world.roles[0]?.url ?? ''
  writeFileSync(world.seed, seedText({ nodeName: 'cut', server: url, token }))
  const args = ['agent', '--data-dir', world.device, '--seed', world.seed, '--runtime', 'process']
  for (const afterMs of [20, 60, 120, 180, 250, 320, 400, 500, 600, 750]) {
    // The program is ended by the kernel, whatever it is doing then.
    await startAs({ command: 'timeout', args: ['-s', 'KILL', `${afterMs / 1000}`, SELF.command, ...SELF.args] }, ...args).then(
      async running => void (running.child.exitCode === null && running.child.signalCode === null && (await once(running.child, 'exit'))),
      (error: unknown) => t.match(String(error), /ended with/),
    )
  }
  const agent = await startAgent(world.device, '--seed', world.seed, '--runtime', 'process')
  world.roles.push(agent)
  await waitUntil('the node is there', async () => (await client.request('GET', `${NODES}/cut`)).status === 200)
  await waitUntil('the token is gone', async () => !readFileSync(world.seed, 'utf8').includes('helio1.'))
  await waitUntil('a server’s document took over', async () => existsSync(join(world.device, 'preload/replaced')))
  await agent.stop()
})
