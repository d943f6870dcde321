import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { type ContainerRecord, recordPath, writeRecord } from '../../../src/runtime/record.ts'
import type { ContainerInfo } from '../../../src/runtime/runtime.ts'
import { createTracking } from '../../../src/runtime/tracking.ts'
import { busyboxSpec } from '../../contract/runtime-busybox.ts'

t.test('an end that a look finds before the kernel has told it is told once', async t => {
  const dir = t.testdir({ containers: {}, exits: {} })
  const spec = busyboxSpec({ layers: [], logPath: join(dir, 'log'), args: ['/bin/true'] })
  const id = `${spec.podUid}_${spec.name}_0`
  const record: ContainerRecord = { id, spec, bootId: 'boot', createdAtMs: 1, startedAtMs: 1, phase: 'started' }
  mkdirSync(join(dir, 'containers', id))
  await writeRecord(recordPath(join(dir, 'containers', id)), record, { durable: false })
  const world = { monitored: true, watched: 0 }
  const tracking = createTracking(
    { clock: systemClock, log: silentLog, bootId: 'boot', containersDir: join(dir, 'containers'), exitsDir: join(dir, 'exits') },
    {
      adopt: async () => undefined,
      readExit: async () => undefined,
      isMonitored: async () => world.monitored,
      settle: async () => undefined,
      kill: async () => undefined,
      wipe: async () => undefined,
      vigil: () => {
        world.watched++
        return () => void world.watched--
      },
    },
  )
  const told: ContainerInfo[] = []
  const first = new Promise<void>(resolve =>
    tracking.onExit(info => {
      told.push(info)
      resolve()
    }),
  )
  t.equal((await tracking.inspect(id))?.state, 'running')
  t.equal(world.watched, 1)
  world.monitored = false
  t.equal((await tracking.inspect(id))?.state, 'exited')
  await first
  await tracking.inspect(id)
  await tracking.inOrder.idle()
  t.match(told, [{ exit: { unknown: true } }])
  t.equal(told.length, 1)
  t.equal(world.watched, 0)
  await tracking.close()
})
