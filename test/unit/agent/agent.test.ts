// The agent's shell on a real folder with real SQLite and the fake runtime: what it keeps over kills, power cuts and damage.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import type { DevicePod, DeviceStatus } from '../../../src/kinds/device-shapes.ts'
import { openBench } from './bench.ts'
import { container, document, pod } from './model.ts'

const ask = (socketPath: string, path: string, method = 'GET'): Promise<{ code: number; text: string }> =>
  new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, method, agent: false }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ code: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
    })
    outgoing.on('error', reject)
    outgoing.end()
  })

const settings = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings', namespace: 'default' },
  data: { color: 'red' },
} as const
const withVolume = {
  volumes: [{ name: 'etc', configMap: { name: 'settings' } }],
  containers: [container('main', { volumeMounts: [{ name: 'etc', mountPath: '/etc/app' }] })],
}

t.test('pods of a document run, their volumes are on disk, status goes to the link', async t => {
  const b = openBench(t.teardown)
  await b.join()
  const agent = await b.start()
  await b.until('the link', () => b.hooks !== undefined)
  await b.give(document([pod('a', withVolume), pod('b')], { configMaps: [settings] }))
  await b.until('both ready', () =>
    ['a', 'b'].every(name => b.status(name)?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')),
  )
  t.equal(b.status('a')?.podIP, b.attached.get('uid-a'))
  t.equal(readFileSync(join(b.dir, 'pods/uid-a/volumes/etc/color'), 'utf8'), 'red')
  t.match(readFileSync(join(b.dir, 'pods/uid-a/etc/hosts'), 'utf8'), `${b.status('a')?.podIP}\ta\n`)
  t.match(b.values.get('node'), { nodeInfo: { architecture: 'arm64' }, capacity: { cpu: '4', memory: '2097152Ki', pods: '110' } })
  t.equal(statSync(join(b.dir, 'agent.db')).mode & 0o777, 0o600)
  t.equal(statSync(b.dir).mode & 0o777, 0o700)
  for (const name of ['pods', 'logs'])
    t.equal(statSync(join(b.dir, name)).mode & 0o777, 0o700, 'Secrets in volumes are for the containers only')
  await b.give(document([pod('a', withVolume)], { configMaps: [{ ...settings, data: { color: 'blue' } }] }))
  await b.until('the new colour', () => readFileSync(join(b.dir, 'pods/uid-a/volumes/etc/color'), 'utf8') === 'blue')
  await b.until('b is gone', () => !existsSync(join(b.dir, 'pods/uid-b')) && !b.values.has('pod/uid-b'))
  t.equal(b.device.inspect().containers.length, 1, 'no restart for a changed ConfigMap')
  await agent.close()
  t.equal(b.device.inspect().containers[0]?.state, 'running', 'closing the agent leaves pods running')
})

t.test('power cut with no server: the last desired state runs again before any link is opened', async t => {
  const b = openBench(t.teardown)
  await b.join()
  const first = await b.start()
  await b.until('the link', () => b.hooks !== undefined)
  await b.give(document([pod('a'), pod('b')]))
  await b.until('both run', () => b.device.inspect().containers.filter(c => c.state === 'running').length === 2)
  b.powerCut()
  b.device.reboot()
  const asked: number[] = []
  const second = await b.start({
    openLink: () => {
      asked.push(b.device.inspect().sandboxes.length)
      throw new Error('no network')
    },
  })
  await b.until('both run again', () => b.device.inspect().containers.filter(c => c.state === 'running').length === 2)
  t.equal(asked.length, 1, 'the way to the server failed')
  const { text } = await ask(join(b.dir, 'agent.sock'), '/v1/status')
  t.match(JSON.parse(text), { server: { connected: false, lastError: 'no network' }, head: { generation: 1 }, pods: { total: 2 } })
  await second.close()
  await first.close()
})

t.test('the agent is killed: containers are adopted with their pids; those killed meanwhile run again at once', async t => {
  const b = openBench(t.teardown)
  await b.join()
  const first = await b.start()
  await b.until('the link', () => b.hooks !== undefined)
  await b.give(document([pod('a'), pod('b')]))
  await b.until('both run', () => b.device.inspect().containers.filter(c => c.state === 'running').length === 2)
  const pidOf = (uid: string) => b.device.inspect().containers.find(c => c.podUid === uid && c.state === 'running')?.pid
  const pid = pidOf('uid-a')
  b.powerCut()
  b.device.kill(b.device.inspect().containers.find(c => c.podUid === 'uid-b')?.id ?? '')
  const second = await b.start()
  await b.until('b runs again', () => b.status('b')?.containerStatuses?.[0]?.restartCount === 1 && pidOf('uid-b') !== undefined)
  t.equal(pidOf('uid-a'), pid)
  t.equal(b.status('a')?.containerStatuses?.[0]?.restartCount, 0)
  t.equal(b.status('b')?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 137)
  await second.close()
  await first.close()
})

t.test('a damaged database is kept aside, the last good copy runs, and the agent says so', async t => {
  const b = openBench(t.teardown)
  await b.join()
  const first = await b.start()
  await b.until('the link', () => b.hooks !== undefined)
  await b.give(document([pod('a')]))
  await b.until('it runs', () => b.device.inspect().containers.length === 1)
  await first.close()
  const file = join(b.dir, 'agent.db')
  const bytes = readFileSync(file)
  bytes.fill(0xa5, 100, bytes.length)
  writeFileSync(file, bytes)
  b.device.reboot()
  const second = await b.start()
  await b.until('it runs again', () => b.device.inspect().containers.some(c => c.state === 'running'))
  t.ok(existsSync(`${file}.damaged`))
  const status = JSON.parse((await ask(join(b.dir, 'agent.sock'), '/v1/status')).text) as DeviceStatus
  t.equal(status.warnings.length, 3)
  t.match(status.warnings[0], /damaged and is kept/)
  t.match(status, { server: { joined: true, url: 'https://192.0.2.1:6443' } })
  await second.close()
  const third = await b.start()
  t.same(JSON.parse((await ask(join(b.dir, 'agent.sock'), '/v1/status')).text).warnings, [], 'repaired for good')
  await third.close()
})

t.test('garbage in place of the database does not stop the agent either', async t => {
  const b = openBench(t.teardown)
  await b.join()
  await (await b.start()).close()
  for (const text of ['', 'garbage', 'SQLite format 3\0 but no more']) {
    writeFileSync(join(b.dir, 'agent.db'), text)
    const agent = await b.start()
    t.equal(agent.nodeName, 'tower-1')
    await agent.close()
  }
})

t.test('two agents on one folder: the second is refused with a hint', async t => {
  const b = openBench(t.teardown)
  const agent = await b.start()
  await t.rejects(b.start(), { message: /another agent uses this folder/, hint: /--data-dir/ })
  await agent.close()
})

t.test('idle: an agent that finds everything as it left it writes nothing', async t => {
  const b = openBench(t.teardown)
  await b.join()
  const agent = await b.start()
  await b.until('the link', () => b.hooks !== undefined)
  await b.give(document([pod('a', withVolume)], { configMaps: [settings] }))
  await b.until('it runs', () => b.status('a')?.phase === 'Running')
  await agent.close()
  const files = ['agent.db', 'agent.copy/held.sealed', 'agent.copy/identity.sealed', 'pods/uid-a/volumes/etc/color', 'pods/uid-a/etc/hosts']
  const stamps = () => files.map(file => `${file} ${statSync(join(b.dir, file)).mtimeMs} ${statSync(join(b.dir, file)).ino}`)
  const before = stamps()
  b.values.clear()
  const again = await b.start()
  await b.until('adopted', () => b.status('a')?.phase === 'Running')
  t.equal(statSync(join(b.dir, 'agent.db-wal'), { throwIfNoEntry: false })?.size ?? 0, 0)
  await again.close()
  t.same(stamps(), before)
})

t.test('the local API shows pods, images and logs, and follows a log until its container ends', async t => {
  const b = openBench(t.teardown)
  await b.join()
  const agent = await b.start()
  await b.until('the link', () => b.hooks !== undefined)
  await b.give(document([pod('a', { restartPolicy: 'Never' })]))
  await b.until('it runs', () => b.status('a')?.phase === 'Running')
  const socket = join(b.dir, 'agent.sock')
  t.equal(statSync(socket).mode & 0o777, 0o600)
  const pods = JSON.parse((await ask(socket, '/v1/pods')).text) as { items: DevicePod[] }
  t.match(pods.items, [
    {
      namespace: 'default',
      name: 'a',
      summary: 'Running',
      ready: { ready: 1, total: 1 },
      containers: [{ name: 'main', state: 'running' }],
    },
  ])
  t.match(JSON.parse((await ask(socket, '/v1/images/refresh', 'POST')).text), { items: [{ names: ['app:1'] }] })
  const log = b.device.inspect().containers[0]?.logPath ?? ''
  t.equal(log, join(b.dir, 'logs/default_a_uid-a/main/0.log'))
  const line = (n: number) => `2026-11-22T10:00:0${n}.000000000Z stdout F line ${n}\n`
  writeFileSync(log, line(1) + line(2))
  t.equal((await ask(socket, '/v1/logs?pod=a&tail=1')).text, 'line 2\n')
  const followed = ask(socket, '/v1/logs?pod=a&follow=true&timestamps=true')
  await b.until('the stream is open', () => true)
  writeFileSync(log, line(3), { flag: 'a' })
  b.device.kill(b.device.inspect().containers[0]?.id ?? '', { exitCode: 0 })
  t.equal((await followed).text, [1, 2, 3].map(n => `2026-11-22T10:00:0${n}.000000000Z line ${n}\n`).join(''))
  t.match(await ask(socket, '/v1/logs?pod=zzz'), { code: 404, text: /not found on this device/ })
  t.match(await ask(socket, '/v1/logs?pod=a&container=x'), { code: 400, text: /container x is not valid for pod a/ })
  t.match(await ask(socket, '/v1/logs?pod=a&previous=true'), { code: 400, text: /previous terminated container/ })
  t.match(await ask(socket, '/v1/nothing'), { code: 404 })
  await agent.close()
  t.notOk(existsSync(socket))
})
