// An agent in a process of its own that starts one container and is killed with SIGKILL at a chosen moment.

import { spawn } from 'node:child_process'
import type { Exec } from '../../src/base/exec.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemExec } from '../../src/host/exec.ts'
import { type RuntimeName, selectRuntime } from '../../src/runtime/index.ts'
import type { ContainerSpec } from '../../src/runtime/runtime.ts'

export interface CrashPlan {
  readonly runtime?: RuntimeName
  readonly dir: string
  readonly cgroupRoot: string
  /** After mounting, before `crun start`, after it, or only when all is done. */
  readonly at: 'mount' | 'conmon' | 'start' | 'started' | 'never'
  readonly spec: ContainerSpec
}

/** Settles when the agent is dead. */
export const crashingAgent = (plan: CrashPlan): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [import.meta.filename, JSON.stringify(plan)], { stdio: ['ignore', 'ignore', 'inherit'] })
    child.on('error', reject)
    child.on('exit', (code, signal) =>
      signal === 'SIGKILL' ? resolve() : reject(new Error(`the agent ended with ${code}, not by SIGKILL`)),
    )
  })

const die = (): void => void process.kill(process.pid, 'SIGKILL')

const run = async (plan: CrashPlan): Promise<void> => {
  const exec: Exec = {
    find: systemExec.find,
    async run(command, args, options) {
      if (plan.at === 'start' && args.includes('start')) die()
      const result = await systemExec.run(command, args, options)
      if ((plan.at === 'mount' && args.includes('overlay')) || (plan.at === 'started' && args.includes('start'))) die()
      return result
    },
  }
  const runtime = await selectRuntime(plan.runtime ?? 'crun', {
    exec,
    clock: systemClock,
    log: silentLog,
    dir: plan.dir,
    cgroupRoot: plan.cgroupRoot,
  })
  await runtime.startContainer(plan.spec)
  die()
}

const plan = process.argv[2]
if (process.argv[1] === import.meta.filename && plan !== undefined) await run(JSON.parse(plan) as CrashPlan)
