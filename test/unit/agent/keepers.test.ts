// What a device still knows after a restart: since when the server is silent, and how late it is at least.

import { join } from 'node:path'
import t from 'tap'
import { keepClock } from '../../../src/agent/clock-keeper.ts'
import { type ContactKeeperDeps, keepContact } from '../../../src/agent/contact-keeper.ts'
import { SILENCE_PATIENCE_MS } from '../../../src/agent/limits.ts'
import { openMemory } from '../../../src/agent/memory.ts'
import type { ContactState } from '../../../src/agent/silence.ts'
import { clockWithFloor } from '../../../src/base/clock-floor.ts'
import { silentLog } from '../../../src/base/log.ts'
import { systemFiles } from '../../../src/host/files.ts'
import { STOP_AFTER } from '../../../src/kinds/disconnection.ts'
import { SEALER } from './bench.ts'
import { document, pod } from './model.ts'

const ASKING = document([pod('a', {}, { annotations: { [STOP_AFTER]: '10m' } })])

/** A machine with an uptime; each agent's own clock begins where it likes. */
const machine = () => {
  const facts = new Map<string, unknown>()
  const at = { bootID: 'one', uptimeMs: 5_000_000, writes: 0, told: [] as ContactState[] }
  const memory = {
    fact: (key: string) => facts.get(key),
    async saveFact(key: string, value: unknown) {
      at.writes++
      facts.set(key, JSON.parse(JSON.stringify(value)))
    },
  }
  const agent = () => {
    const beganMs = at.uptimeMs
    const deps: ContactKeeperDeps = {
      clock: { mono: () => at.uptimeMs - beganMs + 7 },
      log: silentLog,
      memory,
      hostFacts: () => ({ bootID: at.bootID, uptimeSeconds: at.uptimeMs / 1000 }),
      tell: contact => void at.told.push(contact),
    }
    return { ...keepContact(deps), mono: deps.clock.mono }
  }
  return { at, agent }
}

t.test('the silence an agent knows of goes on under the next one', async t => {
  const { at, agent } = machine()
  const first = agent()
  first.document(ASKING)
  first.changed(true, undefined)
  at.uptimeMs += 60_000
  first.changed(false, first.mono() - 30_000)
  t.match(at.told.at(-1), { connected: false, sinceAtMs: first.mono() - 30_000, noticedAtMs: first.mono() })
  at.uptimeMs += 100_000
  const second = agent()
  t.match(second.first, { connected: false, sinceAtMs: second.mono() - 130_000, patienceMs: Number.POSITIVE_INFINITY })
})

t.test('an orderly end is no silence; after a sudden one nothing is known, and patience is short', async t => {
  const { at, agent } = machine()
  const first = agent()
  first.document(ASKING)
  first.changed(true, undefined)
  at.uptimeMs += 3_600_000
  await first.close()
  const told = at.told.length
  first.changed(false, 0)
  t.equal(at.told.length, told, 'the link that closes with the agent tells nothing')
  at.uptimeMs += 2000
  const second = agent()
  t.match(second.first, { connected: false, sinceAtMs: second.mono() - 2000, patienceMs: Number.POSITIVE_INFINITY })
  second.document(ASKING)
  second.changed(true, undefined)
  at.uptimeMs += 3_600_000
  const third = agent()
  t.match(third.first, { connected: false, sinceAtMs: third.mono(), patienceMs: SILENCE_PATIENCE_MS })
})

t.test('after a reboot the silence may have been any', async t => {
  const { at, agent } = machine()
  const first = agent()
  first.document(ASKING)
  first.changed(true, undefined)
  await first.close()
  at.bootID = 'two'
  at.uptimeMs = 3000
  t.match(agent().first, { connected: false, patienceMs: Number.NEGATIVE_INFINITY })
  t.match(agent().first, { patienceMs: Number.NEGATIVE_INFINITY }, 'and stays so until the server was heard')
})

t.test('nothing is written where no pod asks for it', async t => {
  const { at, agent } = machine()
  const keeper = agent()
  keeper.document(document([pod('a')]))
  for (let i = 0; i < 10; i++) keeper.changed(i % 2 === 0, undefined)
  await keeper.close()
  t.equal(at.writes, 0)
})

t.test('signed time is on disk and is the floor of the next run; the wall clock never is', async t => {
  const dir = join(t.testdir(), 'd')
  const wall = { ms: Date.parse('2055-01-01T00:00:00Z') }
  const clock = () =>
    clockWithFloor(
      { now: () => wall.ms, mono: () => 0, after: () => () => undefined, sleep: () => Promise.resolve() },
      Date.parse('2026-11-01T00:00:00Z'),
    )
  const run = async (told?: string): Promise<string> => {
    const memory = await openMemory({ dir, files: systemFiles, log: silentLog, sealer: SEALER })
    const device = clock()
    const keeper = keepClock({ clock: device, log: silentLog, memory })
    if (told !== undefined) keeper.told(told)
    await keeper.close()
    await memory.close()
    return new Date(device.now()).toISOString()
  }
  await run('2027-03-01T10:00:00Z')
  wall.ms = 0
  t.equal(await run(), '2027-03-01T10:00:00.000Z')
  t.equal(await run('nonsense'), '2027-03-01T10:00:00.000Z')
})
