// Processes by number without mistaking one for another: a pid counts only with its start time and the boot it belongs to.
// Source: proc(5); runtime facts, "PID reuse".

import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { isMissing } from './record.ts'

const readProc = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    // A process that ends while its file is read gives ESRCH.
    if (isMissing(error) || (error instanceof Error && 'code' in error && error.code === 'ESRCH')) return undefined
    throw error
  }
}

/** Identity of this boot; changes with every boot, also where the clock does not. */
export const bootId = (): string => (readProc('/proc/sys/kernel/random/boot_id') ?? 'unknown').trim()

/** What proc's stat line says. The command in it may hold blanks and brackets; the fields begin after the last one. Pure. */
export const parseStat = (
  line: string,
): { readonly pid: number; readonly state: string; readonly parent: number; readonly group: number; readonly pidStart: string } => {
  const fields = line
    .slice(line.lastIndexOf(')') + 2)
    .trim()
    .split(' ')
  return {
    pid: Number.parseInt(line, 10),
    state: fields[0] ?? '',
    parent: Number(fields[1]),
    group: Number(fields[2]),
    pidStart: fields[19] ?? '',
  }
}

/** Start time of a living process in clock ticks since boot; undefined when there is none or only its zombie. */
export const processStart = (pid: number): string | undefined => {
  const line = readProc(`/proc/${pid}/stat`)
  const stat = line === undefined ? undefined : parseStat(line)
  return stat === undefined || stat.state === 'Z' || stat.state === 'X' ? undefined : stat.pidStart
}

/** The process group of a living process. */
export const processGroup = (pid: number): number | undefined => {
  const line = readProc(`/proc/${pid}/stat`)
  return line === undefined ? undefined : parseStat(line).group
}

export const isAlive = (pid: number | undefined, start: string | undefined): boolean =>
  pid !== undefined && start !== undefined && processStart(pid) === start

/** True when the process belongs to the control group (any hierarchy). */
export const isInCgroup = (pid: number, cgroup: string): boolean =>
  (readProc(`/proc/${pid}/cgroup`) ?? '')
    .split('\n')
    .some(line => line.slice(line.indexOf(':', line.indexOf(':') + 1) + 1).endsWith(cgroup))

export const commandLine = (pid: number): readonly string[] => (readProc(`/proc/${pid}/cmdline`) ?? '').split('\0')

/** Sends a signal; a process that is gone is not an error. Negative numbers are process groups. */
export const signal = (pid: number, name: NodeJS.Signals | number): void => {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** An image's stop signal (`SIGQUIT`, `QUIT`, `3`) as the kernel's number; SIGTERM for none or an unknown one. */
export const signalNumber = (name: string | undefined): number => {
  if (name === undefined || name === '') return constants.signals.SIGTERM
  if (/^\d+$/.test(name)) return Number(name) <= 64 ? Number(name) : constants.signals.SIGTERM
  const upper = name.toUpperCase()
  const realTime = /^(?:SIG)?RTMIN(?:\+(\d+))?$/.exec(upper)
  if (realTime) return Math.min(64, 34 + Number(realTime[1] ?? 0))
  const table: Readonly<Record<string, number>> = constants.signals
  return table[upper.startsWith('SIG') ? upper : `SIG${upper}`] ?? constants.signals.SIGTERM
}
