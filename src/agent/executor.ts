// Carries out the machine's actions: one entry a kind, no policy. What an entry returns becomes `done`, what it throws `failed`.
// CONVENTIONS 3: a missing case does not compile.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../base/clock.ts'
import type { Exec } from '../base/exec.ts'
import type { Log } from '../base/log.ts'
import type { Network } from '../network/network.ts'
import type { ContainerInfo, Runtime } from '../runtime/runtime.ts'
import type { Action, ActionResult } from './action.ts'
import { runHandler } from './handler.ts'
import { ACTIONS_PARALLEL, GRACE_MS_MIN, POST_START_TIMEOUT_MS, PROBES_PARALLEL } from './limits.ts'
import { createParallel } from './parallel.ts'
import { timeoutMs } from './probe-schedule.ts'
import { resolveSubPath } from './sub-path.ts'
import { removeFolder, writeLayout } from './volume-writer.ts'

export interface ExecutorDeps {
  readonly clock: Clock
  readonly exec: Exec
  readonly log: Log
  readonly runtime: Runtime
  readonly network: Network
  readonly podsDir: string
  /** Settles once the exit of a container that was stopped has been taken in. */
  readonly exitTaken: (id: string) => Promise<void>
}

type Of<K extends Action['do']> = Extract<Action, { do: K }>
type Table = { readonly [K in Action['do']]: (action: Of<K>) => Promise<ActionResult> }

export interface Executor {
  /** Rejects with the message for `failed`. */
  carryOut(action: Action): Promise<ActionResult>
}

/** Sub-paths resolved as the volumes are now, and the file for the termination message made. */
const prepare = (action: Of<'startContainer'>): Of<'startContainer'>['start']['spec'] => {
  const { spec, subPaths, terminationLog } = action.start
  mkdirSync(dirname(terminationLog), { recursive: true, mode: 0o755 })
  writeFileSync(terminationLog, '')
  // Any user of the container may leave last words.
  chmodSync(terminationLog, 0o666)
  mkdirSync(dirname(spec.logPath), { recursive: true, mode: 0o755 })
  const mounts = [...spec.mounts]
  for (const { mount, root, subPath } of subPaths) {
    const planned = mounts[mount]
    if (planned) mounts[mount] = { ...planned, source: resolveSubPath(root, subPath) }
  }
  return { ...spec, mounts }
}

/** The container counts as started once its postStart hook has done its part; where that fails, it is stopped again. */
const start = async (deps: ExecutorDeps, action: Of<'startContainer'>): Promise<ActionResult> => {
  const { log, runtime } = deps
  const container: ContainerInfo = await runtime.startContainer(prepare(action))
  if (!action.postStart) return { container }
  const { handler, target } = action.postStart
  const answer = await runHandler(handler, { ...target, id: container.id }, POST_START_TIMEOUT_MS, deps)
  if (!answer.ok) {
    const { podName } = action.start.spec
    log.info('postStart hook failed, container is stopped', { pod: podName, container: action.name, error: answer.message })
    await runtime.stopContainer(container.id, action.graceMs)
  }
  return { container }
}

/** preStop and the signal share the grace. */
const stop = async (deps: ExecutorDeps, action: Of<'stopContainer'>): Promise<ActionResult> => {
  const { clock, log, runtime } = deps
  const beganMs = clock.mono()
  if (action.preStop) {
    const answer = await runHandler(action.preStop.handler, action.preStop.target, action.graceMs, deps)
    if (!answer.ok) log.info('preStop hook failed', { container: action.name, id: action.id, error: answer.message })
  }
  const leftMs = action.preStop ? Math.max(GRACE_MS_MIN, action.graceMs - (clock.mono() - beganMs)) : action.graceMs
  await runtime.stopContainer(action.id, leftMs)
  await deps.exitTaken(action.id)
  return {}
}

export const createExecutor = (deps: ExecutorDeps): Executor => {
  const { exec, runtime, network } = deps
  const steps = createParallel(ACTIONS_PARALLEL)
  const probes = createParallel(PROBES_PARALLEL)

  const table: Table = {
    configureNetwork: async ({ config }) => {
      await network.configure(config)
      return {}
    },
    writeVolumes: async ({ layout, fresh }) => {
      await writeLayout(layout, exec, fresh)
      return {}
    },
    createSandbox: async ({ sandbox }) => {
      const { netns } = await runtime.createSandbox(sandbox)
      return netns === undefined ? {} : { netns }
    },
    attach: async ({ uid, netns, address }) => {
      await network.attach({ uid, netns, address })
      return {}
    },
    startContainer: action => start(deps, action),
    stopContainer: action => stop(deps, action),
    removeContainer: async ({ id }) => {
      await runtime.removeContainer(id)
      return {}
    },
    removeSandbox: async ({ uid }) => {
      await network.detach(uid)
      await runtime.removeSandbox(uid)
      return {}
    },
    removeVolumes: async ({ uid }) => {
      await removeFolder(`${deps.podsDir}/${uid}`, exec)
      return {}
    },
    probe: async ({ probe, target }) => ({ answer: await runHandler(probe, target, timeoutMs(probe), deps) }),
  }
  const run = <K extends Action['do']>(action: Of<K>): Promise<ActionResult> =>
    (table[action.do as K] as (a: Of<K>) => Promise<ActionResult>)(action)
  return {
    carryOut(action) {
      // A stop may take its whole grace: it never holds up anything else.
      if (action.do === 'stopContainer') return run(action)
      return (action.do === 'probe' ? probes : steps).run(() => run(action))
    },
  }
}
