// An agent in a process of its own that starts one container and is killed with SIGKILL at a chosen moment.

import { spawn } from 'node:child_process'
import type { Exec } from '../../src/base/exec.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemExec } from '../../src/host/exec.ts'
import { type RuntimeName, selectRuntime } from '../../src/runtime/index.ts'
import type { ContainerSpec } from '../../src/runtime/runtime.ts'
import { sandboxSpec } from './runtime-suite.ts'

export interface CrashPlan {
  readonly runtime?: RuntimeName
  readonly dir: string
  readonly cgroupRoot: string
  /** After mounting, before `crun start`, after it, when all is done; or before the n-th program it runs in a pod's whole life. */
  readonly at: 'mount' | 'start' | 'started' | 'never' | number
  readonly spec: ContainerSpec
}

/** Settles when the agent is dead: true by SIGKILL, false when it came to the end of a pod's life before. */
export const crashingAgent = (plan: CrashPlan): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [import.meta.filename, JSON.stringify(plan)], { stdio: ['ignore', 'ignore', 'inherit'] })
    child.on('error', reject)
    child.on('exit', (code, signal) =>
      code === 0 || signal === 'SIGKILL' ? resolve(code !== 0) : reject(new Error(`the agent ended with ${code}`)),
    )
  })

const die = (): void => void process.kill(process.pid, 'SIGKILL')

const run = async (plan: CrashPlan): Promise<void> => {
  const programs = { run: 0 }
  const exec: Exec = {
    find: systemExec.find,
    async run(command, args, options) {
      if (plan.at === programs.run++ || (plan.at === 'start' && args.includes('start'))) die()
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
  if (typeof plan.at !== 'number') {
    await runtime.startContainer(plan.spec)
    return die()
  }
  const pod = sandboxSpec({ uid: plan.spec.podUid })
  await runtime.createSandbox(pod)
  const { id } = await runtime.startContainer(plan.spec)
  await runtime.stopContainer(id, 0)
  await runtime.removeContainer(id)
  await runtime.startContainer({ ...plan.spec, attempt: 1 })
  await runtime.removeSandbox(pod.uid)
  await runtime.close()
}

const plan = process.argv[2]
if (process.argv[1] === import.meta.filename && plan !== undefined) await run(JSON.parse(plan) as CrashPlan)
