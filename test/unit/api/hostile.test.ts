// Bodies made to cost more than they weigh: each is refused quickly, shortly, and without harm to the process.

import t from 'tap'
import { configMap, createRig, pod } from './rig.ts'

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
