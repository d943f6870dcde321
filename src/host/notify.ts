// Words of a role to the service manager: ready, alive, stopping. Node.js cannot send Unix datagrams, so systemd-notify speaks for it
// (4 ms of a CPU a time; the watchdog is fed at half its time, every 90 s as installed). Without a service manager nothing is done.
// Source: sd_notify(3), sd_watchdog_enabled(3).

import type { Cancel, Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Exec } from '../base/exec.ts'
import type { Log } from '../base/log.ts'

export interface Notifier {
  /** Settles when the service manager has heard it; starting is over. */
  ready(status: string): Promise<void>
  /** Feeds the watchdog for as long as `probe` settles, whether well or not: only what hangs is started anew. Stops at `stopping`. */
  feed(probe: () => Promise<unknown>): void
  /** Not waited for: the end is near anyway. */
  stopping(): void
}

export interface NotifyDeps {
  readonly exec: Pick<Exec, 'run'>
  readonly clock: Pick<Clock, 'after'>
  readonly log: Log
  readonly pid: number
}

/** systemd-notify waits for the manager; one that hangs is given up. */
const SAY_MS_MAX = 10_000

const SILENT: Notifier = { ready: () => Promise.resolve(), feed: () => {}, stopping: () => {} }

/**
 * The notifier that the environment asks for. Takes its variables out of `env`: container runtimes that find them would wait for the
 * container to report itself.
 */
export const openNotifier = (deps: NotifyDeps, env: Record<string, string | undefined>): Notifier => {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: watchdog, WATCHDOG_PID: watched } = env
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name]
  if (socket === undefined || socket === '') return SILENT
  const everyMs = watched === undefined || Number(watched) === deps.pid ? Number(watchdog ?? 0) / 2000 : 0
  const state: { cancel: Cancel | undefined; stopped: boolean } = { cancel: undefined, stopped: false }
  const say = async (...words: string[]): Promise<void> => {
    try {
      const { code, stderr } = await deps.exec.run('systemd-notify', words, { env: { NOTIFY_SOCKET: socket }, timeoutMs: SAY_MS_MAX })
      if (code !== 0) throw new Error(stderr.trim() || `exit code ${code}`)
    } catch (error) {
      deps.log.error('service manager not told', { words: words.join(' '), error: messageOf(error) })
    }
  }
  const feed = (probe: () => Promise<unknown>): void => {
    state.cancel = deps.clock.after(everyMs, () => {
      const fed = async (): Promise<void> => {
        if (state.stopped) return
        await say('WATCHDOG=1')
        if (!state.stopped) feed(probe)
      }
      // An answer that says no is a sign of life too: a full disk is not cured by a new start.
      probe().then(fed, fed)
    })
  }
  return {
    ready: status => say('--ready', `--status=${status}`),
    feed: probe => (everyMs > 0 ? feed(probe) : undefined),
    stopping() {
      state.stopped = true
      state.cancel?.()
      void say('STOPPING=1')
    },
  }
}
