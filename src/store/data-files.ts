// The files of a data directory and the few moves on them that must survive a power cut: set aside, put in place.

import { copyFile, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DAMAGED_KEPT } from './limits.ts'

const DATABASE = 'store.db'
const SIDE_FILES = ['-wal', '-shm', '-journal']

export interface DataFiles {
  readonly dir: string
  readonly database: string
  readonly wal: string
  readonly snapshotDir: string
  /** A file name part for damaged files: a time stamp. */
  readonly stamp: () => string
}

export const dataFiles = (dir: string, stamp: () => string): DataFiles => ({
  dir,
  database: join(dir, DATABASE),
  wal: join(dir, `${DATABASE}-wal`),
  snapshotDir: join(dir, 'snapshots'),
  stamp,
})

/** Undefined when there is no such file. */
export const sizeOf = async (file: string): Promise<number | undefined> => {
  try {
    return (await stat(file)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Makes a file, or the names in a directory, durable. */
export const syncPath = async (path: string): Promise<void> => {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A new directory for damaged files; the oldest beyond the number kept are removed. */
const asideDir = async ({ dir, stamp }: DataFiles): Promise<string> => {
  const taken = await readdir(dir)
  const base = `damaged-${stamp()}`
  let name = base
  for (let i = 1; taken.includes(name); i++) name = `${base}-${i}`
  await mkdir(join(dir, name), { mode: 0o700 })
  const kept = (await readdir(dir)).filter(entry => entry.startsWith('damaged-')).sort()
  for (const old of kept.slice(0, -DAMAGED_KEPT)) await rm(join(dir, old), { recursive: true, force: true })
  return name
}

const asideWith = async (files: DataFiles, place: (from: string, to: string) => Promise<void>): Promise<string> => {
  const name = await asideDir(files)
  for (const suffix of ['', ...SIDE_FILES]) {
    const file = files.database + suffix
    if ((await sizeOf(file)) !== undefined) await place(file, join(files.dir, name, DATABASE + suffix))
  }
  await syncPath(files.dir)
  return name
}

/** Moves the database and its side files into a directory of their own; returns its name. */
export const setAside = (files: DataFiles): Promise<string> => asideWith(files, rename)

/** As setAside, but the files stay in use. */
export const copyAside = (files: DataFiles): Promise<string> => asideWith(files, copyFile)

/** Puts a database in place all at once: `make` writes the draft, or starts from a copy of another file. */
export const installDraft = async (
  files: DataFiles,
  make: (draft: string, copy: (from: string) => Promise<void>) => Promise<void>,
): Promise<void> => {
  const draft = `${files.database}.draft`
  for (const suffix of ['', ...SIDE_FILES]) await rm(draft + suffix, { force: true })
  await make(draft, from => copyFile(from, draft))
  await syncPath(draft)
  await rename(draft, files.database)
  await syncPath(files.dir)
}
