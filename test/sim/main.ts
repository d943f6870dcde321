// Runs worlds from the command line: npm run sim -- --seed 7 --nodes 200 --minutes 60 [--profile NAME] [--batch N] [--long] [--verbose].
// Prints the profile first, and for a failure all that is needed to see it again.

import { parseArgs } from 'node:util'
import { seededRandom } from '../../src/base/random.ts'
import { profileNames, profileOf, SWARM } from './profile.ts'
import { type SimulateResult, simulate } from './simulate.ts'

const USAGE = `npm run sim -- [--seed 1] [--nodes 20] [--minutes 20] [--profile ${profileNames.join('|')}] [--batch 1] [--long] [--verbose]`
/** What a soak over night uses where nothing else is said. */
const LONG = { nodes: 200, minutes: 240 }

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    nodes: { type: 'string' },
    minutes: { type: 'string' },
    profile: { type: 'string', default: SWARM },
    batch: { type: 'string', default: '1' },
    long: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help || !profileNames.includes(values.profile)) {
  console.error(USAGE)
  process.exit(2)
}
const nodes = Number(values.nodes ?? (values.long ? LONG.nodes : 20))
const minutes = Number(values.minutes ?? (values.long ? LONG.minutes : 20))
const batch = Number(values.batch)
if (![nodes, minutes, batch].every(value => Number.isInteger(value) && value > 0)) {
  console.error(USAGE)
  process.exit(2)
}

const sorted = (marks: ReadonlyMap<string, number>): [string, number][] => [...marks].sort(([a], [b]) => (a < b ? -1 : 1))

const report = (result: SimulateResult): void => {
  const { seed, failure, hash, events, summary, profile } = result
  console.log(`seed ${seed} ${profile.name} ${failure ? 'FAILED' : 'ok'} hash ${hash} events ${events}: ${summary}`)
  if (!failure) return
  console.log(result.tail.join('\n'))
  console.log(`broken at ${(failure.atMs / 1000).toFixed(3)} s: ${failure.check}\n  ${failure.message}`)
  console.log(`again: npm run sim -- --seed ${seed} --nodes ${nodes} --minutes ${minutes} --profile ${profile.name}`)
}

/** Lines worth seeing while a world runs: what people, faults and machines do, not every write. */
const isStateChange = (line: string): boolean => !/^\S+ \d+ (ADDED|MODIFIED|DELETED) /.test(line)

const totals = new Map<string, number>()
let failed = 0
for (let i = 0; i < batch; i++) {
  const seed = batch === 1 ? values.seed : `${values.seed}.${i}`
  const profile = profileOf(values.profile, nodes, seededRandom(seed).fork('profile'))
  console.log(`seed ${seed} profile ${JSON.stringify(profile)}`)
  const onTrace = (line: string): void => {
    if (values.verbose || (batch === 1 && isStateChange(line))) console.log(line)
  }
  const result = await simulate({ seed, nodes, minutes, profile: values.profile, onTrace })
  report(result)
  if (result.failure) failed++
  for (const [name, count] of result.marks) totals.set(name, (totals.get(name) ?? 0) + count)
}
for (const [name, count] of sorted(totals)) console.log(`${String(count).padStart(8)}  ${name}`)
process.exitCode = failed > 0 ? 1 : 0
