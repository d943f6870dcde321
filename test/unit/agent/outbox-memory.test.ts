import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openMemory } from '../../../src/agent/memory.ts'
import { silentLog } from '../../../src/base/log.ts'
import { systemFiles } from '../../../src/host/files.ts'
import type { OutboxItem } from '../../../src/link/link.ts'
import { SEALER } from './bench.ts'

const item = (outbox: OutboxItem['outbox'], cursor: number, note = `n${cursor}`): OutboxItem => ({
  outbox,
  cursor,
  log: 'life1',
  text: JSON.stringify({ cursor, note }),
})

const setup = (teardown: (fn: () => void) => void) => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-outbox-'))
  teardown(() => rmSync(dir, { recursive: true, force: true }))
  return { dir, open: () => openMemory({ dir, files: systemFiles, log: silentLog, sealer: SEALER }) }
}

t.test('what was appended and not forgotten is there after a restart, in order, with the counters', async t => {
  const { open } = setup(t.teardown)
  const memory = await open()
  t.strictSame(memory.outbox.load(), { items: [], state: undefined })
  const events = Array.from({ length: 12 }, (_, i) => item('events', i + 1))
  await memory.outbox.write({ append: [...events, item('telemetry', 1)], forget: {}, state: { day: 1 } })
  await Promise.all([
    memory.outbox.write({ append: [item('telemetry', 2)], forget: { events: 9 }, state: { day: 2 } }),
    memory.savePods(new Map()),
    memory.saveFact('other', 1),
  ])
  const left = { items: [...events.slice(9), item('telemetry', 1), item('telemetry', 2)], state: { day: 2 } }
  t.strictSame(memory.outbox.load(), left)
  await memory.close()
  const again = await open()
  t.strictSame(again.outbox.load(), left)
  await again.close()
})

t.test('a batch that fails changes nothing, and the next one is taken', async t => {
  const { open } = setup(t.teardown)
  const memory = await open()
  await memory.outbox.write({ append: [item('events', 1)], forget: {}, state: 1 })
  await t.rejects(
    memory.outbox.write({ append: [{ ...item('events', 2), cursor: null as unknown as number }], forget: { events: 1 }, state: 2 }),
  )
  t.strictSame(memory.outbox.load(), { items: [item('events', 1)], state: 1 })
  await memory.outbox.write({ append: [item('events', 2)], forget: { events: 1 }, state: 3 })
  await memory.close()
  const again = await open()
  t.strictSame(again.outbox.load(), { items: [item('events', 2)], state: 3 })
  await again.close()
})

t.test('the disk does not tell what devices say', async t => {
  const { dir, open } = setup(t.teardown)
  const memory = await open()
  await memory.outbox.write({ append: [item('events', 1, 'a word to the wise')], forget: {}, state: 'counted' })
  await memory.close()
  for (const file of ['agent.db']) {
    const bytes = readFileSync(join(dir, file)).toString('latin1')
    t.notMatch(bytes, /a word to the wise|counted/)
  }
})
