// Lines of the k8s-file (CRI) log format: `2026-11-22T10:00:00.123456789Z stdout F text`. A `P` line is a piece that the next one goes on.
// Pure. Source: k8s kubelet cri logs format, conmon.

import type { LogOptions } from '../link/link.ts'
import { LOG_LINE_BYTES_MAX } from './limits.ts'

/** What a reader on the device may ask for besides: one of the two outputs. */
export interface ReadOptions extends LogOptions {
  readonly only?: 'stdout' | 'stderr'
}

export interface LogLine {
  readonly time: string
  readonly stream: string
  readonly whole: boolean
  /** Where the text begins within the line. */
  readonly textAt: number
}

const SPACE = 0x20
const NEWLINE = 0x0a

/** Undefined for a line that is not of the format (a power cut may leave one). */
export const parseLine = (line: Buffer): LogLine | undefined => {
  const first = line.indexOf(SPACE)
  const second = first < 0 ? -1 : line.indexOf(SPACE, first + 1)
  if (second < 0) return undefined
  const third = line.indexOf(SPACE, second + 1)
  const tag = line.toString('latin1', second + 1, third < 0 ? line.length : third)
  if (tag !== 'F' && tag !== 'P') return undefined
  return {
    time: line.toString('latin1', 0, first),
    stream: line.toString('latin1', first + 1, second),
    whole: tag === 'F',
    textAt: third < 0 ? line.length : third + 1,
  }
}

/** Puts pieces of a file together into lines without their newline; an endless line is cut at the bound. */
export const createSplitter = (): { push(chunk: Buffer): Buffer[]; rest(): Buffer } => {
  const held = { bytes: Buffer.alloc(0) as Buffer }
  return {
    push(chunk) {
      const lines: Buffer[] = []
      let data = held.bytes.length > 0 ? Buffer.concat([held.bytes, chunk]) : chunk
      for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE)) {
        lines.push(data.subarray(0, end))
        data = data.subarray(end + 1)
      }
      if (data.length > LOG_LINE_BYTES_MAX) {
        lines.push(data)
        data = Buffer.alloc(0)
      }
      held.bytes = Buffer.from(data)
      return lines
    },
    rest: () => held.bytes,
  }
}

/** Turns lines into what the reader asked for; `more` is false once the byte limit is reached. */
export const createPrinter = (options: ReadOptions, nowWallMs: number): { print(line: Buffer): Buffer; readonly more: boolean } => {
  const sinceMs =
    options.sinceTime !== undefined
      ? Date.parse(options.sinceTime)
      : options.sinceSeconds !== undefined
        ? nowWallMs - options.sinceSeconds * 1000
        : undefined
  const state = { left: options.limitBytes ?? Number.POSITIVE_INFINITY, since: sinceMs === undefined, within: false }
  return {
    print(line) {
      const parsed = parseLine(line)
      if (!parsed || state.left <= 0 || (options.only ?? parsed.stream) !== parsed.stream) return Buffer.alloc(0)
      // Times rise within a log: once past the mark, everything counts.
      if (!state.since && sinceMs !== undefined && Date.parse(parsed.time) < sinceMs) return Buffer.alloc(0)
      state.since = true
      const prefix = options.timestamps && !state.within ? Buffer.from(`${parsed.time} `) : Buffer.alloc(0)
      state.within = !parsed.whole
      const text = Buffer.concat([prefix, line.subarray(parsed.textAt), Buffer.from(parsed.whole ? '\n' : '')])
      const given = text.length > state.left ? text.subarray(0, state.left) : text
      state.left -= given.length
      return given
    },
    get more() {
      return state.left > 0
    },
  }
}
