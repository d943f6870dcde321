// Packs a file or folder of this machine for a container: one top name, links as they are, nothing else followed.

import { createReadStream } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Pack, pack } from 'tar-stream'
import { Failure } from './failure.ts'
import { COPY_ENTRIES_MAX } from './limits.ts'

interface Packing {
  readonly archive: Pack
  readonly warn: (text: string) => void
  entries: number
}

const addFile = async (
  { archive }: Packing,
  path: string,
  name: string,
  info: { size: number; mode: number; mtime: Date },
): Promise<void> => {
  const added = new Promise<void>((resolve, reject) => {
    const entry: unknown = archive.entry({ name, size: info.size, mode: info.mode & 0o777, mtime: info.mtime }, error =>
      error ? reject(error) : resolve(),
    )
    // A file that grows meanwhile is copied as long as it was; tar's own way.
    const source = info.size === 0 ? undefined : createReadStream(path, { end: info.size - 1 })
    if (source === undefined) (entry as Writable).end()
    else pipeline(source, entry as Writable).catch(reject)
  })
  await added
}

const add = async (packing: Packing, path: string, name: string): Promise<void> => {
  if (++packing.entries > COPY_ENTRIES_MAX) throw new Failure(`copy: more than ${COPY_ENTRIES_MAX} files`)
  const info = await lstat(path)
  const common = { name, mode: info.mode & 0o777, mtime: info.mtime }
  if (info.isDirectory()) {
    packing.archive.entry({ ...common, type: 'directory' })
    for (const child of (await readdir(path)).sort()) await add(packing, join(path, child), `${name}/${child}`)
  } else if (info.isSymbolicLink()) packing.archive.entry({ ...common, type: 'symlink', linkname: await readlink(path) })
  else if (info.isFile()) await addFile(packing, path, name, info)
  else packing.warn(`skipped ${path}: no file, folder or link`)
}

/** The archive of `path` under `name`, as a stream; a failure destroys it. */
export const packPath = (path: string, name: string, warn: (text: string) => void): Pack => {
  const archive = pack()
  add({ archive, warn, entries: 0 }, path, name).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  )
  return archive
}
