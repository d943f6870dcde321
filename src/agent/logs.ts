// Reading logs: tail, since, limit, timestamps, previous, follow. Following waits on the kernel (inotify), never on a timer, goes over
// rotations, and ends with the container. Source: k8s PodLogOptions.

import { type FSWatcher, watch } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ApiError } from '../base/errors.ts'
import type { LogOptions } from '../link/link.ts'
import { LOG_CHUNK_BYTES, LOG_STREAMS_MAX } from './limits.ts'
import { attemptsIn, filesOf, type Place, tailPlace } from './log-files.ts'
import { createPrinter, createSplitter } from './log-lines.ts'

/** One attempt of one container, as the reader finds it. */
export interface LogTarget {
  readonly podName: string
  readonly container: string
  /** Folder of the container's logs. */
  readonly dir: string
  /** The newest attempt that was started; undefined before the first. */
  readonly attempt: number | undefined
  /** It waits to run again: `previous` is then the newest attempt itself. */
  readonly waiting: string | undefined
  readonly isRunning: () => boolean
  /** Calls back at each exit of a container, until cancelled. */
  readonly onExit: (fn: () => void) => () => void
}

export interface LogReader {
  /** Writes what was asked for; settles at the end. Rejects with ApiError when there is nothing to read or too many read already. */
  read(target: LogTarget, options: LogOptions, write: (bytes: Uint8Array) => Promise<void>, signal: AbortSignal): Promise<void>
}

const notFound = (message: string): ApiError => new ApiError('BadRequest', message)

const attemptOf = (target: LogTarget, options: LogOptions): number => {
  const { attempt, container, podName } = target
  if (attempt === undefined)
    throw notFound(`container "${container}" in pod "${podName}" is waiting to start: ${target.waiting ?? 'ContainerCreating'}`)
  if (!options.previous) return attempt
  const before = attemptsIn(target.dir).filter(a => (target.waiting === undefined ? a < attempt : a <= attempt))
  const last = before[before.length - 1]
  if (last === undefined) throw notFound(`previous terminated container "${container}" in pod "${podName}" not found`)
  return last
}

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT'

const openIfThere = async (file: string): Promise<FileHandle | undefined> => {
  try {
    return await open(file, 'r')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Settles at the next change in the folder, exit of a container, or abort. Armed before the caller looks at the file again. */
const changeIn = (dir: string, target: LogTarget, signal: AbortSignal): { readonly seen: Promise<void>; cancel(): void } => {
  const parts: { watcher?: FSWatcher; cancelExit?: () => void; settle: () => void } = { settle: () => undefined }
  const seen = new Promise<void>(resolve => {
    parts.settle = resolve
  })
  const settle = (): void => parts.settle()
  parts.watcher = watch(dir, { persistent: false }, settle)
  parts.watcher.on('error', settle)
  parts.cancelExit = target.onExit(settle)
  signal.addEventListener('abort', settle, { once: true })
  return {
    seen,
    cancel() {
      parts.watcher?.close()
      parts.cancelExit?.()
      signal.removeEventListener('abort', settle)
    },
  }
}

export const createLogReader = (nowWallMs: () => number): LogReader => {
  const open = { count: 0 }

  /** Everything from a place to the end of the file it opened; returns how far it came. */
  const readOn = async (
    handle: FileHandle,
    from: number,
    take: (chunk: Buffer) => Promise<boolean>,
  ): Promise<{ at: number; more: boolean }> => {
    let at = from
    for (;;) {
      const chunk = Buffer.alloc(LOG_CHUNK_BYTES)
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, at)
      if (bytesRead === 0) return { at, more: true }
      at += bytesRead
      if (!(await take(chunk.subarray(0, bytesRead)))) return { at, more: false }
    }
  }
  const follow = async (
    handle: FileHandle,
    file: string,
    from: number,
    target: LogTarget,
    take: (chunk: Buffer) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<void> => {
    let [current, at] = [handle, from]
    try {
      for (;;) {
        const change = changeIn(dirname(file), target, signal)
        try {
          // The order matters: whether it still runs is asked before the last read, the watch is armed before both.
          const ended = !target.isRunning()
          const read = await readOn(current, at, take)
          at = read.at
          if (!read.more || signal.aborted) return
          const [now, held] = await Promise.all([
            stat(file).catch((error: unknown) => (isMissing(error) ? undefined : Promise.reject(error))),
            current.stat(),
          ])
          if (now && now.ino !== held.ino) {
            const next = await openIfThere(file)
            if (next) {
              if (current !== handle) await current.close()
              ;[current, at] = [next, 0]
              continue
            }
          }
          if (ended) return
          await change.seen
        } finally {
          change.cancel()
        }
      }
    } finally {
      if (current !== handle) await current.close()
    }
  }
  return {
    async read(target, options, write, signal) {
      const attempt = attemptOf(target, options)
      if (open.count >= LOG_STREAMS_MAX)
        throw new ApiError('TooManyRequests', `read logs: ${LOG_STREAMS_MAX} streams are open already`, { hint: 'try again later' })
      open.count++
      try {
        const files = filesOf(target.dir, attempt)
        const splitter = createSplitter()
        const printer = createPrinter(options, nowWallMs())
        const take = async (chunk: Buffer): Promise<boolean> => {
          const text = Buffer.concat(splitter.push(chunk).map(line => printer.print(line)))
          if (text.length > 0) await write(text)
          return printer.more && !signal.aborted
        }
        const place: Place | undefined = options.tailLines === undefined ? undefined : safeTail(files, options.tailLines)
        const from = place ? files.indexOf(place.file) : 0
        for (const file of files.slice(from)) {
          const handle = await openIfThere(file)
          if (!handle) continue
          try {
            const read = await readOn(handle, file === place?.file ? place.offset : 0, take)
            if (!read.more) return
            if (options.follow && !options.previous && file === files[files.length - 1])
              return await follow(handle, file, read.at, target, take, signal)
          } finally {
            await handle.close()
          }
        }
      } finally {
        open.count--
      }
    },
  }
}

const safeTail = (files: readonly string[], lines: number): Place | undefined => {
  try {
    return tailPlace(files, lines)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
