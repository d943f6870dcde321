// An agent on plain processes that is stopped while its last pod goes away, at every moment of it: it ends, in order, and its folder is
// good for the next. HELIO_STOPS sets the number of rounds.

import { mkdtempSync, rmSync } from 'node:fs'
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

const ROUNDS = Number(process.env['HELIO_STOPS'] ?? 8)
/** The moments are this far apart; a pod is gone after some of them. */
const STEP_MS = 6
const MOMENTS = 24

/** Talks all the time and goes when asked, so that its log is written to while it goes. */
const TALKS = 'trap "echo going; exit 0" TERM; while :; do echo word; sleep 0.01; done'

t.test('stopping while the last pod goes away', { skip: hasBusybox() ? false : 'busybox is not installed', timeout: 240_000 }, async t => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-agent-stop-'))
  const strays: unknown[] = []
  const failed: string[] = []
  const log = { ...silentLog, error: (message: string) => void (message.endsWith(' failed') && failed.push(message)) }
  const stray = (error: unknown): void => void strays.push(error)
  process.on('unhandledRejection', stray)
  const open = (): Promise<Runtime> =>
    selectRuntime('process', { exec: systemExec, clock: systemClock, log: silentLog, dir: join(dir, 'run') })
  const b = openBench(t.teardown)
  b.images.set('busybox', { ...image('busybox'), layers: [makeBusyboxLayer(dir)] })
  await b.join()
  const hold = { agent: await b.start({ runtime: await open(), log }) }
  t.teardown(async () => {
    await hold.agent.close()
    process.off('unhandledRejection', stray)
    rmSync(dir, { recursive: true, force: true })
  })
  const main = container('main', { image: 'busybox', command: [...shell(TALKS)] })
  for (let round = 0; round < ROUNDS; round++) {
    await b.until('the link', () => b.hooks !== undefined)
    await b.give(document([pod(`p${round}`, { containers: [main], terminationGracePeriodSeconds: round % 2 })]))
    await b.until('it runs', () => b.status(`p${round}`)?.containerStatuses?.[0]?.ready === true)
    await b.give(document([]))
    await systemClock.sleep(((round * MOMENTS) / ROUNDS) * STEP_MS)
    await hold.agent.close()
    b.hooks = undefined
    b.values.clear()
    hold.agent = await b.start({ runtime: await open(), log })
  }
  await b.until('the last link', () => b.hooks !== undefined)
  const left = async (): Promise<number> => {
    const runtime = await open()
    const { containers, sandboxes } = await runtime.inspect()
    await runtime.close()
    return containers.length + sandboxes.length
  }
  const seen = { left: await left() }
  while (seen.left > 0) seen.left = await left()
  t.equal(seen.left, 0, 'the next agent has cleared away what was left')
  t.same(failed, [], 'no agent got in the way of the next')
  t.same(strays, [], 'nothing failed behind the back')
})
