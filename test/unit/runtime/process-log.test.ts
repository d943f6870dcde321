import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { systemExec } from '../../../src/host/exec.ts'
import { LOG_LINE_BYTES_MAX } from '../../../src/runtime/limits.ts'
import { openLogPump, toLogLines } from '../../../src/runtime/process-log.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

t.test('whole lines are taken, the rest waits for its end', async t => {
  t.same(toLogLines(bytes('a\n\nb'), 'stdout', 'T', false), { text: 'T stdout F a\nT stdout F \n', used: 3 })
  t.same(toLogLines(bytes('b'), 'stdout', 'T', true), { text: 'T stdout F b\n', used: 1 })
})

t.test('a very long line comes in parts', async t => {
  const { text, used } = toLogLines(bytes(`${'x'.repeat(LOG_LINE_BYTES_MAX + 5)}\n`), 'stderr', 'T', false)
  t.equal(used, LOG_LINE_BYTES_MAX + 6)
  t.same(
    text.split('\n').map(line => line.slice(0, 10)),
    ['T stderr P', 'T stderr F', ''],
  )
})

t.test('converting goes on where it was, without loss or repetition', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-log-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const log = join(dir, 'main.log')
  for (const name of ['stdout', 'stderr']) writeFileSync(join(dir, name), '')
  const deps = { clock: systemClock, log: silentLog, exec: systemExec }
  const lines = (path = log) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map(line => line.split(' ').slice(1).join(' '))

  const first = openLogPump(deps, dir, log)
  appendFileSync(join(dir, 'stdout'), 'one\ntwo\nthr')
  await first.pump(false)
  await first.close()
  t.same(lines(), ['stdout F one', 'stdout F two'])

  // The agent was killed in the middle of writing the next batch.
  appendFileSync(log, '2026-01-01T00:00:00.000000000Z stdout F thr')
  appendFileSync(join(dir, 'stdout'), 'ee\n')
  const second = openLogPump(deps, dir, log)
  await second.pump(false)
  t.same(lines(), ['stdout F one', 'stdout F two', 'stdout F three'])

  renameSync(log, `${log}.1`)
  appendFileSync(join(dir, 'stderr'), 'no newline')
  await second.pump(true)
  await second.close()
  t.same(lines(`${log}.1`).length, 3)
  t.same(lines(), ['stderr F no newline'], 'after rotation a new file is begun')
})
