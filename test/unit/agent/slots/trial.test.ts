// A trial ends when every role that was started in it was healthy for the steady time; what never gets there ends with failure.

import { rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import type { SlotRole } from '../../../../src/agent/slots/slot-state.ts'
import { startsText, trialText } from '../../../../src/agent/slots/slot-state.ts'
import { readSlots } from '../../../../src/agent/slots/slots.ts'
import { watchTrial } from '../../../../src/agent/slots/trial.ts'
import { silentLog } from '../../../../src/base/log.ts'
import { systemFiles } from '../../../../src/host/files.ts'
import { manualClock } from '../../link/manual-clock.ts'
import { newDataDir, SUMS, writeFolder } from './folder.ts'

const deps = { files: systemFiles }
const TRIAL = { slot: 'b', sha256: SUMS.b, version: '1.1.0', steadySeconds: 60, deadlineSeconds: 300 } as const
const whole = { program: 'whole', about: 'good' } as const

const begin = (t: { teardown(fn: () => void): void }, files: { server?: string; agent?: string; trial?: string }) => {
  const dataDir = newDataDir()
  t.teardown(() => rmSync(dirname(dataDir), { recursive: true }))
  writeFolder(dataDir, { current: 'b\n', trial: trialText(TRIAL), ...files, a: whole, b: whole })
  const clock = manualClock()
  const failed: string[] = []
  const watch = (role: SlotRole, program = join(dataDir, 'slots/b/helio')) =>
    watchTrial({ ...deps, clock, log: silentLog, program, fail: why => failed.push(why) }, role)
  return { dataDir, clock, failed, watch, slots: () => readSlots(deps, dataDir) }
}

const healthy = async (): Promise<undefined> => undefined

t.test('a role that is healthy and steady ends the trial, not sooner', async t => {
  const { clock, failed, watch, slots } = begin(t, { agent: startsText(SUMS.b, 1) })
  const trial = watch('agent')
  t.notOk(trial.ended())
  await clock.pass(100_000)
  trial.ready(healthy)
  await clock.pass(59_000)
  t.match(slots().trial, { starts: { agent: 1 } })
  await clock.pass(2_000)
  t.match(slots(), { current: 'b', trial: undefined })
  t.ok(trial.ended())
  await clock.pass(1_000_000)
  t.same(failed, [], 'its deadline is over too')
  t.equal(clock.armed, 0)
})

t.test('a role that is ill is looked at again, and fails at its deadline with what was wrong', async t => {
  const { clock, failed, watch, slots } = begin(t, { agent: startsText(SUMS.b, 1) })
  watch('agent').ready(async () => 'pod web has no container')
  await clock.pass(299_000)
  t.same(failed, [])
  await clock.pass(2_000)
  t.same(failed, ['pod web has no container'])
  t.match(slots().trial, { starts: { agent: 1 } })
  t.equal(clock.armed, 0)
})

t.test('a role that gets well ends the trial all the same', async t => {
  const { clock, failed, watch, slots } = begin(t, { agent: startsText(SUMS.b, 1) })
  const state = { why: 'not yet' as string | undefined }
  watch('agent').ready(async () => state.why)
  await clock.pass(100_000)
  state.why = undefined
  await clock.pass(5_000)
  t.equal(slots().trial, undefined)
  t.same(failed, [])
})

t.test('a role that never stands fails at its deadline', async t => {
  const { clock, failed, watch } = begin(t, { agent: startsText(SUMS.b, 3) })
  watch('agent')
  await clock.pass(300_000)
  t.same(failed, ['it did not get ready'])
})

t.test('where two roles were started the trial ends when both are healthy', async t => {
  const { clock, watch, slots } = begin(t, { agent: startsText(SUMS.b, 1), server: startsText(SUMS.b, 2) })
  watch('agent').ready(healthy)
  await clock.pass(60_000)
  t.match(slots().trial, { starts: { agent: 'ok', server: 2 } })
  watch('server').ready(healthy)
  await clock.pass(60_000)
  t.equal(slots().trial, undefined)
})

t.test('an orderly stop gives the start back, and one after the end of the trial changes nothing', async t => {
  const { clock, failed, watch, slots } = begin(t, { agent: startsText(SUMS.b, 2) })
  watch('agent').stop()
  t.match(slots().trial, { starts: { agent: 1 } })
  t.equal(clock.armed, 0)
  const trial = watch('agent')
  trial.ready(healthy)
  await clock.pass(60_000)
  trial.stop()
  t.equal(slots().trial, undefined)
  t.same(failed, [])
})

t.test('a trial whose file is damaged ends like any other', async t => {
  const { clock, watch, slots } = begin(t, { agent: startsText('?', 1), trial: '\0\0' })
  watch('agent').ready(healthy)
  await clock.pass(60_000)
  t.match(slots(), { current: 'b', trial: undefined })
})

t.test('a program that is not the one on trial waits for nothing', async t => {
  const { dataDir, clock, watch } = begin(t, {})
  t.ok(watch('agent', join(dataDir, 'slots/a/helio')).ended(), 'the other slot’s')
  t.ok(watch('agent', '/usr/bin/helio').ended(), 'one outside of the slots')
  writeFileSync(join(dataDir, 'slots/current'), 'a\n')
  t.ok(watch('agent').ended(), 'one that was left behind')
  t.equal(clock.armed, 0)
})

t.test('a program that runs on after its trial was ended by hand has no say in the next one', async t => {
  const { dataDir, clock, failed, watch, slots } = begin(t, { agent: startsText(SUMS.b, 1) })
  const old = watch('agent')
  old.ready(healthy)
  writeFileSync(join(dataDir, 'slots/trial'), trialText({ ...TRIAL, sha256: SUMS.a }))
  writeFileSync(join(dataDir, 'slots/trial.agent'), startsText(SUMS.a, 0))
  await clock.pass(400_000)
  old.stop()
  t.match(slots().trial, { sha256: SUMS.a, starts: { agent: 0 } })
  t.same(failed, [])
})

t.test('a disk that takes nothing ends no trial, and stops no role', async t => {
  const { clock, dataDir, failed } = begin(t, { agent: startsText(SUMS.b, 1) })
  const files = {
    ...systemFiles,
    write() {
      throw new Error('ENOSPC')
    },
  }
  const said: string[] = []
  const log = { ...silentLog, error: (message: string) => void said.push(message) }
  const watch = () => watchTrial({ files, clock, log, program: join(dataDir, 'slots/b/helio'), fail: why => failed.push(why) }, 'agent')
  watch().ready(healthy)
  await clock.pass(60_000)
  watch().stop()
  t.same(said, ['end of trial failed', 'start on trial was not given back'])
  t.ok(readSlots(deps, dataDir).trial)
})
