// Stopping a container: ask, wait, kill, wait. Wakes when the exit is noticed; looks for itself now and then only while it waits, for
// exits that nobody is left to record.

import type { Clock } from '../base/clock.ts'
import { EXIT_RECORD_WAIT_MS, KILL_WAIT_MS } from './limits.ts'
import type { ContainerInfo } from './runtime.ts'

export interface StopDeps {
  readonly clock: Clock
  /** The container as it is now, undefined when there is none. */
  readonly inspect: (id: string) => Promise<ContainerInfo | undefined>
  /** Sends the polite signal. */
  readonly ask: (id: string) => Promise<void>
  readonly kill: (id: string) => Promise<void>
}

export interface Stopper {
  stop(id: string, graceMs: number): Promise<void>
  /** Tells waiting stops that a container has exited. */
  exited(id: string): void
}

export const createStopper = (deps: StopDeps): Stopper => {
  const waiting = new Map<string, Set<() => void>>()

  /** Settles when an exit of `id` is reported or the time is over. */
  const pause = (id: string, delayMs: number): Promise<void> =>
    new Promise(resolve => {
      const set = waiting.get(id) ?? new Set()
      waiting.set(id, set)
      const done = (): void => {
        cancel()
        set.delete(done)
        if (set.size === 0) waiting.delete(id)
        resolve()
      }
      const cancel = deps.clock.after(delayMs, done)
      set.add(done)
    })

  const running = async (id: string): Promise<boolean> => {
    const info = await deps.inspect(id)
    return info !== undefined && info.state !== 'exited'
  }

  /** True when it has exited within the time. */
  const gone = async (id: string, withinMs: number): Promise<boolean> => {
    const end = deps.clock.mono() + withinMs
    for (;;) {
      if (!(await running(id))) return true
      const left = end - deps.clock.mono()
      if (left <= 0) return false
      await pause(id, Math.min(left, EXIT_RECORD_WAIT_MS))
    }
  }

  return {
    exited(id) {
      for (const done of [...(waiting.get(id) ?? [])]) done()
    },
    async stop(id, graceMs) {
      if (!(await running(id))) return
      if (graceMs > 0) {
        await deps.ask(id)
        if (await gone(id, graceMs)) return
      }
      await deps.kill(id)
      if (!(await gone(id, KILL_WAIT_MS))) throw new Error(`stop container: ${id} is still there ${KILL_WAIT_MS} ms after SIGKILL`)
    },
  }
}
