import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import {
  SNAPSHOT_BYTES_PER_DAY,
  SNAPSHOT_HURRY_FACTOR,
  SNAPSHOT_INTERVAL_MS_MAX,
  SNAPSHOT_INTERVAL_MS_MIN,
  SNAPSHOT_RETRY_MS,
} from '../../../src/store/limits.ts'
import { createSnapshotSchedule, snapshotIntervalMs } from '../../../src/store/snapshot-schedule.ts'
import { handClock } from '../../contract/store-world.ts'

const MIB = 1024 * 1024

const schedule = (sizeBytes: number) => {
  const clock = handClock()
  const written: number[] = []
  const disk = { fails: false }
  const write = async (): Promise<{ name: string; sizeBytes: number }> => {
    if (disk.fails) throw new Error('disk full')
    written.push(clock.mono())
    return { name: 'snapshot', sizeBytes }
  }
  const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
  return { clock, written, disk, settle, plan: createSnapshotSchedule({ clock, log: silentLog, write, first: false }) }
}

t.test('the pause grows with the size, within its bounds', async each => {
  each.equal(snapshotIntervalMs(1), SNAPSHOT_INTERVAL_MS_MIN)
  each.equal(snapshotIntervalMs(SNAPSHOT_BYTES_PER_DAY / 4), SNAPSHOT_INTERVAL_MS_MAX / 4)
  each.equal(snapshotIntervalMs(1000 * MIB), SNAPSHOT_INTERVAL_MS_MAX)
})

t.test('a store under load gets its next snapshot early, a quiet one waits', async each => {
  const { clock, written, settle, plan } = schedule(MIB)
  await plan.now()
  plan.written(1000)
  clock.advance(SNAPSHOT_INTERVAL_MS_MIN + 1)
  await settle()
  each.equal(written.length, 1)
  plan.written(MIB * SNAPSHOT_HURRY_FACTOR)
  clock.advance(1)
  await settle()
  each.equal(written.length, 2)
  await plan.close(false)
  each.equal(clock.waiting, 0)
})

t.test('a snapshot that failed is tried again with later writes, and its caller hears why', async each => {
  const { clock, written, disk, settle, plan } = schedule(1000)
  disk.fails = true
  await each.rejects(plan.now(), { message: 'disk full' })
  plan.written(1)
  clock.advance(SNAPSHOT_RETRY_MS - 1)
  await settle()
  disk.fails = false
  each.equal(written.length, 0)
  clock.advance(1)
  await settle()
  each.equal(written.length, 1)
  await plan.close(false)
})

t.test('a clean stop keeps what was written since the last snapshot, and writes nothing when there is nothing', async each => {
  const { written, plan } = schedule(1000)
  plan.written(1)
  await plan.close(true)
  each.equal(written.length, 1)
  const quiet = schedule(1000)
  await quiet.plan.close(true)
  each.equal(quiet.written.length, 0)
})
