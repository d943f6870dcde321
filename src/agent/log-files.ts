// Where logs lie: DIR/logs/<ns>_<pod>_<uid>/<container>/<attempt>.log, rotated as <attempt>.log.1 (newest) … .4. Finding, tailing, rotating
// and pruning them. All bounded: so many files of so many bytes, so many attempts.

import { closeSync, fstatSync, openSync, readdirSync, readSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { LOG_ATTEMPTS_MAX, LOG_CHUNK_BYTES, LOG_ROTATED_MAX } from './limits.ts'
import { parseLine } from './log-lines.ts'

const namesIn = (dir: string): string[] => {
  try {
    return readdirSync(dir)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}

/** Attempts that have a log, ascending. */
export const attemptsIn = (dir: string): number[] =>
  [...new Set(namesIn(dir).flatMap(name => /^(\d+)\.log/.exec(name)?.[1] ?? []))].map(Number).sort((a, b) => a - b)

/** Files of one attempt, oldest first. */
export const filesOf = (dir: string, attempt: number): string[] => {
  const rotated = namesIn(dir)
    .flatMap(name => {
      const match = /^(\d+)\.log\.(\d+)$/.exec(name)
      return match && Number(match[1]) === attempt ? [Number(match[2])] : []
    })
    .sort((a, b) => b - a)
  return [...rotated.map(n => join(dir, `${attempt}.log.${n}`)), join(dir, `${attempt}.log`)]
}

/** Moves a full log away; whoever writes it has to open the path anew afterwards. */
export const rotate = (path: string): void => {
  rmSync(`${path}.${LOG_ROTATED_MAX}`, { force: true })
  const shift = (from: string, to: string): void => {
    try {
      renameSync(from, to)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    }
  }
  for (let n = LOG_ROTATED_MAX - 1; n >= 1; n--) shift(`${path}.${n}`, `${path}.${n + 1}`)
  shift(path, `${path}.1`)
}

/** Removes logs of attempts long past. */
export const pruneAttempts = (dir: string): void => {
  const old = attemptsIn(dir).slice(0, -(LOG_ATTEMPTS_MAX + 1))
  for (const attempt of old) for (const file of filesOf(dir, attempt)) rmSync(file, { force: true })
}

/** Removes all logs of a pod. */
export const removePodLogs = (logsDir: string, uid: string): void => {
  if (uid === '') return
  for (const name of namesIn(logsDir)) if (name.endsWith(`_${uid}`)) rmSync(join(logsDir, name), { recursive: true, force: true })
}

/** Uids that have logs. */
export const podsWithLogs = (logsDir: string): string[] => namesIn(logsDir).flatMap(name => name.split('_')[2] ?? [])

export interface Place {
  readonly file: string
  readonly offset: number
}

const startsOf = (chunk: Buffer): number[] => {
  const starts: number[] = []
  for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, at + 1)) starts.push(at + 1)
  return starts
}

/** Counts whole lines of one file from its end; where the wanted one begins, or how many it has in all. */
const tailOfFile = (file: string, wanted: number): { readonly offset: number } | { readonly lines: number } => {
  const fd = openSync(file, 'r')
  try {
    let end = fstatSync(fd).size
    let after: Buffer = Buffer.alloc(0)
    let lines = 0
    let start: number | undefined
    while (end > 0) {
      const begin = Math.max(0, end - LOG_CHUNK_BYTES)
      const chunk = Buffer.alloc(end - begin)
      readSync(fd, chunk, 0, chunk.length, begin)
      const data = Buffer.concat([chunk, after])
      const starts = [...(begin === 0 ? [0] : []), ...startsOf(data)].filter(s => s < data.length)
      for (const from of starts.reverse()) {
        const to = data.indexOf(0x0a, from)
        // What has no newline yet is being written, or was when the power went.
        const line = to < 0 ? undefined : parseLine(data.subarray(from, to))
        // A line is whole with its F piece; what precedes it up to the F before belongs to it.
        if (line?.whole && lines++ >= wanted) return { offset: start ?? begin + data.length }
        start = begin + from
      }
      after = data.subarray(0, starts.length > 0 ? (starts[starts.length - 1] ?? 0) : data.length)
      end = begin
    }
    return { lines }
  } finally {
    closeSync(fd)
  }
}

/** Where the last `lines` lines begin in these files (oldest first). */
export const tailPlace = (files: readonly string[], lines: number): Place | undefined => {
  let wanted = lines
  for (const file of [...files].reverse()) {
    const found = tailOfFile(file, wanted)
    if ('offset' in found) return { file, offset: found.offset }
    wanted -= found.lines
  }
  const first = files[0]
  return first === undefined ? undefined : { file: first, offset: 0 }
}
