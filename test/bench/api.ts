// The API under load: single-client latencies, mixed load, many Secrets, LIST, watch delay.

import { join } from 'node:path'
import { seededRandom } from '../../src/base/random.ts'
import { Client } from '../e2e/client.ts'
import { inFlight, percentile, processFigures, report, round } from './measure.ts'

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps'
const VALUE = 'v'.repeat(1000)
const configMap = (name: string, value = VALUE): Record<string, unknown> => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data: { value },
})

const figures = (samples: readonly number[]): Record<string, number> => ({
  p50Ms: round(percentile(samples, 50)),
  p99Ms: round(percentile(samples, 99)),
})

/** create, get, update, list, delete one after the other by one client. */
export const singleClient = async (dir: string, count = 500): Promise<void> => {
  const client = await Client.open(join(dir, 'kubeconfig'))
  const verbs: [string, (i: number) => Promise<unknown>][] = [
    ['create', i => client.ok('POST', CONFIG_MAPS, configMap(`one-${i}`))],
    ['get', i => client.ok('GET', `${CONFIG_MAPS}/one-${i}`)],
    ['update', i => client.ok('PUT', `${CONFIG_MAPS}/one-${i}`, configMap(`one-${i}`, `${i}${VALUE}`))],
    ['list', () => client.ok('GET', `${CONFIG_MAPS}?limit=500`)],
    ['delete', i => client.ok('DELETE', `${CONFIG_MAPS}/one-${i}`)],
  ]
  for (const [verb, call] of verbs) {
    const { samples } = await inFlight(verb === 'list' ? 50 : count, 1, async i => void (await call(i)))
    report('single-client', { verb, ...figures(samples) })
  }
  client.close()
}

/** 20 % create, 50 % update, 20 % delete, 10 % list of ConfigMaps of 1 KB; `clients` connections, one request in flight each. */
export const mixedLoad = async (dir: string, pid: number, clients: number, seconds = 10): Promise<void> => {
  const opened = await Promise.all(Array.from({ length: clients }, () => Client.open(join(dir, 'kubeconfig'))))
  const before = processFigures(pid)
  const endAt = performance.now() + seconds * 1000
  const samples: number[] = []
  const lane = async (client: Client, c: number): Promise<void> => {
    const random = seededRandom(`mixed/${c}`)
    const mine: string[] = []
    let made = 0
    const namespace = CONFIG_MAPS
    while (performance.now() < endAt) {
      const draw = random.int(100)
      const at = performance.now()
      if (draw < 10) await client.ok('GET', `${namespace}?limit=20`)
      else if (draw < 30 || mine.length === 0) {
        const name = `m${c}-${made++}`
        await client.ok('POST', namespace, configMap(name))
        mine.push(name)
      } else if (draw < 80) {
        const name = mine[random.int(mine.length)]!
        await client.ok('PUT', `${namespace}/${name}`, configMap(name, `${made}${VALUE}`))
      } else await client.ok('DELETE', `${namespace}/${mine.splice(random.int(mine.length), 1)[0]!}`)
      samples.push(performance.now() - at)
    }
    for (const name of mine) await client.ok('DELETE', `${namespace}/${name}`)
  }
  const start = performance.now()
  const lanes = opened.map(lane)
  await Promise.race([Promise.all(lanes), new Promise(resolve => setTimeout(resolve, seconds * 1000))])
  const measured = samples.length
  const elapsed = performance.now() - start
  const after = processFigures(pid)
  await Promise.all(lanes)
  for (const client of opened) client.close()
  report('mixed', {
    clients,
    opsPerSecond: Math.round((measured / elapsed) * 1000),
    ...figures(samples),
    writtenBytesPerOp: Math.round((after.writtenBytes - before.writtenBytes) / measured),
    serverRssMiB: round(after.rssMiB, 1),
  })
}

/** 5,000 Secrets with 64 in flight over one connection, then LIST of all. */
export const manySecrets = async (dir: string, pid: number, count = 5000): Promise<void> => {
  const client = await Client.open(join(dir, 'kubeconfig'))
  await client.ok('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'many' } })
  const SECRETS = '/api/v1/namespaces/many/secrets'
  const data = Buffer.from(VALUE).toString('base64')
  const { totalMs } = await inFlight(
    count,
    64,
    async i => void (await client.ok('POST', SECRETS, { apiVersion: 'v1', kind: 'Secret', metadata: { name: `s-${i}` }, data: { data } })),
  )
  report('secrets', { count, seconds: round(totalMs / 1000), perSecond: Math.round((count / totalMs) * 1000) })
  const lists = await inFlight(15, 1, async () => void (await client.request('GET', SECRETS)))
  report('list', { count, ...figures(lists.samples), serverRssMiB: round(processFigures(pid).rssMiB, 1) })
  client.close()
}

/** From a write's answer to its event at each of `watchers` watches (0 = the event came before the answer), and from the write being sent. */
export const watchDelay = async (dir: string, watchers = 100, writes = 100): Promise<void> => {
  const opened = await Promise.all(Array.from({ length: 10 }, () => Client.open(join(dir, 'kubeconfig'))))
  const writer = await Client.open(join(dir, 'kubeconfig'))
  const sent = new Map<string, number>()
  const answered = new Map<string, number>()
  const arrived = new Map<string, number[]>()
  const all = { count: 0, done: (): void => {} }
  const list = await writer.ok('GET', `${CONFIG_MAPS}?limit=1`)
  const from = (list['metadata'] as { resourceVersion: string }).resourceVersion
  const watches = Array.from({ length: watchers }, (_, i) =>
    opened[i % opened.length]!.watch(`${CONFIG_MAPS}?watch=true&resourceVersion=${from}`, event => {
      const { name } = event.object['metadata'] as { name: string }
      if (event.type !== 'ADDED' || !name.startsWith('watched-')) return
      arrived.set(name, [...(arrived.get(name) ?? []), performance.now()])
      if (++all.count === watchers * writes) all.done()
    }),
  )
  const done = new Promise<void>(resolve => {
    all.done = resolve
  })
  for (let i = 0; i < writes; i++) {
    sent.set(`watched-${i}`, performance.now())
    await writer.ok('POST', CONFIG_MAPS, configMap(`watched-${i}`))
    answered.set(`watched-${i}`, performance.now())
  }
  await done
  const delays = [...arrived].flatMap(([name, times]) => times.map(at => Math.max(0, at - answered.get(name)!)))
  const whole = [...arrived].flatMap(([name, times]) => times.map(at => at - sent.get(name)!))
  report('watch-delay', {
    watchers,
    ...figures(delays),
    fromSendP50Ms: round(percentile(whole, 50)),
    fromSendP99Ms: round(percentile(whole, 99)),
  })
  for (const watch of watches) watch.close()
  for (let i = 0; i < writes; i++) await writer.ok('DELETE', `${CONFIG_MAPS}/watched-${i}`)
  for (const client of [...opened, writer]) client.close()
}
