// Starts one container under conmon: the monitor that holds its output and writes down its exit while no agent runs.
// Source: conmon(8), its sync and start pipes; runtime facts, "Surviving the agent".

import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import { CREATE_TIMEOUT_MS, ERROR_TEXT_MAX, MONITORED_LOG_BYTES_MAX } from './limits.ts'
import { commandLine } from './process-table.ts'
import { readText } from './record.ts'

export interface MonitorStart {
  readonly id: string
  readonly conmon: string
  /** crun, or the script that wraps it. */
  readonly runtime: string
  readonly runtimeRoot: string
  /** The bundle; also the place of the monitor's pipes, pid files and out-of-memory mark. */
  readonly dir: string
  readonly exitDir: string
  readonly logPath: string
  readonly tty: boolean
  /** `cgroup.procs` files the monitor is put into before it starts anything. */
  readonly groups: readonly string[]
}

export const pidPath = (dir: string): string => join(dir, 'pid')

const monitorArgs = (start: MonitorStart): readonly string[] => [
  ...['--api-version', '1', '-c', start.id, '-u', start.id, '-n', start.id, '-r', start.runtime],
  ...['--runtime-arg', `--root=${start.runtimeRoot}`, '--runtime-arg', '--cgroup-manager=cgroupfs'],
  ...['-b', start.dir, '--persist-dir', start.dir, '--full-attach', '--exit-dir', start.exitDir],
  ...['-p', pidPath(start.dir), '-P', join(start.dir, 'conmon.pid'), '-l', `k8s-file:${start.logPath}`],
  ...['--log-size-max', `${MONITORED_LOG_BYTES_MAX}`, '--no-sync-log', '--log-level', 'error', ...(start.tty ? ['-t'] : [])],
]

/** The monitor's answer: a pid, or a negative number with a message. */
const parseAnswer = (line: string): number => {
  const answer: unknown = JSON.parse(line)
  const data = isObject(answer) ? (answer['data'] ?? answer['pid']) : undefined
  if (typeof data === 'number' && data > 0) return data
  const text = isObject(answer) && typeof answer['message'] === 'string' ? answer['message'] : line
  throw new Error(text.trim().slice(0, ERROR_TEXT_MAX))
}

/** Creates the container, not yet running its program, and settles with the pid of its first process. */
export const createMonitored = (clock: Clock, start: MonitorStart): Promise<number> =>
  new Promise((resolve, reject) => {
    const errorPath = join(start.dir, 'conmon.log')
    // A file, not a pipe: the monitor outlives us and must never find its error output closed.
    const errorOutput = openSync(errorPath, 'a', 0o600)
    const child = spawn(start.conmon, monitorArgs(start), {
      detached: true,
      cwd: start.dir,
      stdio: ['ignore', 'ignore', errorOutput, 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', _OCI_SYNCPIPE: '3', _OCI_STARTPIPE: '4' },
    })
    closeSync(errorOutput)
    const sync = child.stdio[3] as NodeJS.ReadableStream & { destroy(): void }
    const go = child.stdio[4] as NodeJS.WritableStream & { destroy(): void }
    let text = ''
    const cancel = clock.after(CREATE_TIMEOUT_MS, () => finish(() => fail(`no answer of the monitor in ${CREATE_TIMEOUT_MS} ms`)))
    const finish = (settle: () => void): void => {
      cancel()
      sync.destroy()
      go.destroy()
      child.unref()
      settle()
    }
    const fail = (why: string): void => {
      const log = readFileSync(errorPath, 'utf8').trim()
      reject(new Error(`create container: ${[why, log].filter(Boolean).join(': ').slice(0, ERROR_TEXT_MAX)}`))
    }
    const answer = (): void => {
      try {
        resolve(parseAnswer(text.slice(0, text.indexOf('\n'))))
      } catch (error) {
        reject(new Error(`create container: ${error instanceof Error ? error.message : text}`, { cause: error }))
      }
    }
    child.on('error', error => finish(() => reject(new Error(`start conmon: ${error.message}`, { cause: error }))))
    go.on('error', error => finish(() => fail(error.message)))
    sync.on('data', chunk => {
      text += String(chunk)
      if (text.includes('\n')) finish(answer)
    })
    sync.on('end', () => finish(text.includes('\n') ? answer : () => fail('the monitor ended without an answer')))
    // It waits for this byte, so whatever it starts is born in the right place.
    try {
      for (const file of child.pid === undefined ? [] : start.groups) {
        // Another agent's uninstall may have removed the group they share.
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(file, `${child.pid}`)
      }
    } catch (error) {
      child.kill('SIGKILL')
      finish(() => fail(messageOf(error)))
      return
    }
    go.end('x')
  })

/** The living monitor of a container, or undefined. */
export const monitorPid = async (dir: string, id: string): Promise<number | undefined> => {
  const pid = Number((await readText(join(dir, 'conmon.pid'))) ?? Number.NaN)
  return Number.isInteger(pid) && commandLine(pid).includes(id) ? pid : undefined
}

/** Tells the monitor to open its log file anew (control message 2 of its `ctl` pipe). */
export const reopenMonitorLog = async (dir: string): Promise<void> => {
  const pipe = await open(join(dir, 'ctl'), 'r+')
  try {
    await pipe.write('2 0 0\n')
  } finally {
    await pipe.close()
  }
}
