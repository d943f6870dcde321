// One server per data directory. The lock is SQLite's own file lock on an empty file: the kernel lets go of it when the process dies,
// however it dies, so it is never stale, and it does not depend on the database being readable.

import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { ApiError } from '../base/errors.ts'
import { openDatabase, sqliteCode } from './database.ts'

export interface Lock {
  release(): Promise<void>
}

const take = async (file: string): Promise<Lock> => {
  const database = await openDatabase(file)
  try {
    await database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    await database.close()
    throw error
  }
  return { release: () => database.close() }
}

/** Throws ServiceUnavailable with a hint when another process holds the directory. */
export const lockDirectory = async (dir: string): Promise<Lock> => {
  const file = join(dir, 'store.lock')
  try {
    return await take(file)
  } catch (error) {
    if (sqliteCode(error) === 'SQLITE_BUSY') {
      throw new ApiError('ServiceUnavailable', `open store ${dir}: another server is using it`, {
        cause: error,
        hint: 'stop the other server, or give this one its own --data-dir',
      })
    }
    if (sqliteCode(error) !== 'SQLITE_NOTADB') throw error
    await truncate(file)
    return take(file)
  }
}
