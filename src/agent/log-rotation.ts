// Keeps logs within their bound: a log that is being written is looked at now and then, an idle one is only watched by the kernel.
// Rotation is rename, then the writer opens anew. DESIGN invariants 5 and 7.

import { type FSWatcher, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import type { Cancel, Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { ContainerInfo, Runtime } from '../runtime/runtime.ts'
import { LOG_BYTES_MAX, LOG_CHECK_MS } from './limits.ts'
import { pruneAttempts, rotate } from './log-files.ts'

export interface LogRotation {
  /** A container runs: its log is looked after until it exits. */
  track(container: Pick<ContainerInfo, 'id' | 'logPath'>): void
  untrack(id: string): void
  close(): void
}

interface Tracked {
  readonly path: string
  size: number
  watcher: FSWatcher | undefined
  cancel: Cancel | undefined
}

export interface LogRotationDeps {
  readonly clock: Pick<Clock, 'after'>
  readonly log: Log
  readonly runtime: Pick<Runtime, 'reopenLog'>
  readonly bytesMax?: number
}

const sizeOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.size

const disarm = (entry: Tracked): void => {
  entry.watcher?.close()
  entry.cancel?.()
  entry.watcher = undefined
  entry.cancel = undefined
}

export const createLogRotation = (deps: LogRotationDeps): LogRotation => {
  const tracked = new Map<string, Tracked>()
  const life = { over: false }

  const failed = (id: string, error: unknown): void => deps.log.error('log cannot be rotated', { id, error: messageOf(error) })

  /** Waits for the kernel to say that something was written; then looks after a while. */
  const arm = (id: string, entry: Tracked): void => {
    const written = (): void => {
      // Word of a write may come after the end.
      if (tracked.get(id) !== entry) return
      disarm(entry)
      entry.cancel = deps.clock.after(LOG_CHECK_MS, () => check(id, entry))
    }
    try {
      entry.watcher = watch(entry.path, { persistent: false }, written)
      entry.watcher.on('error', error => failed(id, error))
    } catch (error) {
      // No watch to be had, or no file yet: look once in a while.
      entry.cancel = deps.clock.after(LOG_CHECK_MS * 6, () => check(id, entry))
      if (!(error instanceof Error)) throw error
    }
  }
  const check = (id: string, entry: Tracked): void => {
    if (tracked.get(id) !== entry) return
    disarm(entry)
    try {
      const found = sizeOf(entry.path)
      const size = found ?? 0
      const isBusy = size !== entry.size
      entry.size = size
      const isFull = size >= (deps.bytesMax ?? LOG_BYTES_MAX)
      if (isFull) {
        rotate(entry.path)
        entry.size = 0
      }
      // Without a file, an agent that was killed between the two steps has left the writer with the one moved away.
      if (isFull || found === undefined) deps.runtime.reopenLog(id).catch((error: unknown) => failed(id, error))
      if (isBusy) entry.cancel = deps.clock.after(LOG_CHECK_MS, () => check(id, entry))
      else arm(id, entry)
    } catch (error) {
      failed(id, error)
      entry.cancel = deps.clock.after(LOG_CHECK_MS * 6, () => check(id, entry))
    }
  }
  return {
    track({ id, logPath }) {
      if (life.over || tracked.has(id)) return
      const entry: Tracked = { path: logPath, size: -1, watcher: undefined, cancel: undefined }
      tracked.set(id, entry)
      try {
        pruneAttempts(dirname(logPath))
      } catch (error) {
        failed(id, error)
      }
      check(id, entry)
    },
    untrack(id) {
      const entry = tracked.get(id)
      if (entry) disarm(entry)
      tracked.delete(id)
    },
    close() {
      life.over = true
      for (const entry of tracked.values()) disarm(entry)
      tracked.clear()
    },
  }
}
