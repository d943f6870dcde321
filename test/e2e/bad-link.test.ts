// Real agents behind bad links: cut for a while, narrow, lossy. Whatever happens on the cable, what runs goes on running, and what was asked
// for meanwhile is there in the end. HELIO_LINK_DOWN_S=1,60,600 names other times without a link.

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { Client } from './client.ts'
import { freePort, type Running, runAs, SELF, startAs, startServer, temporaryDir, wipe } from './cluster.ts'
import { makeSite, type Site, whyNoSites } from './site.ts'
import { waitUntil } from './waiting.ts'

const DOWN_S = (process.env['HELIO_LINK_DOWN_S'] ?? '1,15').split(',').map(Number)
const skip = whyNoSites() ?? false
if (skip) t.comment(`SKIPPED LOUDLY: bad links are not tested: ${skip}`)
t.setTimeout(2_000_000)

interface Ground {
  readonly site: Site
  readonly client: Client
  readonly data: string
  /** Another client, where the first was hung up on. */
  reopen(): Promise<Client>
}

const IMAGE = 'heliopause.local/lines:1'
const PODS = '/api/v1/namespaces/default/pods'
const MAPS = '/api/v1/namespaces/default/configmaps'

const podNamed = (name: string, configMap?: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: {
    nodeName: 'far',
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'main',
        image: IMAGE,
        command: ['sh', '-c', 'i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done'],
        ...(configMap === undefined ? {} : { envFrom: [{ configMapRef: { name: configMap } }] }),
      },
    ],
  },
})

interface DevicePodLine {
  readonly name: string
  readonly summary: string
  readonly restarts: number
  readonly containers: readonly { readonly pid: number | null }[]
}

const devicePods = async (data: string): Promise<DevicePodLine[]> =>
  (JSON.parse((await runAs(SELF, ['device', 'pods', '-o', 'json', '--data-dir', data])).stdout) as { items: DevicePodLine[] }).items

const running = async (data: string): Promise<string[]> =>
  (await devicePods(data)).filter(pod => pod.summary === 'Running').map(pod => pod.name)

const pidOf = async (data: string, name: string): Promise<number | null | undefined> =>
  (await devicePods(data)).find(pod => pod.name === name)?.containers[0]?.pid

/** A server here, an agent at a site, one pod that runs. */
const begin = async (t: Test, number: number, link: 'ws' | 'mqtt' = 'ws'): Promise<Ground> => {
  const site = makeSite(number)
  const [cluster, data] = [join(temporaryDir(), 'server'), join(temporaryDir(), 'device')]
  const roles: Running[] = []
  t.teardown(async () => {
    for (const role of roles) await role.kill()
    wipe(cluster)
    wipe(data)
    site.remove()
  })
  await writeImage(`${data}.tar`, { name: IMAGE })
  const imported = await runAs(SELF, ['image', 'import', `${data}.tar`, '--data-dir', data])
  if (imported.code !== 0) throw new Error(imported.stderr)
  const port = await freePort()
  const mqttPort = await freePort()
  const flags = ['--no-agent', '--bind', '0.0.0.0', '--cluster-cidr', `10.${180 + number}.0.0/18`]
  const server = await startServer(cluster, port, ...flags, ...(link === 'mqtt' ? ['--mqtt-port', String(mqttPort)] : []))
  roles.push(server)
  const token = readFileSync(join(cluster, 'join-token'), 'utf8').trim()
  const agent = await startAs(
    site.actor,
    ...['agent', '--data-dir', data, '--server', `https://${site.serverAddress}:${port}`, '--token', token],
    ...['--node-name', 'far', '--runtime', 'process', '--link', link],
  )
  roles.push(agent)
  const client = await Client.open(join(cluster, 'kubeconfig'))
  t.teardown(() => client.close())
  await waitUntil('the node', async () => (await client.request('GET', '/api/v1/nodes/far')).status === 200)
  await client.ok('POST', PODS, podNamed('first'))
  await waitUntil('the first pod', async () => (await running(data)).includes('first'))
  const reopen = async (): Promise<Client> => {
    const another = await Client.open(join(cluster, 'kubeconfig'))
    t.teardown(() => another.close())
    return another
  }
  return { site, client, data, reopen }
}

t.test('a link that is away for a while', { skip }, async t => {
  const ground = await begin(t, 1)
  const { site, data } = ground
  let { client } = ground
  const pid = await pidOf(data, 'first')
  for (const seconds of DOWN_S) {
    const name = `after-${seconds}`
    site.cut()
    const cutAt = process.hrtime.bigint()
    await client.ok('POST', PODS, podNamed(name))
    const isOver = async (): Promise<boolean> => process.hrtime.bigint() - cutAt > BigInt(seconds) * 1_000_000_000n
    await waitUntil(`${seconds} s`, isOver, seconds * 1000 + 10_000)
    t.notOk((await running(data)).includes(name), 'nothing came through')
    t.equal(await pidOf(data, 'first'), pid, 'what ran runs')
    site.heal()
    const healedAt = process.hrtime.bigint()
    // The longest wait to dial again is fifteen minutes.
    await waitUntil('the pod asked for meanwhile', async () => (await running(data)).includes(name), 16 * 60_000)
    t.comment(`${seconds} s without a link: back ${Number((process.hrtime.bigint() - healedAt) / 1_000_000n)} ms after it`)
    // A client that says nothing for so long is hung up on.
    client = client.closed ? await ground.reopen() : client
    await waitUntil('the server knows', async () => {
      const pod = await client.ok('GET', `${PODS}/${name}`)
      return (pod['status'] as { phase?: string }).phase === 'Running'
    })
  }
  t.equal(await pidOf(data, 'first'), pid)
})

t.test('64 kbit/s: a document of a hundred kilobytes comes through, and small news is not stuck behind it for ever', { skip }, async t => {
  const { site, client, data } = await begin(t, 2)
  site.narrow('64kbit')
  // Random text does not shrink on the way.
  const noise = randomBytes(75_000).toString('base64')
  await client.ok('POST', MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'big' }, data: { NOISE: noise } })
  const before = site.bytes()
  await client.ok('POST', PODS, podNamed('big', 'big'))
  await waitUntil('the pod with the large map', async () => (await running(data)).includes('big'))
  t.ok(site.bytes() - before > 60_000, 'it went over the cable')
  await client.ok('DELETE', `${PODS}/big`)
  await waitUntil('its end is told', async () => (await client.request('GET', `${PODS}/big`)).status === 404)
})

t.test('three packets of ten are lost: changes and logs come through whole', { skip }, async t => {
  const { site, client, data } = await begin(t, 3)
  site.lose(30)
  await client.ok('POST', PODS, podNamed('lossy'))
  await waitUntil('the pod', async () => (await running(data)).includes('lossy'))
  await waitUntil('ten lines of it', async () => {
    const { status, text } = await client.request('GET', `${PODS}/lossy/log`)
    return status === 200 && text.split('\n').length > 10
  })
  const { text } = await client.request('GET', `${PODS}/lossy/log`)
  const lines = text.trim().split('\n')
  t.same(
    lines,
    lines.map((_, i) => `line ${i}`),
    'no line is missing or twice',
  )
})

t.test('the same over MQTT: a cut, and three of ten lost', { skip }, async t => {
  const { site, client, data } = await begin(t, 4, 'mqtt')
  site.cut()
  await client.ok('POST', PODS, podNamed('other'))
  t.notOk((await running(data)).includes('other'))
  site.heal()
  site.lose(30)
  await waitUntil('the pod', async () => (await running(data)).includes('other'))
})
