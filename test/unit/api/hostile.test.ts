// Bodies made to cost more than they weigh: each is refused quickly, shortly, and without harm to the process.

import t from 'tap'
import { type ExtraRoute, textResponse } from '../../../src/api/api.ts'
import type { Arrival } from '../../../src/api/arrivals.ts'
import {
  ARRIVING_BYTES_MAX,
  ARRIVING_MAX,
  LOG_STREAMS_MAX,
  STRANGER_BODY_BYTES_MAX,
  STRANGER_BODY_MS_MAX,
  STRANGERS_MAX,
} from '../../../src/api/limits.ts'
import { USUAL_BOUND } from '../../../src/api/message.ts'
import { ApiError } from '../../../src/base/errors.ts'
import type { Identity } from '../../../src/base/pki.ts'
import { until } from '../../contract/store-world.ts'
import { ADMIN, configMap, createRig, pod } from './rig.ts'

const MAPS = '/api/v1/namespaces/default/configmaps'
/** Far above what any of these takes, far below what they took before. */
const PATIENCE_MS = 5_000
const ANSWER_CHARS_MAX = 1_000_000

const cases: readonly (readonly [name: string, type: string, body: string, status: number])[] = [
  [
    'keys that come twice far down a long path',
    'application/json',
    `{"metadata":{"name":"a"},"${'k'.repeat(1_000_000)}":{${'"a":"",'.repeat(150_000)}"a":""}}`,
    400,
  ],
  ['a key that comes half a million times', 'application/json', `{"metadata":{"name":"a"},${'"a":0,'.repeat(400_000)}"a":0}`, 400],
  [
    'many wrong labels',
    'application/json',
    JSON.stringify({ metadata: { name: 'a', labels: Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`!${i}`, '!'])) } }),
    422,
  ],
  ['a name of two megabytes', 'application/json', JSON.stringify({ metadata: { name: 'a-'.repeat(1_000_000) } }), 422],
  ['sequences in sequences, in YAML', 'application/yaml', '- '.repeat(200_000), 400],
  ['brackets in brackets, in YAML', 'application/yaml', '['.repeat(200_000), 400],
  ['mappings in mappings, in YAML', 'application/yaml', 'a: '.repeat(200_000), 400],
  ['a mapping of many keys, in YAML', 'application/yaml', Array.from({ length: 40_000 }, (_, i) => `k${i}: 1`).join('\n'), 400],
  ['a million small lists, in YAML', 'application/yaml', `[${'[],'.repeat(1_000_000)}]`, 400],
  ['an alias for most of the body, many times', 'application/yaml', `a: &a ${'x'.repeat(2_000_000)}\nb: [${'*a, '.repeat(99)}*a]`, 400],
]

t.test('a body that costs more than it weighs is refused in a short time with a short answer', async t => {
  const rig = await createRig()
  for (const [name, type, body, status] of cases) {
    const startedMs = performance.now()
    const answer = await rig.ask('POST', `${MAPS}?fieldValidation=Strict`, body, { type })
    t.equal(answer.status, status, name)
    t.ok(performance.now() - startedMs < PATIENCE_MS, `${name}: in time`)
    t.ok(answer.text.length < ANSWER_CHARS_MAX, `${name}: ${answer.text.length} characters`)
  }
  t.equal((await rig.ask('GET', MAPS)).json.items.length, 0, 'nothing changed')
})

t.test('a quantity of a million digits is no quantity, at once', async t => {
  const rig = await createRig()
  for (const cpu of ['9'.repeat(1_000_000), `${'9'.repeat(100_000)}x`, `1.${'9'.repeat(100_000)}x`]) {
    const startedMs = performance.now()
    const body = pod('q', { containers: [{ name: 'c', image: 'i', resources: { limits: { cpu } } }] })
    t.equal((await rig.ask('POST', '/api/v1/namespaces/default/pods', body)).status, 400)
    t.ok(performance.now() - startedMs < PATIENCE_MS)
  }
})

t.test('a refusal names the first causes and counts the rest', async t => {
  const rig = await createRig()
  const labels = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`!${i}`, 'x']))
  const { causes } = (await rig.ask('POST', MAPS, configMap('a', {}, labels))).json.details
  t.equal(causes.length, 101)
  t.match(causes.at(-1)?.message, /^and \d+ more$/)
})

t.test('YAML bodies: a key that comes twice and a second document are refused, what aliases stand for is not', async t => {
  const rig = await createRig()
  const ask = (body: string) => rig.ask('POST', MAPS, body, { type: 'application/yaml' })
  t.match((await ask('metadata: {name: a}\nmetadata: {name: b}')).json.message, /key "metadata" already set in map/)
  t.match((await ask('metadata: {name: a}\n---\nmetadata: {name: b}')).json.message, /more than one document/)
  t.equal((await ask('metadata: {name: a, labels: &x {k: v}, annotations: *x}')).status, 201)
})

t.test('a JSON patch that copies or moves too much is refused before it is done', async t => {
  const rig = await createRig()
  await rig.ask('POST', MAPS, configMap('a', { big: 'x'.repeat(500_000), k: 'v' }))
  const patch = (operations: readonly unknown[]) => rig.ask('PATCH', `${MAPS}/a`, operations, { type: 'application/json-patch+json' })
  const startedMs = performance.now()
  const doubling = await patch(Array.from({ length: 30 }, (_, i) => ({ op: 'copy', from: '/data', path: `/data/k${i}` })))
  t.match(doubling.json, { code: 413, message: /accumulated size increase of copy/ })
  const moving = Array.from({ length: 10_000 }, (_, i) => ({
    op: 'move',
    from: `/data/${i % 2 ? 'to' : 'big'}`,
    path: `/data/${i % 2 ? 'big' : 'to'}`,
  }))
  t.match((await patch(moving)).json, { code: 413, message: /moves of a JSON patch/ })
  t.ok(performance.now() - startedMs < PATIENCE_MS)
  t.equal(
    (
      await patch([
        { op: 'copy', from: '/data/k', path: '/data/k2' },
        { op: 'move', from: '/data/k', path: '/data/k3' },
      ])
    ).status,
    200,
  )
  t.equal((await patch([{ op: 'copy', path: '/data/k2' }])).status, 422)
  t.equal((await patch([{ op: 'move', from: '/none/such', path: '/data/k2' }])).status, 422)
})

t.test('callers without a name are few at a time and say little; others do not notice them', async t => {
  const bounds: unknown[] = []
  const waiting: (() => void)[] = []
  const working: (() => void)[] = []
  const join: ExtraRoute = {
    method: 'POST',
    path: '/join',
    anonymous: true,
    async handle(request) {
      await request.body()
      await new Promise<void>(resolve => working.push(resolve))
      return textResponse('welcome')
    },
  }
  const rig = await createRig({ routes: [join] })
  const stranger = () =>
    rig.api.handle({
      method: 'POST',
      url: '/join',
      headers: {},
      identity: undefined,
      body: bound => {
        bounds.push(bound)
        return new Promise(resolve => waiting.push(() => resolve(Buffer.alloc(0))))
      },
    })
  const strangers = Array.from({ length: 500 }, stranger)
  t.equal((await rig.ask('GET', MAPS)).status, 200)
  t.match(bounds[0], { bytesMax: STRANGER_BODY_BYTES_MAX, arrivesWithinMs: STRANGER_BODY_MS_MAX })
  for (const done of waiting) done()
  await until(() => working.length === STRANGERS_MAX)
  t.equal((await rig.ask('GET', MAPS)).status, 200)
  for (const done of working) done()
  const statuses = (await Promise.all(strangers)).map(answer => answer.status)
  t.equal(statuses.filter(status => status === 200).length, STRANGERS_MAX)
  t.equal(statuses.filter(status => status === 429).length, 500 - STRANGERS_MAX)
})

t.test('bodies that do not come take no places; the oldest give way, first to number, then to bytes', async t => {
  const rig = await createRig()
  const arrivals: Arrival[] = []
  const slow = (identity: Identity) =>
    rig.api.handle({
      method: 'POST',
      url: MAPS,
      headers: { 'content-type': 'application/json' },
      identity,
      body: ({ arrival } = USUAL_BOUND) =>
        new Promise((_, reject) => {
          arrivals.push(arrival!)
          arrival?.signal.addEventListener('abort', () => reject(new ApiError('Timeout', 'late')))
        }),
    })
  const answers = Array.from({ length: ARRIVING_MAX + 10 }, () => slow(ADMIN))
  t.equal((await rig.ask('GET', MAPS)).status, 200, 'many more than may be in work at once')
  t.strictSame(
    (await Promise.all(answers.slice(0, 10))).map(({ status }) => status),
    Array(10).fill(504),
  )
  t.equal(
    arrivals.findIndex(({ signal }) => !signal.aborted),
    10,
  )
  arrivals[20]?.grew(ARRIVING_BYTES_MAX)
  t.equal(
    arrivals.findIndex(({ signal }) => !signal.aborted),
    10,
    'not above the bound yet',
  )
  arrivals.at(-1)?.grew(1)
  t.equal(
    arrivals.findIndex(({ signal }) => !signal.aborted),
    21,
    'until the bytes fit',
  )
  t.equal((await rig.ask('POST', MAPS, configMap('a'))).status, 201)
})

t.test('a log refused because too many are open lets go of the stream from the device', async t => {
  const open: AbortSignal[] = []
  const rig = await createRig({
    podLogs: (_, sink) =>
      new Promise(resolve => {
        open.push(sink.signal)
        sink.signal.addEventListener('abort', () => resolve())
        sink.write(Buffer.from('x')).catch(() => resolve())
      }),
  })
  await rig.ask('POST', '/api/v1/namespaces/default/pods', pod('p', { nodeName: 'n' }))
  const log = '/api/v1/namespaces/default/pods/p/log?follow=true'
  const streams = []
  for (let i = 0; i < LOG_STREAMS_MAX; i++) streams.push(await rig.open(log))
  t.equal((await rig.ask('GET', log)).status, 429)
  t.equal(open.length, LOG_STREAMS_MAX + 1)
  t.ok(open.at(-1)?.aborted)
  for (const stream of streams) stream.hangUp()
  await Promise.all(streams.map(stream => stream.ended))
})
