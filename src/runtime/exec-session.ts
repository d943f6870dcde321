// Turns a spawned program into an ExecSession, with or without a terminal of its own.

import { spawn } from 'node:child_process'
import { PassThrough } from 'node:stream'
import type { ExecSession } from './runtime.ts'

/** One word for a POSIX shell, whatever is in it. */
export const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`

/** `script` gives a program a terminal; it takes one shell line, so every word is quoted. */
export const onTerminal = (script: string, command: readonly string[]): readonly string[] => [
  script,
  '-qfec',
  `stty rows 24 cols 80 2>/dev/null; exec ${command.map(quote).join(' ')}`,
  '/dev/null',
]

export interface SessionOptions {
  readonly tty: boolean
  readonly stdin: boolean
  /** The whole environment; this process's own when absent. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** Starts `command`; `kill` is called besides killing it, for what it leaves behind. */
export const startSession = (command: readonly string[], options: SessionOptions, kill: () => void): ExecSession => {
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    // A terminal whose input is at its end would hang up: it gets a pipe that stays open instead.
    stdio: [options.stdin || options.tty ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    ...(options.env === undefined ? {} : { env: { ...options.env } }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const exitCode = new Promise<number>((resolve, reject) => {
    child.on('error', error => reject(new Error(`start ${program}: ${error.message}`, { cause: error })))
    child.on('close', code => resolve(code ?? 137))
  })
  child.stdin?.on('error', () => child.stdin?.destroy())
  return {
    exitCode,
    stdin: options.stdin ? (child.stdin ?? undefined) : undefined,
    stdout: child.stdout ?? new PassThrough().end(),
    stderr: options.tty ? undefined : (child.stderr ?? undefined),
    kill: () => {
      kill()
      child.kill('SIGKILL')
    },
  }
}
