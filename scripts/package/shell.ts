// Running build tools, and folders that are complete or not there at all.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

export const sha256Of = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024

/** Standard output. Rejects with one line that has the program's own last words. */
export const run = async (
  words: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<string> => {
  const [program = '', ...rest] = words
  try {
    const done = promisify(execFile)(program, rest, { ...options, encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX })
    done.child.stdin?.end()
    return (await done).stdout
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string }
    if (code === 'ENOENT') throw new Error(`run ${program}: it is not installed`)
    throw new Error(`run ${words.join(' ').slice(0, 200)}: ${(stderr ?? String(error)).trim().split('\n').slice(-8).join('\n')}`)
  }
}

/** The folder, made by `make` unless an earlier run finished it. */
export const once = async (folder: string, make: (folder: string) => Promise<void>): Promise<string> => {
  if (existsSync(folder)) return folder
  const draft = mkdtempSync(join(dirname(folder), '.draft-'))
  try {
    await make(draft)
    if (!existsSync(folder)) renameSync(draft, folder)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  return folder
}
