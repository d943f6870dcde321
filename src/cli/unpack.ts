// Unpacks what a container sent, which may be anything: nothing is written outside the destination, no link leads out of it, no link is
// written through, and what is no file, folder or link is left out. Source: CVE-2018-1002100, CVE-2019-1002101, CVE-2019-11246 (kubectl cp).

import { createWriteStream } from 'node:fs'
import { chmod, lstat, mkdir, rm, symlink } from 'node:fs/promises'
import { dirname, join, posix, relative, resolve, sep } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { extract, type Header } from 'tar-stream'
import { Failure } from './failure.ts'
import { COPY_ENTRIES_MAX, COPY_PATH_CHARS_MAX } from './limits.ts'

/**
 * The path below the destination that an entry stands for: the archive's one top name (`root`) is the destination itself. Undefined for
 * what does not lie below it. Pure.
 */
export const placeOf = (name: string, root: string): string | undefined => {
  if (name.length > COPY_PATH_CHARS_MAX || name.includes('\0') || name.startsWith('/')) return undefined
  const parts = name.split('/').filter(part => part !== '' && part !== '.')
  if (parts.includes('..') || (root !== '.' && parts[0] !== root)) return undefined
  return parts.slice(root === '.' ? 0 : 1).join('/')
}

/** Whether a link at `place` (below the destination) with this text stays below the destination. Pure. */
export const staysInside = (place: string, target: string): boolean => {
  if (target.startsWith('/') || target.includes('\0')) return false
  const end = posix.normalize(posix.join(posix.dirname(place), target))
  return end !== '..' && !end.startsWith('../')
}

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT'

const kindOf = async (path: string): Promise<'folder' | 'link' | 'other' | 'none'> => {
  try {
    const found = await lstat(path)
    return found.isDirectory() ? 'folder' : found.isSymbolicLink() ? 'link' : 'other'
  } catch (error) {
    if (isMissing(error)) return 'none'
    throw error
  }
}

/** Makes the folders from the destination down to the one that holds `path`; of the destination itself, what is above it must be there. */
const makeParents = (destination: string, path: string): Promise<void> =>
  path === destination ? Promise.resolve() : makeFolders(destination, dirname(path))

/** Makes the folders from the destination down; a link among them is refused. */
const makeFolders = async (destination: string, path: string): Promise<void> => {
  const parts = relative(destination, path).split(sep).filter(Boolean)
  for (let i = 0; i <= parts.length; i++) {
    const folder = join(destination, ...parts.slice(0, i))
    const kind = await kindOf(folder)
    // The destination itself is the user's own word, link or not.
    if (kind === 'link' && i > 0) throw new Failure(`copy: ${folder} is a link, nothing is written through it`)
    if (kind === 'other') throw new Failure(`copy: ${folder} is no folder`)
    if (kind === 'none') await mkdir(folder, { recursive: i === 0 })
  }
}

const clear = async (path: string): Promise<void> => {
  const kind = await kindOf(path)
  if (kind === 'folder') throw new Failure(`copy: ${path} is a folder`)
  if (kind !== 'none') await rm(path)
}

interface Unpacking {
  readonly destination: string
  readonly root: string
  readonly warn: (text: string) => void
}

const take = async ({ destination, root, warn }: Unpacking, header: Header, body: Readable): Promise<void> => {
  const place = placeOf(header.name, root)
  if (place === undefined)
    throw new Failure(`copy: the archive names ${JSON.stringify(header.name.slice(0, 200))}, outside of what was asked for`)
  const path = resolve(destination, ...place.split('/'))
  const mode = (header.mode ?? 0o644) & 0o777
  if (header.type === 'directory') {
    await makeFolders(destination, path)
    await chmod(path, mode | 0o700)
  } else if (header.type === 'file' || header.type === 'contiguous-file') {
    await makeParents(destination, path)
    await clear(path)
    await pipeline(body, createWriteStream(path, { flags: 'wx', mode: 0o600 }))
    await chmod(path, mode)
    return
  } else if (header.type === 'symlink' && staysInside(place, header.linkname ?? '')) {
    await makeParents(destination, path)
    await clear(path)
    await symlink(header.linkname ?? '', path)
  } else warn(`skipped ${header.name}: ${header.type === 'symlink' ? 'the link leads out of the copy' : `it is a ${header.type}`}`)
  body.resume()
}

/** A consumer of the archive's bytes; settles when all is unpacked. `root` is the one name everything in it lies below. */
export const openUnpack = (
  unpacking: Unpacking,
): { write(data: Buffer): Promise<void>; end(): Promise<number>; readonly failed: Promise<never> } => {
  const state = { entries: 0 }
  const archive = extract() as unknown as Writable
  const done = new Promise<void>((resolve, reject) => {
    archive.on('error', reject)
    archive.on('finish', resolve)
  })
  const failed = new Promise<never>((_, reject) => done.catch(reject))
  failed.catch(() => archive.destroy())
  archive.on('entry', (header: Header, body: unknown, next: () => void) => {
    const source = body as Readable
    // Told by the archive as well.
    source.on('error', () => source.destroy())
    if (++state.entries > COPY_ENTRIES_MAX) return void archive.destroy(new Failure(`copy: more than ${COPY_ENTRIES_MAX} files`))
    take(unpacking, header, source).then(
      () => next(),
      (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
    )
  })
  return {
    failed,
    write: data =>
      new Promise(resolve => {
        if (archive.destroyed || archive.write(data)) return resolve()
        const done = (): void => {
          archive.off('drain', done)
          archive.off('close', done)
          resolve()
        }
        archive.on('drain', done)
        archive.on('close', done)
      }),
    async end() {
      archive.end()
      await done
      return state.entries
    },
  }
}
