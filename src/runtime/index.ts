// The list of runtimes, and the choice among them. A new one is one file and one line here.

import { detectCgroupLayout } from './cgroup.ts'
import { openCrunRuntime } from './crun.ts'
import { openProcessRuntime } from './process.ts'
import type { Runtime, RuntimeDeps } from './runtime.ts'

export type RuntimeName = 'crun' | 'process'

export const RUNTIMES: Readonly<Record<RuntimeName, (deps: RuntimeDeps) => Promise<Runtime>>> = {
  crun: openCrunRuntime,
  process: openProcessRuntime,
}

/** Programs crun containers need, by the Debian package that brings them. */
const PROGRAMS: readonly (readonly [program: string, debian: string])[] = [
  ['crun', 'crun'],
  ['conmon', 'conmon'],
  ['unshare', 'util-linux'],
  ['mount', 'mount'],
  ['umount', 'mount'],
]

/** Why crun containers cannot run here, and what to do about it; undefined when they can. */
export const whyNotCrun = (deps: Pick<RuntimeDeps, 'exec'>): { readonly reason: string; readonly hint: string } | undefined => {
  if (process.getuid?.() !== 0) return { reason: 'crun runtime needs root', hint: 'run the agent as root, or use --runtime process' }
  const missing = PROGRAMS.filter(([program]) => deps.exec.find(program) === undefined)
  if (missing.length > 0) {
    const packages = [...new Set(missing.map(([, debian]) => debian))].join(' ')
    return { reason: `crun runtime needs ${missing.map(([program]) => program).join(', ')}`, hint: `apt-get install ${packages}` }
  }
  if (detectCgroupLayout().version === 'none')
    return {
      reason: 'crun runtime needs control groups',
      hint: 'mount cgroup2 on /sys/fs/cgroup (on a Raspberry Pi add cgroup_enable=memory)',
    }
  return undefined
}

/** Opens the runtime asked for; 'auto' is crun where it can run, else process, with the reason in the log. */
export const selectRuntime = async (name: 'auto' | RuntimeName, deps: RuntimeDeps): Promise<Runtime> => {
  if (name === 'process') return RUNTIMES.process(deps)
  const obstacle = whyNotCrun(deps)
  if (obstacle === undefined) return RUNTIMES.crun(deps)
  if (name === 'crun') throw new Error(`open runtime: ${obstacle.reason} (${obstacle.hint})`)
  deps.log.info('runtime process chosen', obstacle)
  return RUNTIMES.process(deps)
}
