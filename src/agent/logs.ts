// Reading logs: tail, since, limit, timestamps, previous, follow. Following waits on the kernel (inotify), never on a timer, goes over
// rotations, and ends with the container. Source: k8s PodLogOptions.

import { type FSWatcher, watch } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ApiError } from '../base/errors.ts'
import { LOG_CHUNK_BYTES, LOG_STREAMS_MAX } from './limits.ts'
import { attemptsIn, filesOf, type Place, tailPlace } from './log-files.ts'
import { createPrinter, createSplitter, type ReadOptions } from './log-lines.ts'

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
  read(target: LogTarget, options: ReadOptions, write: (bytes: Uint8Array) => Promise<void>, signal: AbortSignal): Promise<void>
}

const notFound = (message: string): ApiError => new ApiError('BadRequest', message)

const attemptOf = (target: LogTarget, options: ReadOptions): number => {
  const { attempt, container, podName } = target
  // As a kubelet: without an earlier run it says so, whether the present one has begun or not.
  const before = options.previous
    ? attemptsIn(target.dir).filter(a => attempt !== undefined && (target.waiting === undefined ? a < attempt : a <= attempt))
    : []
  const last = options.previous ? before[before.length - 1] : attempt
  if (last !== undefined) return last
  throw notFound(
    options.previous
      ? `previous terminated container "${container}" in pod "${podName}" not found`
      : `container "${container}" in pod "${podName}" is waiting to start: ${target.waiting ?? 'ContainerCreating'}`,
  )
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
  parts.watcher = watch(dir, settle)
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

type Take = (chunk: Buffer) => Promise<boolean>

/** Everything from a place to the end of the file as it is now; how far it came, and whether more is wanted. */
const readOn = async (handle: FileHandle, from: number, take: Take): Promise<{ at: number; more: boolean }> => {
  let at = from
  for (;;) {
    const chunk = Buffer.alloc(LOG_CHUNK_BYTES)
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at)
    if (bytesRead === 0) return { at, more: true }
    at += bytesRead
    if (!(await take(chunk.subarray(0, bytesRead)))) return { at, more: false }
  }
}

/** True when the path names another file than the one held: it was rotated. */
const wasRotated = async (file: string, handle: FileHandle): Promise<boolean> => {
  try {
    const [now, held] = await Promise.all([stat(file), handle.stat()])
    return now.ino !== held.ino
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** Goes on where reading came to, over rotations, until the container has ended and everything was read. Owns `handle`. */
const follow = async (
  handle: FileHandle,
  file: string,
  from: number,
  target: LogTarget,
  take: Take,
  signal: AbortSignal,
): Promise<void> => {
  let [current, at] = [handle, from]
  try {
    for (;;) {
      const change = changeIn(dirname(file), target, signal)
      try {
        // The order matters: the watch is armed first, whether it still runs is asked before the last read.
        const ended = !target.isRunning()
        const read = await readOn(current, at, take)
        at = read.at
        if (!read.more || signal.aborted) return
        if (await wasRotated(file, current)) {
          const next = await openIfThere(file)
          if (next) {
            // What was written between the read above and the rotation is still in the old file.
            const rest = await readOn(current, at, take)
            await current.close()
            ;[current, at] = [next, 0]
            if (!rest.more) return
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
    await current.close()
  }
}

const readFiles = async (target: LogTarget, options: ReadOptions, attempt: number, take: Take, signal: AbortSignal): Promise<void> => {
  const files = filesOf(target.dir, attempt)
  const place = options.tailLines === undefined ? undefined : safeTail(files, options.tailLines)
  for (const file of files.slice(place ? files.indexOf(place.file) : 0)) {
    const handle = await openIfThere(file)
    if (!handle) continue
    const from = file === place?.file ? place.offset : 0
    if (options.follow && !options.previous && file === files[files.length - 1]) return follow(handle, file, from, target, take, signal)
    try {
      if (!(await readOn(handle, from, take)).more) return
    } finally {
      await handle.close()
    }
  }
}

export const createLogReader = (nowWallMs: () => number): LogReader => {
  const open = { count: 0 }
  return {
    async read(target, options, write, signal) {
      const attempt = attemptOf(target, options)
      if (open.count >= LOG_STREAMS_MAX)
        throw new ApiError('TooManyRequests', `read logs: ${LOG_STREAMS_MAX} streams are open already`, { hint: 'try again later' })
      open.count++
      try {
        const splitter = createSplitter()
        const printer = createPrinter(options, nowWallMs())
        const take = async (chunk: Buffer): Promise<boolean> => {
          const text = Buffer.concat(splitter.push(chunk).map(line => printer.print(line)))
          if (text.length > 0) await write(text)
          return printer.more && !signal.aborted
        }
        await readFiles(target, options, attempt, take, signal)
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
