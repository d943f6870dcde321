// The simulated world as a test: the same seed gives the same trace, every seed that once mattered passes, and two hundred nodes do too.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type SimulateOptions, type SimulateResult, simulate } from './simulate.ts'

interface Seed extends SimulateOptions {
  readonly profile: string
  readonly reason: string
}

const parseSeed = (line: string): Seed => {
  const match = /^(\S+) (\d+) (\d+) (\S+): (.+)$/.exec(line)
  if (!match) throw new Error(`read seeds.txt: ${JSON.stringify(line)} is not "seed nodes minutes profile: reason"`)
  const [, seed = '', nodes, minutes, profile = '', reason = ''] = match
  return { seed, nodes: Number(nodes), minutes: Number(minutes), profile, reason }
}

const seeds = readFileSync(join(import.meta.dirname, 'seeds.txt'), 'utf8')
  .split('\n')
  .filter(line => line !== '' && !line.startsWith('#'))
  .map(parseSeed)

/** What a batch has to reach; a set of seeds that never does is a bad test. */
const SOMETIMES: readonly string[] = [
  'a conflict happened',
  'a watch was expired',
  'a write was lost in a crash',
  'a rollout was cut in half by a partition',
  'frames arrived late over a half-open connection',
  'a node became Unknown',
  'the brake was pulled',
  'a pod was replaced by policy',
  'a replaced pod counts again',
  'a replaced pod gave way',
  'a dead node lost its pods',
  'a pod was stopped for silence',
  'a pod was held at its device',
  'a held pod was stopped',
  'a hold was ended at its device',
  'the server lifted a hold',
  'a pod was restarted from its device',
  'a service kept the endpoints of silent nodes',
  'all events of a pod arrived, once each',
  'a measurement arrived',
  'an outbox went to disk',
  'bytes were counted on a link that is lan',
  'bytes were counted on a link that is normal',
  'bytes were counted on a link that is metered',
  'a metered device was idle for a day',
  'a server came back with an older backup',
  'an operator ended a conflict',
  'an old head came again',
  'a head was forged',
]
const reached = new Set<string>()

const told = ({ failure, tail }: SimulateResult): string => (failure ? `${failure.check}: ${failure.message}\n${tail.join('\n')}` : 'ok')

for (const { reason, ...options } of seeds) {
  const { seed, nodes, minutes, profile } = options
  t.test(`seed ${seed}, ${nodes} nodes, ${minutes} minutes, ${profile}: ${reason}; twice alike`, async t => {
    const first = await simulate(options)
    const second = await simulate(options)
    for (const mark of first.marks.keys()) reached.add(mark)
    t.equal(told(first), 'ok', `npm run sim -- --seed ${seed} --nodes ${nodes} --minutes ${minutes} --profile ${profile}`)
    t.equal(second.hash, first.hash, 'the same seed gives the same trace')
    t.equal(second.events, first.events)
  })
}

t.test('the seeds together reach every state that matters', async t => {
  t.same(
    SOMETIMES.filter(mark => !reached.has(mark)),
    [],
  )
})

t.test('the world has no time and no chance of its own', async t => {
  const banned = /\b(Date\.now|Math\.random|performance\.now|randomUUID|set(Timeout|Interval))\(/
  const files = readdirSync(import.meta.dirname).filter(file => file.endsWith('.ts'))
  t.ok(files.length > 10)
  t.same(
    files.filter(file => banned.test(readFileSync(join(import.meta.dirname, file), 'utf8'))),
    [],
  )
})

t.test('another seed gives another trace', async t => {
  const options = { nodes: 3, minutes: 1, profile: 'calm' }
  t.not((await simulate({ ...options, seed: 'a' })).hash, (await simulate({ ...options, seed: 'b' })).hash)
})

t.test('two hundred nodes lose and find contact and come to rest', async t => {
  const result = await simulate({ seed: '200', nodes: 200, minutes: 5, profile: 'field-day' })
  t.equal(told(result), 'ok')
  t.ok((result.marks.get('most links were cut at once') ?? 0) + (result.marks.get('a node became Unknown') ?? 0) > 0, 'something was lost')
})
