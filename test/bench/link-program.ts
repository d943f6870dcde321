// The built program as it is at the start of a measurement, in a folder of its own: it may be built anew meanwhile.

import type { ChildProcess } from 'node:child_process'
import { cpSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Actor, HELIO, SELF, temporaryDir, wipe } from '../e2e/cluster.ts'
import type { Bench } from './link-figures.ts'

/** The program, and a folder for what it keeps; both are gone with the bench's cleanup. */
export const openProgram = (bench: Bench): { readonly program: Actor; readonly dir: string } => {
  const dir = temporaryDir()
  bench.cleanup(() => wipe(dir))
  const copy = join(dir, 'dist/helio')
  cpSync(dirname(HELIO), dirname(copy), { recursive: true })
  const here = (word: string): string => (word === HELIO ? copy : word)
  return { program: { command: here(SELF.command), args: SELF.args.map(here) }, dir }
}

/** Kills it and settles when it is gone. */
export const end = (child: ChildProcess): Promise<void> =>
  new Promise(resolve => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve()
      return
    }
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
