// The device's own word over its socket: holds, restarts, what is kept of them, and how bad requests are answered.

import { rmSync, symlinkSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { openMemory } from '../../../src/agent/memory.ts'
import { userName } from '../../../src/agent/peer.ts'
import { silentLog } from '../../../src/base/log.ts'
import { systemFiles } from '../../../src/host/files.ts'
import type { DeviceHold, DevicePod, DeviceStatus } from '../../../src/kinds/device-shapes.ts'
import { type Bench, openBench, QUIET_LINK, SEALER } from './bench.ts'
import { container, document, pod } from './model.ts'

const send = (
  b: Bench,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ code: number; text: string; value: Record<string, unknown> }> =>
  new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: join(b.dir, 'agent.sock'), path, method, headers, agent: false }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ code: response.statusCode ?? 0, text, value: /^\{/.test(text) ? JSON.parse(text) : {} })
      })
    })
    outgoing.on('error', reject)
    outgoing.end(typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body))
  })

const podOf = async (b: Bench, name: string): Promise<DevicePod | undefined> =>
  ((await send(b, 'GET', '/v1/pods')).value['items'] as DevicePod[]).find(each => each.name === name)
const ME = userName(process.getuid?.() ?? 0)
const runs = (b: Bench) => b.device.inspect().containers.filter(c => c.state === 'running')

const opened = async (teardown: (fn: () => void) => void) => {
  const b = openBench(teardown)
  await b.join()
  const agent = await b.start()
  await b.until('the link', () => b.hooks !== undefined)
  await b.give(document([pod('a'), pod('b', { containers: [container('one'), container('two')] })]))
  await b.until('all run', () => runs(b).length === 3)
  return { b, agent }
}

t.test('a hold is on disk when it is answered, told upwards, and outlives agent and power', async t => {
  const { b, agent: cut } = await opened(t.teardown)
  const held = await send(b, 'POST', '/v1/hold', { pod: 'a', reason: 'guard is open' })
  t.equal(held.code, 200)
  t.match(held.value, { namespace: 'default', name: 'a', uid: 'uid-a', by: ME, reason: 'guard is open' })
  // The power goes before anything else is done.
  b.powerCut()
  const agent = await b.start()
  await b.until(
    'a is stopped, b runs',
    () =>
      runs(b)
        .map(c => c.podUid)
        .join() === 'uid-b,uid-b',
  )
  await b.until('told upwards', () => b.values.has('hold/uid-a'))
  t.strictSame(b.values.get('hold/uid-a'), {
    namespace: 'default',
    name: 'a',
    uid: 'uid-a',
    id: held.value['id'],
    at: held.value['at'],
    by: ME,
    reason: 'guard is open',
  })
  const status = (await send(b, 'GET', '/v1/status')).value as unknown as DeviceStatus
  t.match(status.holds, [{ name: 'a', reason: 'guard is open' }])
  t.match(await podOf(b, 'a'), { summary: 'Held', ready: { ready: 0, total: 1 } })
  t.equal((await send(b, 'POST', '/v1/hold', { pod: 'a', reason: 'again' })).value['id'], held.value['id'], 'held once')
  t.equal((await send(b, 'POST', '/v1/restart', { pod: 'a' })).code, 409)
  t.equal((await send(b, 'POST', '/v1/resume', { pod: 'a' })).code, 200)
  await b.until('a runs again', () => runs(b).some(c => c.podUid === 'uid-a'))
  t.equal(b.values.has('hold/uid-a'), false)
  t.equal((await send(b, 'POST', '/v1/resume', { pod: 'a' })).code, 409, 'it is not held any more')
  await Promise.all([agent.close(), cut.close()])
  const memory = await openMemory({ dir: b.dir, files: systemFiles, log: silentLog, sealer: SEALER })
  t.same(memory.holds, [])
  await memory.close()
})

t.test('holds asked at the same time are all kept', async t => {
  const { b, agent } = await opened(t.teardown)
  const answers = await Promise.all(['a', 'b', 'a'].map(name => send(b, 'POST', '/v1/hold', { pod: name })))
  t.same(
    answers.map(each => each.code),
    [200, 200, 200],
  )
  await b.until('all are stopped', () => runs(b).length === 0)
  await agent.close()
  const memory = await openMemory({ dir: b.dir, files: systemFiles, log: silentLog, sealer: SEALER })
  t.same(memory.holds.map(hold => hold.name).sort(), ['a', 'b'])
  await memory.close()
})

t.test('a damaged database does not set a held pod free', async t => {
  const { b, agent } = await opened(t.teardown)
  await send(b, 'POST', '/v1/hold', { pod: 'a' })
  await b.until('a is stopped', () => runs(b).length === 2)
  await agent.close()
  systemFiles.write(join(b.dir, 'agent.db'), 'not a database at all'.repeat(500), 0o600)
  const again = await b.start()
  const status = (await send(b, 'GET', '/v1/status')).value as unknown as DeviceStatus
  t.match(status.holds, [{ name: 'a' }])
  t.equal(runs(b).length, 2)
  await again.close()
})

t.test('a restart is of one container or all, and the count rises', async t => {
  const { b, agent } = await opened(t.teardown)
  t.strictSame((await send(b, 'POST', '/v1/restart', { pod: 'b', container: 'two' })).value, {
    namespace: 'default',
    name: 'b',
    containers: ['two'],
  })
  await b.until('two runs anew', () => runs(b).some(c => c.podUid === 'uid-b' && c.name === 'two' && c.attempt === 1))
  t.ok(runs(b).some(c => c.podUid === 'uid-b' && c.name === 'one' && c.attempt === 0))
  t.equal((await podOf(b, 'b'))?.restarts, 1)
  t.equal((await send(b, 'POST', '/v1/restart', { pod: 'b' })).code, 200)
  await b.until('both run anew', () => runs(b).filter(c => c.podUid === 'uid-b' && c.attempt > 0).length === 2)
  t.match(await send(b, 'POST', '/v1/restart', { pod: 'b', container: 'three' }), {
    code: 400,
    text: /not valid for pod b.*it has: one, two/,
  })
  await agent.close()
})

t.test('what the request names and is not there, or makes no sense, is refused in one line', async t => {
  const { b, agent } = await opened(t.teardown)
  t.match(await send(b, 'POST', '/v1/hold', { pod: 'x' }), { code: 404, value: { hint: 'helio device pods lists them' } })
  t.match(await send(b, 'POST', '/v1/hold', { pod: 'a', namespace: 'web' }), {
    code: 404,
    value: { hint: 'there is one in another namespace: -n default' },
  })
  t.equal((await send(b, 'POST', '/v1/hold', {})).code, 400)
  t.equal((await send(b, 'POST', '/v1/hold', { pod: 7 })).code, 400)
  t.equal((await send(b, 'POST', '/v1/hold', { pod: 'a', reason: 'x'.repeat(300) })).code, 400)
  t.equal((await send(b, 'POST', '/v1/hold', { pod: 'a', reason: 'two\nlines' })).code, 400)
  t.equal((await send(b, 'POST', '/v1/hold', '[1]')).code, 400)
  t.equal((await send(b, 'POST', '/v1/hold', '{"pod": "a"')).code, 400)
  t.equal((await send(b, 'POST', '/v1/hold', { pod: 'a', reason: 'x'.repeat(400_000) })).code, 413)
  t.equal((await send(b, 'GET', '/v1/hold')).code, 404)
  t.equal((await send(b, 'GET', '/v1/__proto__')).code, 404)
  t.same(((await send(b, 'GET', '/v1/status')).value as unknown as DeviceStatus).holds, [])
  t.equal(runs(b).length, 3)
  await agent.close()
})

t.test('with a group, who acts without proof is refused with a hint', { skip: process.getuid?.() !== 0 && 'not root' }, async t => {
  const b = openBench(t.teardown)
  await b.join()
  const agent = await b.start({ socketGroups: { readers: 'nogroup' } })
  await b.until('the link', () => b.hooks !== undefined)
  await b.give(document([pod('a')]))
  await b.until('a runs', () => runs(b).length === 1)
  t.equal((await send(b, 'GET', '/v1/status')).code, 200, 'asking needs none')
  t.match(await send(b, 'POST', '/v1/hold', { pod: 'a' }), { code: 403, value: { hint: /--operator-group/ } })
  const { nonce } = (await send(b, 'POST', '/v1/peer')).value as { nonce: string }
  symlinkSync(nonce, join(b.dir, 'peer', nonce))
  const held = await send(b, 'POST', '/v1/hold', { pod: 'a' }, { 'helio-peer': nonce })
  t.equal((held.value as unknown as DeviceHold).by, 'root')
  await agent.close()
  rmSync(join(b.dir, 'agent.sock'), { force: true })
})

t.test('the profile of the link is switched at once and over restarts; what was allowed goes with the old one', async t => {
  const { b, agent } = await opened(t.teardown)
  t.match((await send(b, 'GET', '/v1/link')).value, { profile: 'lan', allowBulk: null, uplink: 'default' })
  t.match(await send(b, 'POST', '/v1/link', { profile: 'metered', allowBulk: true }), { code: 200 })
  for (const bad of [{ profile: 'cheap' }, { allowBulk: 'yes' }, { profile: 7 }])
    t.match(await send(b, 'POST', '/v1/link', bad), { code: 400, value: { hint: 'helio device link --profile metered' } })
  await agent.close()
  const given: unknown[] = []
  const again = await b.start({
    openLink(_identity, hooks) {
      given.push(hooks.uplink)
      return QUIET_LINK
    },
  })
  await b.until('the link', () => given.length === 1)
  t.strictSame(given, [{ uplink: 'default', profile: 'metered', allowBulk: true }])
  t.match((await send(b, 'GET', '/v1/status')).value, { profile: 'metered' })
  await send(b, 'POST', '/v1/link', { profile: 'normal' })
  await again.close()
  const memory = await openMemory({ dir: b.dir, files: systemFiles, log: silentLog, sealer: SEALER })
  t.strictSame(memory.fact('uplink'), { uplink: { uplink: 'default', profile: 'normal' } })
  await memory.close()
})

t.test('telemetry is taken whole or refused whole', async t => {
  const b = openBench(t.teardown)
  await b.join()
  const taken: unknown[] = []
  let links = 0
  const agent = await b.start({
    openLink() {
      links++
      return { ...QUIET_LINK, addTelemetry: item => void taken.push([item.name, item.value ?? item.json]) }
    },
  })
  await b.until('the link', () => links === 1)
  const put = (items: unknown) => send(b, 'POST', '/v1/telemetry', { items })
  t.match(
    await put([
      { name: 'battery/volts', value: 12.6 },
      { name: 'gps', json: { lat: 1, lon: 2 } },
    ]),
    { code: 200, value: { taken: 2 } },
  )
  t.strictSame(taken, [
    ['battery/volts', 12.6],
    ['gps', { lat: 1, lon: 2 }],
  ])
  const good = { name: 'a', value: 1 }
  for (const bad of [
    [good, { name: '', value: 1 }],
    [good, { name: 'a' }],
    [good, { name: 'a', value: 'x' }],
    [good, { name: 'a', value: 1, json: 1 }],
    [good, { name: 'a', json: 'x'.repeat(2000) }],
    [good, null],
    Array.from({ length: 1000 }, () => good),
    'none',
  ])
    t.equal((await put(bad)).code, 400)
  t.equal(taken.length, 2)
  await agent.close()
})

t.test('metrics are text a collector reads', async t => {
  const { b, agent } = await opened(t.teardown)
  await send(b, 'POST', '/v1/hold', { pod: 'a' })
  const { code, text } = await send(b, 'GET', '/metrics')
  t.equal(code, 200)
  t.match(text, /^helio_pods 2$/m)
  t.match(text, /^helio_pods_held 1$/m)
  t.match(text, /^helio_link_day_bytes\{priority="bulk",direction="sent"\} 0$/m)
  t.match(text, /^helio_pod_restarts_total\{namespace="default",pod="b"\} 0$/m)
  for (const line of text.trimEnd().split('\n'))
    t.match(line, /^(?:# (?:HELP|TYPE) helio_\w+ .+|helio_\w+(?:\{[^{}]*\})? -?\d+(?:\.\d+)?)$/)
  await agent.close()
})
