// Turns a process's raw output into the log format of the other runtimes. The process writes to files of its own, so nothing is lost while
// no agent runs; the agent converts as it grows (inotify) and after a restart goes on where it was. The stamps are those of the reading;
// the order between stdout and stderr is approximate. Converted output is given back to the disk where the file system can.

import { type FSWatcher, watch } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Exec } from '../base/exec.ts'
import { isObject } from '../base/json.ts'
import type { Log } from '../base/log.ts'
import { LOG_CHUNK_BYTES, LOG_LINE_BYTES_MAX, LOG_RECLAIM_BYTES } from './limits.ts'
import { isMissing, readText, writeWhole } from './record.ts'

export const STREAMS = ['stdout', 'stderr'] as const
type Stream = (typeof STREAMS)[number]

/** How much of each raw file is in the log, and where the log ended then: a half-written batch is cut off and done again. */
interface Position {
  readonly stdout: number
  readonly stderr: number
  readonly logInode: number
  readonly logBytes: number
}

const NEWLINE = 10

/** Cuts a chunk into log lines; returns them with the bytes used. A rest without newline stays unless it is long or the `last`. Pure. */
export const toLogLines = (chunk: Uint8Array, stream: Stream, stamp: string, last: boolean): { text: string; used: number } => {
  const decoder = new TextDecoder()
  let text = ''
  let used = 0
  const emit = (tag: 'F' | 'P', to: number, next: number): void => {
    text += `${stamp} ${stream} ${tag} ${decoder.decode(chunk.subarray(used, to))}\n`
    used = next
  }
  while (used < chunk.length) {
    const end = chunk.indexOf(NEWLINE, used)
    if ((end === -1 ? chunk.length : end) - used > LOG_LINE_BYTES_MAX) emit('P', used + LOG_LINE_BYTES_MAX, used + LOG_LINE_BYTES_MAX)
    else if (end !== -1) emit('F', end, end + 1)
    else if (last) emit('F', chunk.length, chunk.length)
    else break
  }
  return { text, used }
}

const parsePosition = (text: string | undefined): Position => {
  const value: unknown = text === undefined ? undefined : JSON.parse(text)
  const number = (name: string): number => (isObject(value) && typeof value[name] === 'number' ? (value[name] as number) : 0)
  return { stdout: number('stdout'), stderr: number('stderr'), logInode: number('logInode'), logBytes: number('logBytes') }
}

const readAt = async (path: string, offset: number): Promise<Uint8Array> => {
  const handle = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(new Uint8Array(LOG_CHUNK_BYTES), 0, LOG_CHUNK_BYTES, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

const sizeOf = async (path: string): Promise<number> => {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (isMissing(error)) return 0
    throw error
  }
}

export interface LogPump {
  /** Converts what there is; with `last` also an unfinished line. */
  pump(last: boolean): Promise<void>
  /** Settles when nothing is under way any more; later calls of pump do nothing. */
  close(): Promise<void>
}

export interface LogPumpDeps {
  readonly clock: Clock
  readonly log: Log
  readonly exec: Exec
}

/** Appends to the log, first cutting off what a crash left of a batch that will be done again. */
const append = async (handle: FileHandle, position: Position, text: string): Promise<Pick<Position, 'logInode' | 'logBytes'>> => {
  const { ino, size } = await handle.stat()
  if (ino === position.logInode && size > position.logBytes) await handle.truncate(position.logBytes)
  await handle.appendFile(text)
  return { logInode: ino, logBytes: (await handle.stat()).size }
}

const tryWatch = (dir: string, log: Log): FSWatcher | undefined => {
  try {
    return watch(dir, { persistent: false })
  } catch (error) {
    log.error('output is not followed (raise fs.inotify.max_user_instances or max_user_watches)', { dir, error: messageOf(error) })
    return undefined
  }
}

/** Follows the raw files in `dir` into `logPath` until closed. */
export const openLogPump = (deps: LogPumpDeps, dir: string, logPath: string): LogPump => {
  const positionPath = join(dir, 'log.json')
  let tail: Promise<void> = Promise.resolve()
  let queued = false
  let closed = false

  const pumpStream = async (stream: Stream, last: boolean): Promise<void> => {
    const raw = join(dir, stream)
    for (;;) {
      const position = parsePosition(await readText(positionPath))
      if ((await sizeOf(raw)) <= position[stream]) return
      const chunk = await readAt(raw, position[stream])
      const { text, used } = toLogLines(
        chunk,
        stream,
        new Date(deps.clock.now()).toISOString().replace('Z', '000000Z'),
        last && chunk.length < LOG_CHUNK_BYTES,
      )
      if (used === 0) return
      const handle = await open(logPath, 'a', 0o600)
      try {
        const end = await append(handle, position, text)
        const offset = position[stream] + used
        await writeWhole(positionPath, JSON.stringify({ ...position, ...end, [stream]: offset }), { durable: false })
        if (Math.floor(offset / LOG_RECLAIM_BYTES) > Math.floor(position[stream] / LOG_RECLAIM_BYTES))
          await deps.exec.run('fallocate', ['--punch-hole', '--offset', '0', '--length', `${offset}`, raw])
      } finally {
        await handle.close()
      }
    }
  }
  const pump = (last: boolean): Promise<void> => {
    const next = tail.then(async () => {
      queued = false
      if (closed) return
      for (const stream of STREAMS) await pumpStream(stream, last)
    })
    tail = next.catch(error => deps.log.error('output not converted', { dir, error: messageOf(error) }))
    return next
  }
  /** Without a watch to be had (the kernel's bound), output is converted when the process ends, and at each start of the agent. */
  const follow = (): FSWatcher | undefined => {
    const watcher = tryWatch(dir, deps.log)
    if (!watcher) return undefined
    watcher.on('change', (_, name) => {
      // One conversion waiting is enough for any number of writes; its errors are logged by `tail`.
      if (queued || (name !== 'stdout' && name !== 'stderr')) return
      queued = true
      void pump(false)
    })
    watcher.on('error', error => deps.log.error('watch failed', { dir, error: messageOf(error) }))
    return watcher
  }
  const watcher = follow()
  return {
    pump,
    close() {
      closed = true
      watcher?.close()
      return tail
    },
  }
}
