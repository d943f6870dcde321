// Power cuts over upgrades: SIGKILL to everything that runs of the program and its launcher, at a moment drawn by time or by a change in the
// folder of the slots; then the device is started again. Each time a command and the agent must come up, as the old or the new version, and
// the pod's process must be the one it was.

import { readdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../src/base/random.ts'
import { type Kind, makeDevice, type SlotDevice, type Supervisor } from '../e2e/slot-device.ts'
import { waitUntil } from '../e2e/waiting.ts'

/** Of a whole upgrade with its trial, and a little more. */
const LATEST_MS = 4000
/** Changes in the folder that an upgrade, its launcher starts and the end of its trial make; a little more. */
const CHANGES_MAX = 24
const PROGRESS_EVERY = 20
const LAST_CHARS = 4000
const TIMES = ['--steady', '1s', '--deadline', '60s']

export interface CutCounts {
  readonly cuts: number
  /** Ran after the cut: the version from before, the one that came in. */
  readonly old: number
  readonly new: number
  /** Cuts that found a trial under way, and that found files half made. */
  readonly trials: number
  readonly leftovers: number
  readonly rolledBack: number
}

export interface CutOptions {
  readonly cuts: number
  readonly seed: string
  readonly say: (text: string) => void
}

const leftoversIn = (device: SlotDevice): string[] =>
  readdirSync(join(device.dataDir, 'slots')).filter(name => /\.(new|old|tmp)$/.test(name))

/** Settles at the moment drawn, or when the upgrade is over and nothing more comes. */
const moment = (device: SlotDevice, draw: (below: number) => number, ended: Promise<unknown>): Promise<void> =>
  new Promise(resolve => {
    const byTime = draw(2) === 0
    const changes = 1 + draw(CHANGES_MAX)
    const seen = { changes: 0 }
    const watcher = watch(join(device.dataDir, 'slots'), () => {
      seen.changes++
      if (!byTime && seen.changes >= changes) done()
    })
    const timer = setTimeout(() => done(), byTime ? draw(LATEST_MS) : 4 * LATEST_MS)
    const done = (): void => {
      clearTimeout(timer)
      watcher.close()
      resolve()
    }
    if (!byTime) ended.then(() => setTimeout(done, draw(LATEST_MS / 2)), done)
  })

const versionOf = async (device: SlotDevice): Promise<string> => {
  const { code, stdout, stderr } = await device.helio('version', '--client', '-o', 'json')
  if (code !== 0) throw new Error(`after a cut the launcher started nothing: ${stderr}`)
  return (JSON.parse(stdout) as { program: { version: string } }).program.version
}

const oneCut = async (device: SlotDevice, agent: Supervisor, file: string, draw: (below: number) => number): Promise<void> => {
  const running = device.upgrade(file, ...TIMES, '--force', '--allow-downgrade')
  const state = { told: false }
  running.child.stderr?.on('data', () => {
    if (state.told || !running.stderr().includes('restart helio')) return
    state.told = true
    agent.restart()
  })
  await moment(device, draw, running.ended)
  try {
    process.kill(-running.child.pid!, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
  await agent.cut()
  await running.ended
}

/** Rejects when a device does not start, starts something else, or its pod is another one. */
export const cutAtRandom = async ({ cuts, seed, say }: CutOptions): Promise<CutCounts> => {
  const random = seededRandom(seed)
  const device = await makeDevice()
  const world: { agent: Supervisor } = { agent: device.supervise() }
  const counts = { cuts: 0, old: 0, new: 0, trials: 0, leftovers: 0, rolledBack: 0 }
  try {
    const pod = await device.podPid()
    let before = await versionOf(device)
    const programs = (['good', 'good', 'good', 'ends'] satisfies Kind[]).map((kind, n) => ({
      file: device.program(kind, `2.${n}.0`),
      version: `2.${n}.0`,
    }))
    for (let n = 0; n < cuts; n++) {
      const { file, version } = programs[random.int(programs.length)]!
      await oneCut(device, world.agent, file, below => random.int(below))
      counts.cuts++
      if (device.slots().trial) counts.trials++
      if (leftoversIn(device).length > 0) counts.leftovers++
      const found = await versionOf(device)
      if (found !== before && found !== version) throw new Error(`cut ${n}: ${found} runs, neither ${before} nor ${version}`)
      counts[found === before ? 'old' : 'new']++
      world.agent = device.supervise()
      if ((await device.podPid()) !== pod) throw new Error(`cut ${n}: the pod is another one`)
      await waitUntil(`cut ${n}: no trial is left open`, async () => device.slots().trial === undefined)
      const after = await versionOf(device)
      if (after !== found) counts.rolledBack++
      if (after !== before && after !== version) throw new Error(`cut ${n}: ${after} runs in the end`)
      before = after
      if (counts.cuts % PROGRESS_EVERY === 0) say(`${counts.cuts} of ${cuts} cuts`)
      // A restart on trial may have ended in the old version; the pod is looked after by whichever runs.
      if ((await device.podPid()) !== pod) throw new Error(`cut ${n}: the pod is another one in the end`)
    }
    const last = await device.upgrade(device.program('good', '3.0.0'), '--no-restart').ended
    if (last.code !== 0 || leftoversIn(device).length > 0)
      throw new Error(`an upgrade after all cuts: code ${last.code}, left ${leftoversIn(device)}: ${last.stderr}`)
    say(
      `${counts.cuts} cuts: ${counts.old} left the old version, ${counts.new} the new one (${counts.rolledBack} of those went back later); ` +
        `${counts.trials} found a trial under way, ${counts.leftovers} files half made; pod ${pod} lived through all`,
    )
    return counts
  } catch (error) {
    say(`the agent said at last: ${world.agent.stderr().slice(-LAST_CHARS)}`)
    throw error
  } finally {
    await world.agent.cut()
    await device.remove()
  }
}
