// Running build tools, and folders that are complete or not there at all.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'

export const sha256Of = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

/** Standard output. Throws one line with the program's own last words. */
export const run = (words: readonly string[], options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {}): string => {
  const [program = '', ...rest] = words
  try {
    return execFileSync(program, rest, { ...options, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64 * 1024 * 1024 })
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string }
    if (code === 'ENOENT') throw new Error(`run ${program}: it is not installed`)
    throw new Error(`run ${words.join(' ').slice(0, 200)}: ${(stderr ?? String(error)).trim().split('\n').slice(-8).join('\n')}`)
  }
}

/** The folder, made by `make` unless an earlier run finished it. */
export const once = (folder: string, make: (folder: string) => void): string => {
  if (existsSync(folder)) return folder
  const draft = mkdtempSync(join(dirname(folder), '.draft-'))
  try {
    make(draft)
    renameSync(draft, folder)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  return folder
}
