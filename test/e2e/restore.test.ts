// A server put back from a snapshot, and one whose store was damaged: the device keeps running all it has, both sides say so, and an
// operator's word on the server ends it. And a device that is given to another cluster: what it ran ends when the new document is there.

import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { freePort, helio, type Running, startAgent, startServer, temporaryDir, wipe } from './cluster.ts'
import { waitUntil } from './waiting.ts'

const IMAGE = 'heliopause.local/still:1'
const device = temporaryDir()
const cluster = temporaryDir()
const other = temporaryDir()
const world: { server?: Running; second?: Running; agent?: Running; port: number } = { port: 0 }

t.setTimeout(600_000)
t.teardown(async () => {
  await world.agent?.stop()
  await world.server?.stop()
  await world.second?.stop()
  for (const dir of [device, cluster, other]) wipe(dir)
})

const deployment = (name: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: 1
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: "${IMAGE}"}]
`

const admin = (line: string, dir: string = cluster) => helio(...line.split(' '), '--data-dir', dir)
const deploy = async (t: Test, name: string, dir: string = cluster): Promise<void> => {
  const file = join(t.testdir(), `${name}.yaml`)
  writeFileSync(file, deployment(name))
  t.match(await admin(`apply -f ${file}`, dir), { code: 0 })
}

/** Pids on the device by deployment, of what runs there. */
const pids = async (): Promise<Record<string, number>> => {
  const { items } = JSON.parse((await helio('device', 'pods', '--data-dir', device, '--output', 'json')).stdout) as {
    items: { name: string; containers: { pid: number | null }[] }[]
  }
  const found = items.map(pod => [pod.name.replace(/-.*/, ''), pod.containers[0]?.pid ?? 0] as const)
  return Object.fromEntries(found.filter(([, pid]) => pid > 0))
}
const untilRunning = (...names: string[]): Promise<void> =>
  waitUntil(
    `${names.join(' and ')} on the device`,
    async () =>
      Object.keys(await pids())
        .sort()
        .join() === names.join(),
  )
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false
    throw error
  }
}

const conflict = async (): Promise<string | null> =>
  (
    JSON.parse((await helio('device', 'status', '--data-dir', device, '--output', 'json')).stdout) as {
      server: { conflict: string | null }
    }
  ).server.conflict
const untilConflict = async (is: boolean): Promise<void> => {
  await helio('device', 'sync', '--data-dir', device)
  await waitUntil(is ? 'the conflict' : 'the end of the conflict', async () => ((await conflict()) !== null) === is)
}

interface Condition {
  type: string
  status: string
  reason: string
  message: string
}
const condition = async (dir: string = cluster): Promise<Condition | undefined> => {
  const { stdout } = await admin('get node cell -o json', dir)
  const { status } = JSON.parse(stdout) as { status: { conditions: Condition[] } }
  return status.conditions.find(each => each.type === 'heliopause.io/Conflict')
}

const serve = async (): Promise<void> => {
  world.server = await startServer(cluster, world.port, '--no-agent', '--cluster-cidr', '10.223.0.0/18')
}

const snapshotsOf = (dir: string): readonly string[] => readdirSync(join(dir, 'store/snapshots')).sort()
/** As README says it. */
const putBack = (dir: string, snapshot: string | undefined): void => {
  copyFileSync(join(dir, 'store/snapshots', snapshot ?? ''), join(dir, 'store/store.db'))
  rmSync(join(dir, 'store/store.db-wal'), { force: true })
}

/** Deployment a is in the newest snapshot, b is not; the server is dead. */
const forget = async (t: Test): Promise<Record<string, number>> => {
  await world.server?.stop()
  await serve()
  await deploy(t, 'b')
  await untilRunning('a', 'b')
  await world.server?.kill()
  return pids()
}

const untilShown = async (t: Test, before: Record<string, number>): Promise<void> => {
  await untilConflict(true)
  await waitUntil('the condition', async () => (await condition()) !== undefined)
  t.match(await condition(), {
    status: 'True',
    reason: 'ServerRestored',
    message: /the device holds generation \d+ .* helio node follow cell$/,
  })
  t.match((await admin('get nodes')).stdout, /cell +Ready,Conflict /)
  t.match((await admin('describe node cell')).stdout, /Conflict: +this server was restored/)
  t.match((await admin('get events')).stdout, /Warning +ServerRestored +node\/cell /i)
  t.match((await helio('device', 'status', '--data-dir', device)).stdout, /an operator must decide/)
  t.same(await pids(), before, 'all runs on, what the backup does not know too')
}

const untilFollowed = async (t: Test, before: Record<string, number>, line: string): Promise<void> => {
  t.match(await admin(line), { code: 0, stdout: 'node/cell is to follow\n' })
  await untilRunning('a')
  t.same(await pids(), { a: before['a'] }, 'a never noticed')
  t.notOk(isAlive(before['b'] ?? 0), 'b has ended')
  await untilConflict(false)
  await waitUntil('the end of the condition', async () => (await condition()) === undefined)
  t.match((await admin('get nodes')).stdout, /cell +Ready /)
  t.match(await admin('node follow cell'), { code: 1, stderr: /node\/cell is not in conflict with this server/ })
  t.match(await admin('node follow --all'), { code: 0, stderr: 'No node is in conflict with this server\n' })
}

t.test('a device runs what a snapshot put back does not know, until an operator on the server decides', async t => {
  world.port = await freePort()
  await serve()
  const token = readFileSync(join(cluster, 'join-token'), 'utf8').trim()
  const words = ['--server', `https://127.0.0.1:${world.port}`, '--token', token, '--node-name', 'cell', '--runtime', 'process']
  world.agent = await startAgent(device, ...words)
  const file = join(t.testdir(), 'still.tar')
  await writeImage(file, { name: IMAGE, cmd: ['/bin/sleep', '100000'], env: [] })
  t.match(await helio('image', 'import', file, '--data-dir', device), { code: 0 })
  await deploy(t, 'a')
  await untilRunning('a')
  const before = await forget(t)
  putBack(cluster, snapshotsOf(cluster).at(-1))
  await serve()
  await untilShown(t, before)
  const told = (): number =>
    world.server
      ?.stderr()
      .split('\n')
      .filter(line => /"refused|refused /.test(line)).length ?? 0
  t.equal(told(), 1, 'said once in the log')
  await deploy(t, 'c')
  await world.agent.stop()
  world.agent = await startAgent(device, '--runtime', 'process')
  await untilConflict(true)
  t.same(await pids(), before, 'nor does a start of the agent or a change on the server decide it')
  t.equal(told(), 1, 'and never again')
  t.match(await admin('delete deployment c'), { code: 0 })
  await untilFollowed(t, before, 'node follow cell')
})

t.test('the same where the store was damaged and the server fell back by itself', async t => {
  const before = await forget(t)
  writeFileSync(join(cluster, 'store', 'store.db'), Buffer.alloc(64 * 1024, 'not a database '))
  await serve()
  t.match(world.server?.stderr(), /damaged/)
  await untilShown(t, before)
  await untilFollowed(t, before, 'node follow --all')
})

t.test('an operator’s word given while the device is away is carried out when it calls', async t => {
  const before = await forget(t)
  writeFileSync(join(cluster, 'store', 'store.db'), Buffer.alloc(64 * 1024, 'not a database '))
  await serve()
  await untilShown(t, before)
  await world.agent?.kill()
  t.match(await admin('node follow node/cell'), { code: 0, stdout: 'node/cell is to follow\n', stderr: /else when it calls/ })
  t.ok(isAlive(before['b'] ?? 0))
  world.agent = await startAgent(device, '--runtime', 'process')
  await untilRunning('a')
  t.same(await pids(), { a: before['a'] })
  await waitUntil('the end of the condition', async () => (await condition()) === undefined)
})

t.test('a device given a token of another server follows that one: what it ran ends when the new document is there', async t => {
  const { a = 0 } = await pids()
  world.second = await startServer(other, await freePort(), '--no-agent', '--cluster-cidr', '10.223.64.0/18')
  await world.agent?.stop()
  await world.second.stop()
  const token = readFileSync(join(other, 'join-token'), 'utf8').trim()
  const words = ['--server', world.second.url, '--token', token, '--node-name', 'cell', '--runtime', 'process']
  world.agent = await startAgent(device, ...words)
  t.same(await pids(), { a }, 'nothing ends while the new server cannot be reached')
  world.second = await startServer(other, Number(new URL(world.second.url).port), '--no-agent', '--cluster-cidr', '10.223.64.0/18')
  await untilRunning()
  t.notOk(isAlive(a))
  t.equal(await conflict(), null)
  t.match((await admin('get nodes', other)).stdout, /cell +/)
  await world.agent.stop()
  world.agent = await startAgent(device, '--runtime', 'process')
  await untilConflict(false)
  t.notMatch(world.agent.stderr(), /not what was signed|not signed by/, 'the new cluster is its own over a restart')
})

t.test('a device that joined after the backup runs on unknown; it joins again with a token, and an operator decides', async t => {
  await deploy(t, 'd', other)
  await untilRunning('d')
  const before = await pids()
  const url = new URL(world.second?.url ?? '')
  await world.second?.kill()
  putBack(other, snapshotsOf(other)[0])
  world.second = await startServer(other, Number(url.port), '--no-agent', '--cluster-cidr', '10.223.64.0/18')
  t.match((await admin('get nodes', other)).stderr, /No resources found/)
  await helio('device', 'sync', '--data-dir', device)
  await world.agent?.stop()
  const token = readFileSync(join(other, 'join-token'), 'utf8').trim()
  world.agent = await startAgent(device, '--server', url.origin, '--token', token, '--runtime', 'process')
  await waitUntil('the condition', async () => (await admin('get nodes', other)).stdout !== '' && (await condition(other)) !== undefined)
  t.same(await pids(), before)
  t.match(await admin('node follow cell', other), { code: 0 })
  await untilRunning()
  t.notOk(isAlive(before['d'] ?? 0))
  await waitUntil('the end of the condition', async () => (await condition(other)) === undefined)
})
