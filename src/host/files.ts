// Durable small files on the real disk: write beside, fsync, rename, fsync the folder (the order that survives a power cut).

import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Files } from '../base/files.ts'

const FILE_BYTES_MAX = 4 * 1024 * 1024

/** There is nothing of that name. */
export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')

/** Makes the entries of a folder durable. */
export const syncFolder = (dir: string): void => {
  const fd = openSync(dir, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** The folder and what is above it (0700). Not by mkdir's own `recursive`, which never ends below /proc. */
export const makeFolder = (path: string): void => {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isDirectory()) return
  const parent = dirname(path)
  if (found !== undefined || parent === path) throw Object.assign(new Error(`make folder ${path}: it is a file`), { code: 'EEXIST' })
  makeFolder(parent)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // Somebody else made it in the same moment.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error
  }
}

export const systemFiles: Files = {
  read(path, bytesMax = FILE_BYTES_MAX) {
    try {
      const size = statSync(path).size
      if (size > bytesMax) throw new Error(`read ${path}: ${size} bytes, at most ${bytesMax} are allowed`)
      return readFileSync(path, 'utf8')
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  },
  write(path, text, mode) {
    const dir = dirname(path)
    makeFolder(dir)
    const beside = `${path}.${process.pid}.tmp`
    try {
      const fd = openSync(beside, 'w', mode)
      try {
        // Unlike one write, it goes on until all is written or the disk is full.
        writeFileSync(fd, text)
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(beside, path)
    } catch (error) {
      rmSync(beside, { force: true })
      throw error
    }
    syncFolder(dir)
  },
  remove(path) {
    rmSync(path, { force: true })
  },
}
