// One JSON line a record, to standard error.

import type { Clock } from '../base/clock.ts'
import type { Log, LogFields } from '../base/log.ts'
import { systemClock } from './clock.ts'

const LEVELS = ['error', 'info', 'debug'] as const
export type LogLevel = (typeof LEVELS)[number]

/** A log that writes records up to `level`; `write` gets whole lines. `clock`: where the machine's own is not to be believed. */
export const jsonLog = (
  level: LogLevel,
  write: (line: string) => void = line => void process.stderr.write(line),
  clock: Pick<Clock, 'now'> = systemClock,
): Log => {
  const record = (at: LogLevel) => (message: string, fields?: LogFields) => {
    if (LEVELS.indexOf(at) <= LEVELS.indexOf(level))
      write(`${JSON.stringify({ time: new Date(clock.now()).toISOString(), level: at, message, ...fields })}\n`)
  }
  return { error: record('error'), info: record('info'), debug: record('debug') }
}
