// What can be wrong with a file: it is damaged (something else takes its place), from a newer program or sealed with another key (the
// operator decides).

import { isDamage } from './database.ts'

/** The file is bad; `message` says how, in a few words. */
export class DamageError extends Error {
  override readonly name = 'DamageError'
}

/** The file is sound but from a newer program. */
export class FormatError extends Error {
  override readonly name = 'FormatError'
}

/** The file is sound, but another key sealed what is in it. */
export class KeyError extends Error {
  override readonly name = 'KeyError'
}

/** Turns SQLite's complaints about the file into a DamageError. */
export const blamingFile = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    if (isDamage(error)) throw new DamageError((error as Error).message, { cause: error })
    throw error
  }
}
