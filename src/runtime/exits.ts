// Notices exits the moment they happen (inotify), without polling: files that monitors write, and control groups that become empty.

import { type FSWatcher, watch } from 'node:fs'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'

/** Calls `fn` with the name of every file that appears in `dir`; it may come more than once. Returns the way to stop. */
export const watchFolder = (dir: string, log: Log, fn: (name: string) => void): (() => void) => {
  const open = (): FSWatcher => {
    try {
      return watch(dir, { persistent: true })
    } catch (error) {
      throw new Error(`watch ${dir}: ${messageOf(error)} (raise fs.inotify.max_user_instances or max_user_watches)`, { cause: error })
    }
  }
  const watcher = open()
  watcher.on('change', (_, name) => {
    if (typeof name === 'string') fn(name)
  })
  watcher.on('error', error => log.error('watch failed', { dir, error: messageOf(error) }))
  return () => watcher.close()
}

/** Calls `fn` when the kernel reports a change of `file`; undefined when it cannot be watched, because it is gone or watches are used up. */
export const watchChange = (file: string, log: Log, fn: () => void): (() => void) | undefined => {
  try {
    const watcher = watch(file, { persistent: false }, fn)
    watcher.on('error', error => log.error('watch failed', { file, error: messageOf(error) }))
    return () => watcher.close()
  } catch (error) {
    log.debug('not watched', { file, error: messageOf(error) })
    return undefined
  }
}
