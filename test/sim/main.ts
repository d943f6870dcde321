// Runs worlds from the command line: npm run sim -- --seed 7 --nodes 200 --minutes 60 [--profile NAME] [--batch N] [--long] [--verbose].
// Prints the profile first, and for a failure all that is needed to see it again.

import { parseArgs } from 'node:util'
import { seededRandom } from '../../src/base/random.ts'
import { profileNames, profileOf, SWARM } from './profile.ts'
import { hoursOf, type SimulateResult, simulate } from './simulate.ts'

const USAGE = `npm run sim -- [--seed 1] [--nodes 20] [--minutes 20] [--profile ${profileNames.join('|')}] [--batch 1] [--long] [--verbose]`
/** The long run where nothing else is said: with what follows the faults, a virtual week. */
const LONG = { nodes: 1000, minutes: 7 * 24 * 60 - 7 * 60 - 1, profile: 'week' }
const MB = 1024 * 1024
const HOURS_TOLD = 6

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    nodes: { type: 'string' },
    minutes: { type: 'string' },
    profile: { type: 'string' },
    batch: { type: 'string', default: '1' },
    long: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const profileName = values.profile ?? (values.long ? LONG.profile : SWARM)
if (values.help || !profileNames.includes(profileName)) {
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

/** How far a world has come, and when it will end if it goes on like this. */
const told = { hour: 0, atSeconds: 0 }
const progress = (hour: number, hours: number, events: number): string => {
  const { rss, heapUsed } = process.memoryUsage()
  const seconds = process.uptime()
  const leftSeconds = ((seconds - told.atSeconds) / (hour - told.hour)) * Math.max(0, hours - hour)
  Object.assign(told, { hour, atSeconds: seconds })
  const memory = `${Math.round(heapUsed / MB)} MB heap, ${Math.round(rss / MB)} MB RSS`
  return `hour ${hour} of ${hours}: ${events} events, ${Math.round(seconds)} s, some ${Math.round(leftSeconds)} s to go, ${memory}`
}

const totals = new Map<string, number>()
let failed = 0
for (let i = 0; i < batch; i++) {
  const seed = batch === 1 ? values.seed : `${values.seed}.${i}`
  const profile = profileOf(profileName, nodes, seededRandom(seed).fork('profile'))
  console.log(`seed ${seed} profile ${JSON.stringify(profile)}`)
  const onTrace = (line: string): void => {
    if (values.verbose || (batch === 1 && !values.long && isStateChange(line))) console.log(line)
  }
  const hours = hoursOf(profile, minutes)
  const onHour = (hour: number, events: number): void => {
    if (values.long && hour % HOURS_TOLD === 0) console.log(progress(hour, hours, events))
  }
  const result = await simulate({ seed, nodes, minutes, profile: profileName, onTrace, onHour })
  report(result)
  if (values.long) console.log(`${Math.round(process.uptime())} s, at most ${Math.round(process.resourceUsage().maxRSS / 1024)} MB RSS`)
  if (result.failure) failed++
  for (const [name, count] of result.marks) totals.set(name, (totals.get(name) ?? 0) + count)
}
for (const [name, count] of sorted(totals)) console.log(`${String(count).padStart(8)}  ${name}`)
process.exitCode = failed > 0 ? 1 : 0
