// Small files on a FAT boot partition, written and read by mtools: no driver of the kernel and no mount is needed.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './program.ts'

/** `path@@offset`, as mtools names a part of a file. */
const imageOf = (path: string, startBytes: number): string => `${path}@@${startBytes}`

/** Writes or replaces a file in the top folder and reads it back. Throws when it is not what was written (a full partition). */
export const writeFatFile = (path: string, { startBytes }: { readonly startBytes: number }, name: string, text: string): void => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-flash-'))
  try {
    const file = join(dir, 'file')
    writeFileSync(file, text, { mode: 0o600 })
    run('mcopy', '-o', '-i', imageOf(path, startBytes), file, `::${name}`)
    if (readFatFile(path, { startBytes }, name) !== text) throw new Error(`write ${name} to the boot partition: it reads otherwise`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** The text of a file in the top folder; throws when there is none. */
export const readFatFile = (path: string, { startBytes }: { readonly startBytes: number }, name: string): string =>
  run('mtype', '-i', imageOf(path, startBytes), `::${name}`)
