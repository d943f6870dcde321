// From exec to ready, to the first pod created, and what the roles cost when nothing happens.

import { join } from 'node:path'
import { writeImage } from '../../scripts/oci-image.ts'
import { Client, until } from '../e2e/client.ts'
import { freePort, helio, type Running, startAgent, startServer, temporaryDir, wipe } from '../e2e/cluster.ts'
import { memoryOf, percentile, processFigures, report, round } from './measure.ts'

const RANGE = ['--cluster-cidr', '10.202.0.0/16']

/** Fresh data folder and second start, server alone; then exec to the first pod object created. */
export const startup = async (runs = 7): Promise<void> => {
  const fresh: number[] = []
  const again: number[] = []
  const firstPod: number[] = []
  for (let i = 0; i < runs; i++) {
    const dir = temporaryDir()
    const port = await freePort()
    const execAt = performance.now()
    const first = await startServer(dir, port, '--no-agent')
    fresh.push(first.readyMs)
    const client = await Client.open(join(dir, 'kubeconfig'))
    await client.ok('POST', '/api/v1/namespaces/default/pods', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    })
    firstPod.push(performance.now() - execAt)
    client.close()
    await first.stop()
    const second = await startServer(dir, port, '--no-agent')
    again.push(second.readyMs)
    await second.stop()
    wipe(dir)
  }
  report('exec-to-ready', {
    freshMs: Math.round(percentile(fresh, 50)),
    secondStartMs: Math.round(percentile(again, 50)),
    firstPodCreatedMs: Math.round(percentile(firstPod, 50)),
    runs,
  })
}

const idleFigures = async (name: string, process: Running, seconds: number, more: Record<string, number> = {}): Promise<void> => {
  const before = processFigures(process.pid)
  await new Promise(resolve => setTimeout(resolve, seconds * 1000))
  const after = processFigures(process.pid)
  report('idle', {
    name,
    rssMiB: round(after.rssMiB, 1),
    pssMiB: round(after.pssMiB, 1),
    cpuPercentOfCore: round(((after.cpuSeconds - before.cpuSeconds) / seconds) * 100, 3),
    writtenKiBPerHour: round(((after.writtenBytes - before.writtenBytes) / 1024 / seconds) * 3600, 1),
    seconds,
    ...more,
  })
}

const pods = (count: number): Record<string, unknown> => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'idle' },
  spec: {
    replicas: count,
    selector: { matchLabels: { app: 'idle' } },
    template: {
      metadata: { labels: { app: 'idle' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [{ name: 'c', image: 'heliopause.local/bench:1', resources: { limits: { memory: '16Mi' } } }],
      },
    },
  },
})

const running = (count: number) => (items: Map<string, Record<string, unknown>>) =>
  items.size === count && [...items.values()].every(item => (item['status'] as { phase?: string } | undefined)?.phase === 'Running')

/** Server alone, server with agent, and an agent alone with ten pods, each left in peace for a while. */
export const idle = async (seconds: number): Promise<void> => {
  const dir = temporaryDir()
  const port = await freePort()
  const alone = await startServer(dir, port, '--no-agent', ...RANGE)
  await new Promise(resolve => setTimeout(resolve, 5000))
  await idleFigures('server alone', alone, seconds)
  await alone.stop()
  const both = await startServer(dir, port, ...RANGE)
  const client = await Client.open(join(dir, 'kubeconfig'))
  await until(client, '/api/v1/nodes', items => items.size === 1, 10_000, 'node')
  await new Promise(resolve => setTimeout(resolve, 5000))
  await idleFigures('server with agent', both, seconds)
  await podStarts(client, dir)
  await client.ok('POST', '/apis/apps/v1/namespaces/default/deployments', pods(10))
  await until(client, '/api/v1/namespaces/default/pods', running(10), 60_000, 'ten running')
  await new Promise(resolve => setTimeout(resolve, 5000))
  await idleFigures('server with agent, ten pods', both, seconds)
  client.close()
  await both.stop()
  const agent = await startAgent(dir)
  await new Promise(resolve => setTimeout(resolve, 5000))
  const monitors = memoryOf(dir, agent.pid)
  const own = processFigures(agent.pid)
  await idleFigures('agent alone, ten pods', agent, seconds, {
    conmons: monitors.count,
    conmonPssMiB: round(monitors.pssMiB, 1),
    agentPlusConmonPssMiB: round(own.pssMiB + monitors.pssMiB, 1),
    agentPlusConmonRssMiB: round(own.rssMiB + monitors.rssMiB, 1),
  })
  await agent.stop()
  const last = await startServer(dir, port, ...RANGE)
  const cleaner = await Client.open(join(dir, 'kubeconfig'))
  await cleaner.ok('DELETE', '/apis/apps/v1/namespaces/default/deployments/idle')
  await until(cleaner, '/api/v1/namespaces/default/pods', items => items.size === 0, 60_000, 'pods gone')
  cleaner.close()
  await last.stop()
  wipe(dir)
}

/** From a pod's bind to its container running, one pod at a time. */
const podStarts = async (client: Client, dir: string, count = 15): Promise<void> => {
  const file = join(dir, 'bench.tar')
  await writeImage(file, { name: 'heliopause.local/bench:1', cmd: ['/bin/sleep', '1000000'] })
  const imported = await helio('image', 'import', file, '--data-dir', dir)
  if (imported.code !== 0) throw new Error(imported.stderr)
  const PODS = '/api/v1/namespaces/default/pods'
  const bound: number[] = []
  const whole: number[] = []
  for (let i = 0; i < count; i++) {
    const seen = { boundAt: 0, runningAt: 0 }
    const list = await client.ok('GET', PODS)
    const watch = client.watch(
      `${PODS}?watch=true&resourceVersion=${(list['metadata'] as { resourceVersion: string }).resourceVersion}`,
      event => {
        const pod = event.object as { spec?: { nodeName?: string }; status?: { phase?: string } }
        if (pod.spec?.nodeName && !seen.boundAt) seen.boundAt = performance.now()
        if (pod.status?.phase === 'Running' && !seen.runningAt) seen.runningAt = performance.now()
      },
    )
    const at = performance.now()
    await client.ok('POST', PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `start-${i}` },
      spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'heliopause.local/bench:1' }] },
    })
    await until(client, PODS, running(1), 20_000, 'running')
    watch.close()
    bound.push(seen.runningAt - seen.boundAt)
    whole.push(seen.runningAt - at)
    await client.ok('DELETE', `${PODS}/start-${i}?gracePeriodSeconds=0`)
    await until(client, PODS, items => items.size === 0, 20_000, 'gone')
  }
  report('pod-start', {
    boundToRunningP50Ms: Math.round(percentile(bound, 50)),
    boundToRunningP99Ms: Math.round(percentile(bound, 99)),
    createToRunningP50Ms: Math.round(percentile(whole, 50)),
    pods: count,
  })
}
