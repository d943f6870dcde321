// A folder as a list of lines, one for each entry: kind, mode, owner, size, digest or target. Two folders with the same lines hold the same.

import { createHash } from 'node:crypto'
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'
import { join } from 'node:path'

const CHUNK_BYTES = 1024 * 1024

export const digestOfFile = (path: string): string => {
  const hash = createHash('sha256')
  const chunk = Buffer.alloc(CHUNK_BYTES)
  const fd = openSync(path, 'r')
  try {
    for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk)) hash.update(chunk.subarray(0, read))
  } finally {
    closeSync(fd)
  }
  return hash.digest('hex')
}

/** Of one entry, without its name; undefined when it is not there. */
export const entryText = (path: string): string | undefined => {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return undefined
  const who = `${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid}`
  if (stat.isSymbolicLink()) return `link ${stat.uid}:${stat.gid} ${readlinkSync(path)}`
  if (stat.isDirectory()) return `folder ${who}`
  if (stat.isFile()) return `file ${who} ${stat.size} ${digestOfFile(path)}`
  return `special ${who} ${stat.mode & 0o170000} ${stat.rdev}`
}

export interface TreeSize {
  /** As a file system with blocks of 4 KiB takes it. */
  readonly bytes: number
  readonly inodes: number
}

/** Every entry below, by path relative to `dir`, sorted. */
export const entriesBelow = (dir: string, below = ''): string[] =>
  readdirSync(join(dir, below), { withFileTypes: true }).flatMap(entry => {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    return entry.isDirectory() ? [path, ...entriesBelow(dir, path)] : [path]
  })

export const treeSize = (dir: string): TreeSize => {
  const entries = entriesBelow(dir)
  const bytes = entries.reduce((sum, path) => {
    const stat = lstatSync(join(dir, path))
    return sum + (stat.isFile() ? Math.ceil(stat.size / 4096) * 4096 : stat.isDirectory() ? 4096 : 0)
  }, 0)
  return { bytes, inodes: entries.length }
}
