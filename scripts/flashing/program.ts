// Running small system programs to their end: mount, e2fsck, mcopy. Arguments are lists; no shell sees them.

import { execFileSync } from 'node:child_process'
import { Refusal } from './refusal.ts'

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024
/** Boards' tools lie where plain users do not look. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`

/** Debian packages of the programs used here. */
const PACKAGES: Readonly<Record<string, string>> = { mcopy: 'mtools', mtype: 'mtools', e2fsck: 'e2fsprogs', mount: 'mount' }

/** Standard output. Throws one line with the program's own last words. */
export const run = (program: string, ...args: readonly string[]): string => {
  try {
    return execFileSync(program, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: OUTPUT_BYTES_MAX,
      env: { ...process.env, PATH, LC_ALL: 'C.UTF-8' },
    })
  } catch (error) {
    const { code, stderr, stdout } = error as { code?: string; stderr?: string; stdout?: string }
    if (code === 'ENOENT') throw new Refusal(`run ${program}: it is not installed`, `apt-get install ${PACKAGES[program] ?? program}`)
    const said = (stderr || stdout || String(error)).trim().split('\n').at(-1)
    throw new Refusal(`run ${program}: ${said}`, undefined, { cause: error })
  }
}
