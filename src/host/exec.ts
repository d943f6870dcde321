// Starting other programs for real. Arguments are arrays; no shell ever sees them.

import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Exec } from '../base/exec.ts'

/** Output beyond this is dropped; callers of Exec read results of short programs, never streams. */
const OUTPUT_BYTES_MAX = 1024 * 1024
/** Boards often lack /usr/sbin in PATH for plain users; the tools we start live there. */
const EXTRA_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

const find = (command: string): string | undefined => {
  for (const dir of [...(process.env['PATH'] ?? '').split(delimiter), ...EXTRA_PATH]) {
    if (dir === '') continue
    const file = join(dir, command)
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch (error) {
      if (!(error instanceof Error)) throw error
    }
  }
  return undefined
}

export const systemExec: Exec = {
  find,
  run(command, args, options = {}) {
    return new Promise((resolve, reject) => {
      const child = spawn(command.includes('/') ? command : (find(command) ?? command), args, {
        stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
        ...(options.env ? { env: { ...process.env, ...options.env } } : {}),
        ...(options.cwd ? { cwd: options.cwd } : {}),
      })
      const stdout: Buffer[] = []
      const stderr: Buffer[] = []
      const keep = (into: Buffer[]) => {
        let size = 0
        return (chunk: Buffer) => {
          if (size < OUTPUT_BYTES_MAX) into.push(chunk.subarray(0, OUTPUT_BYTES_MAX - size))
          size += chunk.length
        }
      }
      child.stdout?.on('data', keep(stdout))
      child.stderr?.on('data', keep(stderr))
      const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), options.timeoutMs)
      child.on('error', error => {
        clearTimeout(timer)
        reject(new Error(`start ${command}: ${error.message}`, { cause: error }))
      })
      child.on('close', (code, signal) => {
        clearTimeout(timer)
        if (signal === 'SIGKILL' && code === null && options.timeoutMs !== undefined)
          reject(new Error(`run ${command}: no end after ${options.timeoutMs} ms`))
        else resolve({ code: code ?? 128, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() })
      })
      child.stdin?.on('error', () => child.kill())
      child.stdin?.end(options.input)
    })
  },
}
