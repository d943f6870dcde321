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

const told = ({ failure, tail }: SimulateResult): string => (failure ? `${failure.check}: ${failure.message}\n${tail.join('\n')}` : 'ok')

for (const { reason, ...options } of seeds) {
  const { seed, nodes, minutes, profile } = options
  t.test(`seed ${seed}, ${nodes} nodes, ${minutes} minutes, ${profile}: ${reason}; twice alike`, async t => {
    const first = await simulate(options)
    const second = await simulate(options)
    t.equal(told(first), 'ok', `npm run sim -- --seed ${seed} --nodes ${nodes} --minutes ${minutes} --profile ${profile}`)
    t.equal(second.hash, first.hash, 'the same seed gives the same trace')
    t.equal(second.events, first.events)
  })
}

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
