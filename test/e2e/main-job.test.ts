// The main job end to end, with the real executable, real crun containers and a stock kubectl (or, without one, the JavaScript
// client): apply, serve, heal, scale, roll, undo; then server and agent are killed, together and apart, and the pods do not notice.
// Nothing here is a claim on speed: bounds on waiting only turn a hang into a failure.

import { readFileSync } from 'node:fs'
import { get as httpGet } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { Client, until } from './client.ts'
import { findKubectl, freePort, helio, type Running, startAgent, startServer, temporaryDir, wipe } from './cluster.ts'
import { commandsOf } from './kubernetes-client.ts'

type Item = Record<string, unknown>
interface PodLike {
  metadata: { name: string; uid: string; deletionTimestamp?: string }
  spec: { nodeName?: string }
  status?: {
    phase?: string
    podIP?: string
    conditions?: { type: string; status: string }[]
    containerStatuses?: { restartCount: number; state: { running?: { startedAt: string } }; containerID?: string }[]
  }
}

const dir = temporaryDir()
const kubectl = findKubectl()
const kubeconfig = join(dir, 'kubeconfig')
const PODS = '/api/v1/namespaces/web/pods'
/** After this long a wait has failed, on the slowest machine too. */
const PATIENCE_MS = 240_000
/** After this long without a byte a request is given up: the address may belong to nobody any more. */
const ANSWER_MS = 10_000

const manifest = (image: string): string => `
apiVersion: v1
kind: Namespace
metadata: {name: web}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: page, namespace: web}
data: {index.html: "served from a ConfigMap\\n"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: web}
spec:
  replicas: 5
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: httpd
        image: ${image}
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /index.html, port: 8080}, periodSeconds: 1}
        resources: {limits: {memory: 32Mi}}
        volumeMounts: [{name: page, mountPath: /www}]
      volumes: [{name: page, configMap: {name: page}}]
`

const { apply, k } = commandsOf(kubectl, kubeconfig)

const asPod = (item: Item): PodLike => item as unknown as PodLike
const isReady = (pod: PodLike): boolean =>
  !pod.metadata.deletionTimestamp && (pod.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false)
const readyPods = (items: Map<string, Item>): PodLike[] => [...items.values()].map(asPod).filter(isReady)
const exactlyReady =
  (count: number) =>
  (items: Map<string, Item>): boolean =>
    items.size === count && readyPods(items).length === count

const fetchText = (ip: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = httpGet({ host: ip, port: 8080, path: '/index.html', timeout: ANSWER_MS, agent: false }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    })
    request.on('timeout', () => request.destroy(new Error('timeout')))
    request.on('error', reject)
  })

interface DevicePod {
  name: string
  uid: string
  containers: { name: string; pid: number | null }[]
}

/** Container pids by pod, as the device itself knows them. */
const devicePids = async (): Promise<Map<string, number>> => {
  const result = await helio('device', 'pods', '--data-dir', dir, '--output', 'json')
  if (result.code !== 0) throw new Error(`device pods: ${result.stderr}`)
  const parsed = JSON.parse(result.stdout) as { items: DevicePod[] }
  const pids = new Map<string, number>()
  for (const pod of parsed.items) for (const container of pod.containers) if (container.pid) pids.set(pod.name, container.pid)
  return pids
}

const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

/** Asks the device again and again until it answers as wished: the device has no watch. */
const untilDevice = async (
  check: (pids: Map<string, number>) => boolean,
  timeoutMs: number,
  what: string,
): Promise<Map<string, number>> => {
  const start = performance.now()
  for (;;) {
    const pids = await devicePids()
    if (check(pids)) return pids
    if (performance.now() - start > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms: ${JSON.stringify([...pids])}`)
  }
}

const world: { server: Running | undefined; agent: Running | undefined; client: Client | undefined; port: number } = {
  server: undefined,
  agent: undefined,
  client: undefined,
  port: 0,
}

const client = (): Client => world.client!

if (process.getuid?.() !== 0) t.comment('SKIPPED LOUDLY: not root, so there are no crun containers to test with')
if (!kubectl) t.comment('NO STOCK KUBECTL FOUND ($KUBECTL, PATH): @kubernetes/client-node is the client of this run')

t.setTimeout(900_000)
t.teardown(async () => {
  world.client?.close()
  await world.server?.stop()
  await world.agent?.stop()
  wipe(dir)
})

t.test('a server with an agent comes up and takes an image', async t => {
  world.port = await freePort()
  world.server = await startServer(dir, world.port, '--node-name', 'tower-1', '--cluster-cidr', '10.201.0.0/16')
  world.client = await Client.open(kubeconfig)
  for (const version of ['1', '2']) {
    const file = join(dir, `web-${version}.tar`)
    await writeImage(file, {
      name: `heliopause.local/web:${version}`,
      cmd: ['/bin/httpd', '-f', '-p', '8080', '-h', '/www'],
      env: [`VERSION=${version}`],
    })
    const imported = await helio('image', 'import', file, '--data-dir', dir)
    t.equal(imported.code, 0, imported.stderr)
  }
  t.match((await helio('image', 'list', '--data-dir', dir)).stdout, /heliopause\.local\/web\s+1/)
  const nodes = await until(
    client(),
    '/api/v1/nodes',
    items => items.has('tower-1') && isReady(asPod(items.get('tower-1')!)),
    PATIENCE_MS,
    'node Ready',
  )
  t.equal(nodes.size, 1)
})

t.test('five replicas run and serve the ConfigMap', async t => {
  t.match(await apply(manifest('heliopause.local/web:1')), /deployment.apps\/web created/)
  t.match(await apply(manifest('heliopause.local/web:1')), kubectl ? /deployment.apps\/web unchanged/ : /deployment.apps\/web configured/)
  const pods = await until(client(), PODS, exactlyReady(5), PATIENCE_MS, 'five Ready')
  for (const pod of readyPods(pods))
    t.equal(await fetchText(pod.status!.podIP!), 'served from a ConfigMap\n', `${pod.metadata.name} answers`)
  const [gotPods, gotDeployments] = [await k('get', 'pods', '-n', 'web'), await k('get', 'deploy', '-n', 'web')]
  if (kubectl) {
    t.match(gotPods, /web-\S+\s+1\/1\s+Running/)
    t.match(gotDeployments, /web\s+5\/5\s+5\s+5/)
  } else {
    const items = (JSON.parse(gotPods) as { items: PodLike[] }).items
    t.strictSame(
      items.map(pod => [pod.metadata.name, pod.status?.phase]).sort(),
      [...pods.keys()].sort().map(name => [name, 'Running']),
    )
    t.match(JSON.parse(gotDeployments), { items: [{ metadata: { name: 'web' }, status: { readyReplicas: 5, availableReplicas: 5 } }] })
  }
})

t.test('a killed container runs again, a deleted pod is replaced', async t => {
  const before = await devicePids()
  const [name, pid] = [...before][0]!
  process.kill(pid, 'SIGKILL')
  const start = performance.now()
  await until(
    client(),
    PODS,
    items => {
      const status = asPod(items.get(name) ?? {}).status?.containerStatuses?.[0]
      return status?.restartCount === 1 && status.state.running !== undefined
    },
    PATIENCE_MS,
    'restarted',
  )
  t.comment(`restarted ${Math.round(performance.now() - start)} ms after SIGKILL`)
  await until(client(), PODS, exactlyReady(5), PATIENCE_MS, 'five Ready again')
  const victim = [...before.keys()][1]!
  await k('delete', 'pod', victim, '-n', 'web', '--wait=false')
  const after = await until(client(), PODS, items => !items.has(victim) && exactlyReady(5)(items), PATIENCE_MS, 'replaced')
  t.equal(after.has(victim), false)
})

t.test('scales to 8 and to 3', async () => {
  await k('scale', 'deployment/web', '-n', 'web', '--replicas=8')
  await until(client(), PODS, exactlyReady(8), PATIENCE_MS, 'eight Ready')
  await k('scale', 'deployment/web', '-n', 'web', '--replicas=3')
  await until(client(), PODS, exactlyReady(3), PATIENCE_MS, 'three Ready')
})

t.test('a rolling update refuses no request of a client that asks Ready pods, and can be undone', async t => {
  const ready = new Map<string, PodLike>(
    readyPods(await until(client(), PODS, exactlyReady(3), PATIENCE_MS, 'three')).map(pod => [pod.metadata.name, pod]),
  )
  const list = await client().ok('GET', PODS)
  const watch = client().watch(
    `${PODS}?watch=true&resourceVersion=${(list['metadata'] as { resourceVersion: string }).resourceVersion}`,
    event => {
      const pod = asPod(event.object)
      if (event.type !== 'DELETED' && isReady(pod)) ready.set(pod.metadata.name, pod)
      else ready.delete(pod.metadata.name)
    },
  )
  const loop = { on: true, answeredBy: new Set<string>(), refused: [] as string[], empty: 0 }
  const asking = (async () => {
    while (loop.on) {
      const targets = [...ready.values()]
      if (targets.length === 0) loop.empty++
      for (const pod of targets) {
        if (!ready.has(pod.metadata.name)) continue
        try {
          await fetchText(pod.status!.podIP!)
          loop.answeredBy.add(pod.metadata.name)
        } catch (error) {
          // Only a refusal by a pod that is still Ready now counts: the watch may be a moment behind the pod's end.
          const now = await client().request('GET', `${PODS}/${pod.metadata.name}`)
          if (now.status === 200 && isReady(asPod(now.json)))
            loop.refused.push(`${pod.metadata.name}: ${error instanceof Error ? error.message : String(error)}`)
        }
      }
      await new Promise(resolve => setImmediate(resolve))
    }
  })()
  /** Settles once the loop has had an answer from each of these pods. */
  const allAsked = async (pods: ReadonlyMap<string, unknown>): Promise<void> => {
    while (![...pods.keys()].every(name => loop.answeredBy.has(name))) await new Promise(resolve => setImmediate(resolve))
  }
  await allAsked(new Map(ready))
  await k('set', 'image', 'deployment/web', 'httpd=heliopause.local/web:2', '-n', 'web')
  t.match(await k('rollout', 'status', 'deployment/web', '-n', 'web', '--timeout=240s'), /successfully rolled out/)
  const rolled = await until(client(), PODS, exactlyReady(3), PATIENCE_MS, 'three of the new')
  for (const pod of rolled.values()) t.match(JSON.stringify(pod), /heliopause\.local\/web:2/)
  await allAsked(rolled)
  t.match(await k('rollout', 'undo', 'deployment/web', '-n', 'web'), /rolled back/)
  t.match(await k('rollout', 'status', 'deployment/web', '-n', 'web', '--timeout=240s'), /successfully rolled out/)
  const undone = await until(client(), PODS, exactlyReady(3), PATIENCE_MS, 'three of the old')
  for (const pod of undone.values()) t.match(JSON.stringify(pod), /heliopause\.local\/web:1/)
  await allAsked(undone)
  loop.on = false
  await asking
  watch.close()
  t.strictSame(loop.refused, [], 'no Ready pod refused')
  t.equal(loop.empty, 0, 'there was always a Ready pod')
})

t.test('logs come through the server and on the device itself', async t => {
  const pods = await until(client(), PODS, exactlyReady(3), PATIENCE_MS, 'three')
  const name = [...pods.keys()][0]!
  await client().ok('POST', PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'talker', namespace: 'web' },
    spec: {
      restartPolicy: 'Never',
      containers: [{ name: 'main', image: 'heliopause.local/web:1', command: ['/bin/sh', '-c', 'echo one; echo two; exit 3'] }],
    },
  })
  const done = await until(
    client(),
    PODS,
    items => asPod(items.get('talker') ?? {}).status?.phase === 'Failed',
    PATIENCE_MS,
    'talker failed',
  )
  t.match(done.get('talker'), { status: { containerStatuses: [{ state: { terminated: { exitCode: 3, reason: 'Error' } } }] } })
  t.equal(await k('logs', 'talker', '-n', 'web'), 'one\ntwo\n')
  t.equal(await k('logs', 'talker', '-n', 'web', '--tail=1'), 'two\n')
  t.equal((await helio('device', 'logs', 'talker', '-n', 'web', '--data-dir', dir)).stdout, 'one\ntwo\n')
  await k('delete', 'pod', 'talker', '-n', 'web')
  t.ok(name)
})

t.test('an eater of memory is OOMKilled and says so', async t => {
  await client().ok('POST', PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'eater', namespace: 'web' },
    spec: {
      restartPolicy: 'Never',
      containers: [
        {
          name: 'main',
          image: 'heliopause.local/web:1',
          command: ['/bin/sh', '-c', 'x=a; while true; do x=$x$x; done'],
          resources: { limits: { memory: '16Mi' } },
        },
      ],
    },
  })
  const done = await until(client(), PODS, items => asPod(items.get('eater') ?? {}).status?.phase === 'Failed', PATIENCE_MS, 'eater failed')
  t.match(done.get('eater'), { status: { containerStatuses: [{ state: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }] } })
  await k('delete', 'pod', 'eater', '-n', 'web')
})

t.test('server and agent are killed: containers keep their pids, the agent alone adopts them', async t => {
  const before = await untilDevice(pids => pids.size === 3, PATIENCE_MS, 'three containers')
  await world.server!.kill()
  world.client!.close()
  for (const pid of before.values()) t.ok(isAlive(pid), `${pid} lives without server and agent`)
  world.agent = await startAgent(dir)
  t.strictSame(
    [...(await untilDevice(pids => pids.size === 3, PATIENCE_MS, 'adopted'))].sort(),
    [...before].sort(),
    'the same pids, adopted',
  )
})

t.test('all containers killed with agent and server down: the agent alone brings them back', async t => {
  const before = await devicePids()
  await world.agent!.kill()
  for (const pid of before.values()) process.kill(pid, 'SIGKILL')
  world.agent = await startAgent(dir)
  const after = await untilDevice(pids => pids.size === 3 && [...pids.values()].every(isAlive), PATIENCE_MS, 'brought back')
  t.strictSame([...after.keys()].sort(), [...before.keys()].sort(), 'the same pods')
  for (const pid of after.values()) t.notOk([...before.values()].includes(pid))
})

t.test('the server returns: statuses converge, nothing restarts, no pod is duplicated', async t => {
  const before = await devicePids()
  await world.agent!.stop()
  world.agent = undefined
  for (const pid of before.values()) t.ok(isAlive(pid), 'a stopped agent leaves its pods')
  world.server = await startServer(dir, world.port, '--node-name', 'tower-1', '--cluster-cidr', '10.201.0.0/16')
  world.client = await Client.open(kubeconfig)
  const pods = await until(
    client(),
    PODS,
    items =>
      exactlyReady(3)(items) && [...items.values()].every(item => (asPod(item).status?.containerStatuses?.[0]?.restartCount ?? 0) >= 1),
    PATIENCE_MS,
    'statuses converge',
  )
  t.strictSame([...pods.keys()].sort(), [...before.keys()].sort(), 'the same pods, no other')
  t.strictSame([...(await devicePids())].sort(), [...before].sort(), 'nothing restarted')
})

t.test('deleting the namespace leaves nothing behind on the device', async t => {
  await k('delete', 'namespace', 'web', '--wait=false')
  await until(client(), '/api/v1/namespaces', items => !items.has('web'), PATIENCE_MS, 'namespace gone')
  await untilDevice(pids => pids.size === 0, PATIENCE_MS, 'device empty')
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter(line => line.includes(`${dir}/`))
  t.strictSame(
    mounts.filter(line => line.includes('/pods/') || line.includes('merged')),
    [],
    'no mount is left',
  )
})
