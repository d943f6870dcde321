// The service manager of this machine: which it is, which version, and its commands run.

import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import type { Clock } from '../../base/clock.ts'
import { ApiError, messageOf } from '../../base/errors.ts'
import type { Exec } from '../../base/exec.ts'
import type { Role } from '../../base/role-options.ts'
import { COMMAND_MS_MAX, READY_LOOK_MS, READY_MS_MAX } from './limits.ts'
import type { InitSystem } from './manifest.ts'
import { commandsOf } from './plan.ts'
import type { Tree } from './tree.ts'

export interface ServiceDeps {
  readonly exec: Exec
  readonly clock: Pick<Clock, 'mono' | 'sleep'>
  readonly signal: AbortSignal
}

/** systemd as the running manager; sd_booted(3). */
export const systemdRuns = (): boolean => existsSync('/run/systemd/system')

/** What starts things in this tree. */
export const detectInit = (tree: Tree): InitSystem => {
  if (tree.root === '/' && systemdRuns()) return 'systemd'
  if (tree.exists('/lib/systemd/systemd') || tree.exists('/usr/lib/systemd/systemd')) return 'systemd'
  return tree.exists('/sbin/openrc-run') ? 'openrc' : 'sysv'
}

/** Version number of the systemd in this tree, 0 when it cannot be told. A foreign root's is read from the name of its library. */
export const systemdVersion = async (
  { exec }: Pick<ServiceDeps, 'exec'>,
  tree: Tree,
  names: (path: string) => readonly string[],
): Promise<number> => {
  const library = ['/lib/systemd', '/usr/lib/systemd'].flatMap(names).find(name => /^libsystemd-shared-\d+/.test(name))
  const found = Number(/\d+/.exec(library ?? '')?.[0] ?? 0)
  if (found > 0 || tree.root !== '/' || exec.find('systemctl') === undefined) return found
  return Number(/^systemd (\d+)/.exec((await exec.run('systemctl', ['--version'], { timeoutMs: COMMAND_MS_MAX })).stdout)?.[1] ?? 0)
}

/** Runs a command of the service manager that must succeed. */
export const command = async (
  deps: Pick<ServiceDeps, 'exec'>,
  words: readonly string[],
  hint: string,
  timeoutMs = COMMAND_MS_MAX,
): Promise<void> => {
  const [name = '', ...args] = words
  const shown = words.join(' ')
  const result = await deps.exec.run(name, args, { timeoutMs }).catch((cause: unknown): never => {
    throw new ApiError('InternalError', `run ${shown}: ${messageOf(cause)}`, { cause, hint })
  })
  if (result.code !== 0)
    throw new ApiError(
      'InternalError',
      `run ${shown}: ${(result.stderr || result.stdout).trim().split('\n')[0] || `exit code ${result.code}`}`,
      { hint },
    )
}

export const isActive = async ({ exec }: Pick<ServiceDeps, 'exec'>, init: InitSystem, role: Role): Promise<boolean> => {
  const [name = '', ...args] = commandsOf(init, role).isActive
  if (!name.startsWith('/') && exec.find(name) === undefined) return false
  if (name.startsWith('/') && !existsSync(name)) return false
  return (await exec.run(name, args, { timeoutMs: COMMAND_MS_MAX })).code === 0
}

/** Whether somebody listens on a Unix socket. */
const answers = (path: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(path)
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })

/** Looks again and again until `is` answers true; false when it does not in time. */
export const waitFor = async (
  { clock, signal }: Omit<ServiceDeps, 'exec'>,
  msMax: number,
  is: () => Promise<boolean>,
): Promise<boolean> => {
  const end = clock.mono() + msMax
  while (!(await is())) {
    if (signal.aborted || clock.mono() >= end) return false
    await clock.sleep(READY_LOOK_MS, signal)
  }
  return true
}

/**
 * (Re)starts the role and settles when it says it is ready: to systemd itself, elsewhere by answering at `ready` (a socket, or a file that it
 * writes then). Rejects when it does not get there; the service manager goes on trying.
 */
export const startService = async (
  deps: ServiceDeps,
  { init, role, again, ready }: { readonly init: InitSystem; readonly role: Role; readonly again: boolean; readonly ready: string },
): Promise<void> => {
  const commands = commandsOf(init, role)
  const hint = `see ${commands.log}; it is tried again for ever`
  await command(deps, again ? commands.restart : commands.start, hint, READY_MS_MAX)
  if (init === 'systemd') return
  const there = await waitFor(deps, READY_MS_MAX, async () => (ready.endsWith('.sock') ? answers(ready) : existsSync(ready)))
  if (!there) throw new ApiError('Timeout', `start ${role}: not ready after ${READY_MS_MAX / 1000} s`, { hint })
}
