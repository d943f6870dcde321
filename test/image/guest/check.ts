// The checks inside the test board, one stage a boot. `CUT` on the console asks the outside to cut the power.

import { readdirSync, readFileSync } from 'node:fs'
import { CGROUPS, check, DATA, logTail, note, podGroups, startRole } from './board.ts'
import { coldBoot, noMemoryController, wrongClock } from './cold-boot.ts'
import { firstBoot } from './first-boot.ts'
import { afterReboot, goDown, underSystemd } from './under-systemd.ts'

const mounts = (): string => readFileSync('/proc/self/mounts', 'utf8')

const hasProcess = (uid: string): boolean =>
  readdirSync(`${CGROUPS}/helio/${uid}`, { withFileTypes: true }).some(
    entry => entry.isDirectory() && readFileSync(`${CGROUPS}/helio/${uid}/${entry.name}/cgroup.procs`, 'utf8') !== '',
  )

/** Starts the agent and asks for the cut as soon as `reached`. */
const cutWhen = async (reached: () => boolean): Promise<void> => {
  const agent = startRole('agent')
  while (!reached()) await new Promise(resolve => setImmediate(resolve))
  console.log('CUT')
  await agent
  await new Promise(() => process.stdin.resume())
}

const STAGES: Readonly<Record<string, () => Promise<void>>> = {
  first: firstBoot,
  /** The power goes the moment the first pod's sandbox is being made. */
  'cut-sandbox': () => cutWhen(() => /\/run\/sandboxes\/\S+ /.test(mounts())),
  /** The power goes the moment the first container's file system is mounted. */
  'cut-mount': () => cutWhen(() => /\/run\/containers\/\S+ overlay /.test(mounts())),
  /** The power goes the moment the first container has a process. */
  'cut-process': () => cutWhen(() => podGroups().some(uid => hasProcess(uid))),
  cold: coldBoot,
  clock: wrongClock,
  'no-memory': noMemoryController,
  systemd: underSystemd,
  uninstall: afterReboot,
}

const stage = process.env['STAGE'] ?? ''
note(`stage ${stage}, data in ${DATA}, node ${process.version}`)
const ran = await check(`stage ${stage} ran to its end`, () => STAGES[stage]?.() ?? Promise.reject(new Error('no such stage')))
if (!ran) console.log(logTail(40))
console.log(`END ${stage}`)
// An orderly end of the whole board, with everything running: what a technician does.
if (stage === 'systemd' && ran) {
  await goDown()
  await new Promise(() => process.stdin.resume())
}
process.exit(0)
