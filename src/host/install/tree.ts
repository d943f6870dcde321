// The file tree that is installed into: this machine's own, or the root folder of another (an image, a test). Paths are those of the
// installed machine. Links inside a foreign root never lead out of it. Every write is whole: beside, fsync, rename, fsync of the folder.

import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ApiError, messageOf } from '../../base/errors.ts'
import { isMissing, syncFolder, systemFiles } from '../files.ts'
import { FILE_BYTES_MAX } from './limits.ts'

export interface Tree {
  readonly root: string
  /** The real path behind a path of the installed machine; throws when a link would lead out of the root. */
  real(path: string): string
  exists(path: string): boolean
  read(path: string): string | undefined
  /** Permission bits; undefined when there is no such file. */
  mode(path: string): number | undefined
  write(path: string, text: string, mode: number): void
  /** Where a symbolic link points; undefined when it is none. */
  linkTarget(path: string): string | undefined
  link(path: string, target: string): void
  /** The folder and those above it that are not there, outermost first. */
  missing(path: string): readonly string[]
  /** Makes missing folders; those above it are open to all, as folders of the system are. */
  makeFolder(path: string, mode: number): void
  remove(path: string): void
  /** Removes a folder that is empty; false when it is not. */
  removeEmpty(path: string): boolean
  /** Removes what a write of this file that was cut off left beside it. */
  clearLeftovers(path: string): void
}

export const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')

/** The nearest folder upwards that exists, links on the way not followed past their existence. */
const nearestFolder = (path: string): string => {
  let at = path
  while (!existsSync(at) && at !== dirname(at)) at = dirname(at)
  return at
}

const linkTargetOf = (path: string): string | undefined => {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

const PARENT_MODE = 0o755

/** `root`: an existing folder; `/` is this machine. */
export const openTree = (root: string): Tree => {
  if (!existsSync(root) || !statSync(root).isDirectory()) throw new ApiError('BadRequest', `open root ${root}: there is no such folder`)
  const top = realpathSync(root)
  const real = (path: string): string => {
    if (!path.startsWith('/') || path.split('/').includes('..')) throw new ApiError('BadRequest', `use path ${path}: it is not absolute`)
    const whole = join(top, path)
    if (top === '/' || whole === top || whole === `${top}/`) return whole
    const parent = realpathSync(nearestFolder(dirname(whole)))
    if (parent !== top && !parent.startsWith(`${top}/`))
      throw new ApiError('Forbidden', `use ${path} in ${root}: a link there leads out of it, to ${parent}`, {
        hint: 'make that link relative, or install with this root as / (chroot)',
      })
    // What the parent's links lead to, then the rest that is not there yet.
    return join(parent, whole.slice(nearestFolder(dirname(whole)).length))
  }
  const act = <T>(what: string, path: string, work: (real: string) => T): T => {
    try {
      return work(real(path))
    } catch (error) {
      if (error instanceof ApiError) throw error
      throw new ApiError('InternalError', `${what} ${join(root, path)}: ${messageOf(error)}`, { cause: error })
    }
  }
  const missing = (path: string): readonly string[] => {
    const found: string[] = []
    for (let at = path; at !== '/' && !existsSync(real(at)); at = dirname(at)) found.unshift(at)
    return found
  }
  return {
    root: top,
    real,
    exists: path => act('look at', path, existsSync),
    // A link in the place of a file of a foreign root is not followed: it would be replaced.
    read: path =>
      act('read', path, file => (top !== '/' && linkTargetOf(file) !== undefined ? undefined : systemFiles.read(file, FILE_BYTES_MAX))),
    mode: path =>
      act('look at', path, file => {
        try {
          return statSync(file).mode & 0o7777
        } catch (error) {
          if (isMissing(error)) return undefined
          throw error
        }
      }),
    write: (path, text, mode) =>
      act('write', path, file => {
        systemFiles.write(file, text, mode)
        // The mask of this process is not the installed machine's.
        chmodSync(file, mode)
      }),
    linkTarget: path => act('look at', path, linkTargetOf),
    link: (path, target) =>
      act('link', path, file => {
        const beside = `${file}.${process.pid}.tmp`
        rmSync(beside, { force: true })
        symlinkSync(target, beside)
        renameSync(beside, file)
        syncFolder(dirname(file))
      }),
    missing,
    makeFolder: (path, mode) =>
      act('make folder', path, () => {
        for (const each of missing(path)) {
          // With its mode at once: a cut before a chmod would leave another one for good.
          mkdirSync(real(each), { mode: each === path ? mode : PARENT_MODE })
          syncFolder(dirname(real(each)))
        }
      }),
    remove: path => act('remove', path, file => rmSync(file, { force: true })),
    removeEmpty: path =>
      act('remove', path, dir => {
        try {
          rmdirSync(dir)
          return true
        } catch (error) {
          if (isMissing(error)) return true
          if (error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'EBUSY')) return false
          throw error
        }
      }),
    clearLeftovers: path =>
      act('clear', path, file => {
        const dir = dirname(file)
        const pattern = `${basename(file)}.`
        for (const name of existsSync(dir) ? readdirSync(dir) : [])
          if (name.startsWith(pattern) && /^\d+\.tmp$/.test(name.slice(pattern.length))) rmSync(join(dir, name), { force: true })
      }),
  }
}
