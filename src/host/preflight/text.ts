// Files of the system as text, for looking at a machine.

import { readFileSync } from 'node:fs'
import { SYSTEM_FILE_BYTES_MAX } from './limits.ts'

/** The file's text; undefined when it is not there, not for this user, or larger than any such file. */
export const textOf = (path: string): string | undefined => {
  try {
    const text = readFileSync(path)
    return text.length > SYSTEM_FILE_BYTES_MAX ? undefined : text.toString('latin1')
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined
    throw error
  }
}
