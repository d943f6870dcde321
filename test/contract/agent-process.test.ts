// The agent where there is no container runtime: plain processes, the device's own network, the same life.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemExec } from '../../src/host/exec.ts'
import { selectRuntime } from '../../src/runtime/index.ts'
import type { Runtime } from '../../src/runtime/runtime.ts'
import { openBench } from '../unit/agent/bench.ts'
import { container, document, image, pod } from '../unit/agent/model.ts'
import { hasBusybox, makeBusyboxLayer, shell } from './runtime-busybox.ts'

const RUNS = 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'

t.test('an agent on plain processes', { skip: hasBusybox() ? false : 'busybox is not installed' }, async t => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-agent-process-'))
  const open = (): Promise<Runtime> =>
    selectRuntime('process', { exec: systemExec, clock: systemClock, log: silentLog, dir: join(dir, 'run') })
  const b = openBench(t.teardown)
  b.images.set('busybox', { ...image('busybox'), layers: [makeBusyboxLayer(dir)] })
  await b.join()
  const hold = { agent: await b.start({ runtime: await open() }) }
  t.teardown(async () => {
    await b.give(document([]))
    await b.until('all gone', () => b.values.size <= 1)
    await hold.agent.close()
    rmSync(dir, { recursive: true, force: true })
  })
  await b.until('the link', () => b.hooks !== undefined)
  const settings = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'settings', namespace: 'default' },
    data: { color: 'red' },
  } as const
  const env = [{ name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'color' } } }]
  const main = container('main', { image: 'busybox', command: [...shell(`echo $COLOR; ${RUNS}`)], env })
  const desired = document([pod('p', { containers: [main] })], { configMaps: [settings] })
  await b.give(desired)
  await b.until('it runs', () => b.status('p')?.containerStatuses?.[0]?.ready === true)
  t.equal(b.status('p')?.podIP, '192.0.2.7', 'the device’s own address')
  const log = join(b.dir, 'logs/default_p_uid-p/main/0.log')
  await b.until('it said its colour', () => existsSync(log) && / stdout F red\n/.test(readFileSync(log, 'utf8')))

  const pidNow = async (): Promise<number> => {
    const runtime = await open()
    const { containers } = await runtime.inspect()
    await runtime.close()
    return containers.find(c => c.state === 'running')?.pid ?? 0
  }
  const pid = await pidNow()
  await hold.agent.close()
  b.values.clear()
  hold.agent = await b.start({ runtime: await open() })
  await b.until('adopted', () => b.status('p')?.containerStatuses?.[0]?.ready === true)
  t.equal(await pidNow(), pid, 'the same process')
  process.kill(pid, 'SIGKILL')
  await b.until(
    'it runs again',
    () => b.status('p')?.containerStatuses?.[0]?.restartCount === 1 && b.status('p')?.containerStatuses?.[0]?.ready === true,
  )
  t.match(b.status('p')?.containerStatuses?.[0]?.lastState, { terminated: { exitCode: 137, reason: 'Error' } })
})
