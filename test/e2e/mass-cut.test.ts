// Forty real agents at two sites; the cable of one is cut: 60 % fall silent at once. No pod moves, no endpoint goes, and when they are back
// everything is as it was. Outside of a long run (HELIO_FLEET=40) ten agents stand for them.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { Client } from './client.ts'
import { freePort, type Running, runAs, SELF, startAs, startServer, temporaryDir, wipe } from './cluster.ts'
import { makeSite, whyNoSites } from './site.ts'
import { waitUntil } from './waiting.ts'

const FLEET = Number(process.env['HELIO_FLEET'] ?? 10)
const CUT = Math.ceil(FLEET * 0.6)
/** Starting forty programs at once on two cores would only be slow. */
const TOGETHER = 4
const IMAGE = 'heliopause.local/still:1'
/** A replacement asked for at once comes this long after the last word, at the latest: see togetherMs of the link. */
const REPLACED_BY_MS = 95_000
const PODS = '/api/v1/namespaces/default/pods'
const skip = whyNoSites() ?? false
if (skip) t.comment(`SKIPPED LOUDLY: a mass cut is not tested: ${skip}`)
t.setTimeout(900_000)

interface Listed<T> {
  readonly items: readonly T[]
}
interface PodLike {
  readonly metadata: { readonly name: string; readonly uid: string }
  readonly spec: { readonly nodeName?: string }
  readonly status: { readonly phase?: string; readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
}
interface NodeLike {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly taints?: readonly { readonly key: string }[] }
  readonly status: {
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason?: string
      readonly lastHeartbeatTime?: string
    }[]
  }
}
interface SliceLike {
  readonly endpoints: readonly { readonly nodeName?: string; readonly conditions?: { readonly ready?: boolean } }[]
}

const WORKLOAD = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'mast' },
  spec: {
    replicas: FLEET,
    selector: { matchLabels: { app: 'mast' } },
    template: {
      metadata: { labels: { app: 'mast' }, annotations: { 'heliopause.io/replace-after': '1s' } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'main', image: IMAGE }],
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'mast' } } },
            ],
          },
        },
      },
    },
  },
}
const SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'mast' },
  spec: { selector: { app: 'mast' }, ports: [{ port: 80 }] },
}

t.test(`${CUT} of ${FLEET} agents are cut at once`, { skip }, async t => {
  const sites = [makeSite(11), makeSite(12)] as const
  const dir = temporaryDir()
  const roles: Running[] = []
  t.teardown(async () => {
    await Promise.all(roles.map(role => role.kill()))
    wipe(dir)
    for (const site of sites) site.remove()
  })
  const port = await freePort()
  const cluster = join(dir, 'server')
  roles.push(await startServer(cluster, port, '--no-agent', '--bind', '0.0.0.0', '--cluster-cidr', '10.192.0.0/16'))
  const token = readFileSync(join(cluster, 'join-token'), 'utf8').trim()
  const archive = join(dir, 'image.tar')
  await writeImage(archive, { name: IMAGE, cmd: ['/bin/sleep', '100000'] })
  const startOne = async (number: number): Promise<void> => {
    const site = number < CUT ? sites[0] : sites[1]
    const data = join(dir, `device-${number}`)
    const imported = await runAs(SELF, ['image', 'import', archive, '--data-dir', data])
    if (imported.code !== 0) throw new Error(imported.stderr)
    const server = `https://${site.serverAddress}:${port}`
    const words = [
      'agent',
      '--data-dir',
      data,
      '--server',
      server,
      '--token',
      token,
      '--node-name',
      `mast-${number}`,
      '--runtime',
      'process',
    ]
    roles.push(await startAs(site.actor, ...words))
  }
  const numbers = Array.from({ length: FLEET }, (_, i) => i)
  await Promise.all(
    Array.from({ length: TOGETHER }, async () => {
      for (let number = numbers.shift(); number !== undefined; number = numbers.shift()) await startOne(number)
    }),
  )
  const client = await Client.open(join(cluster, 'kubeconfig'))
  t.teardown(() => client.close())
  const list = async <T>(path: string): Promise<readonly T[]> => ((await client.ok('GET', path)) as unknown as Listed<T>).items
  const pods = async (): Promise<string[]> =>
    (await list<PodLike>(PODS)).map(pod => `${pod.metadata.name} ${pod.metadata.uid} ${pod.spec.nodeName} ${pod.status.phase}`).sort()
  const endpoints = async (): Promise<string[]> =>
    (await list<SliceLike>('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices'))
      .flatMap(slice => slice.endpoints)
      .map(endpoint => `${endpoint.nodeName} ${endpoint.conditions?.ready}`)
      .sort()
  const contacts = async (reason: string): Promise<number> =>
    (await list<NodeLike>('/api/v1/nodes')).filter(node =>
      node.status.conditions?.some(one => one.type === 'heliopause.io/Contact' && one.reason === reason),
    ).length
  /** Of those that are not Online. */
  const shortestSilenceMs = async (): Promise<number> => {
    const seen = (await list<NodeLike>('/api/v1/nodes'))
      .flatMap(node => node.status.conditions ?? [])
      .filter(one => one.type === 'heliopause.io/Contact' && one.reason !== 'Online')
      .map(one => Date.parse(one.lastHeartbeatTime ?? ''))
    return Date.now() - Math.max(...seen)
  }
  await client.ok('POST', '/api/v1/namespaces/default/services', SERVICE)
  await client.ok('POST', '/apis/apps/v1/namespaces/default/deployments', WORKLOAD)
  await waitUntil('a ready endpoint on every node', async () => (await endpoints()).filter(line => line.endsWith(' true')).length === FLEET)
  const before = { pods: await pods(), endpoints: await endpoints() }

  sites[0].cut()
  await waitUntil('the server calls them Unknown', async () => (await contacts('Unknown')) === CUT)
  await waitUntil('a silence in which any replacement would have come', async () => (await shortestSilenceMs()) > REPLACED_BY_MS)
  t.same(await pods(), before.pods, 'no pod moved, though the workload asks for replacements after a second')
  t.same(await endpoints(), before.endpoints, 'no endpoint went')
  const system = (await client.ok('GET', '/api/v1/namespaces/kube-system')) as {
    status?: { conditions?: { type: string; status: string }[] }
  }
  t.ok(
    system.status?.conditions?.some(one => /Brake/.test(one.type) && one.status === 'True'),
    'the brake is visible',
  )
  sites[0].heal()
  await waitUntil('all are back', async () => (await contacts('Online')) === FLEET)
  t.same(await pods(), before.pods, 'the same pods')
  t.same(await endpoints(), before.endpoints)
})
