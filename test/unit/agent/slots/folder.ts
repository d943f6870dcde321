// A folder of slots for tests: any texts in its files, any programs in its slots.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { aboutText, type Slot } from '../../../../src/agent/slots/slot-state.ts'

export const SUMS: Readonly<Record<Slot, string>> = { a: 'a'.repeat(64), b: 'b'.repeat(64) }

/** What a slot may hold. `whole` prints its slot, its role and its pid. */
export const PROGRAMS = {
  absent: undefined,
  whole: '#!/bin/sh\nprintf "%s\\n" "SLOT" "$#" "$@"\n',
  empty: '',
  text: 'no program at all\n',
  foreign: `\x7fELF\x02\x01\x01${'\0'.repeat(11)}\xf3\x00${'\0'.repeat(60)}`,
  noInterpreter: '#!/nonexistent/interpreter\n',
} as const
export type ProgramName = keyof typeof PROGRAMS

export interface Folder {
  readonly current?: string | undefined
  readonly trial?: string | undefined
  readonly server?: string | undefined
  readonly agent?: string | undefined
  readonly bad?: string | undefined
  readonly a: { readonly program: ProgramName; readonly about?: 'good' | 'short' | 'torn' | undefined }
  readonly b: { readonly program: ProgramName; readonly about?: 'good' | 'short' | 'torn' | undefined }
}

const FILES = { current: 'current', trial: 'trial', server: 'trial.server', agent: 'trial.agent', bad: 'bad' } as const

/** Writes it below `dataDir`. */
export const writeFolder = (dataDir: string, folder: Folder): void => {
  const dir = join(dataDir, 'slots')
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  for (const name of ['current', 'trial', 'server', 'agent', 'bad'] as const) {
    const text = folder[name]
    if (text !== undefined) writeFileSync(join(dir, FILES[name]), text)
  }
  for (const slot of ['a', 'b'] as const) {
    const { program, about } = folder[slot]
    mkdirSync(join(dir, slot))
    const text = PROGRAMS[program]?.replace('SLOT', slot)
    if (text !== undefined) writeFileSync(join(dir, slot, 'helio'), text, { encoding: 'latin1', mode: 0o755 })
    const sizeBytes = (text?.length ?? 0) + (about === 'short' ? 1 : 0)
    if (about === 'torn') writeFileSync(join(dir, slot, 'about'), '\0\0\0')
    else if (about)
      writeFileSync(join(dir, slot, 'about'), aboutText({ sha256: SUMS[slot], sizeBytes, version: '1.0.0', target: 'linux-x64' }))
  }
}

/** A new data folder with a blank and a quote in its name. */
export const newDataDir = (): string => {
  const dataDir = join(mkdtempSync(join(tmpdir(), 'helio-slots-')), "it's data")
  mkdirSync(dataDir)
  return dataDir
}
