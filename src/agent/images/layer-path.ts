// Paths inside a layer, never outside: every component is checked, no symlink is ever walked through. The layer's author is not trusted.

import { lstatSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX } from './limits.ts'

/** Components of an entry's name; [] is the layer's root. Refuses absolute names and `..`. */
export const layerPath = (name: string, what: string): string[] => {
  if (name.startsWith('/')) throw new Error(`unpack ${what}: absolute path ${JSON.stringify(name.slice(0, 200))}`)
  if (name.includes('\0')) throw new Error(`unpack ${what}: a path holds a NUL`)
  if (Buffer.byteLength(name) > PATH_BYTES_MAX) throw new Error(`unpack ${what}: a path is longer than ${PATH_BYTES_MAX} bytes`)
  const parts = name.split('/').filter(part => part !== '' && part !== '.')
  if (parts.length > PATH_DEPTH_MAX) throw new Error(`unpack ${what}: a path is deeper than ${PATH_DEPTH_MAX}`)
  for (const part of parts) {
    if (part === '..') throw new Error(`unpack ${what}: ${JSON.stringify(name.slice(0, 200))} leaves the layer`)
    if (Buffer.byteLength(part) > NAME_BYTES_MAX) throw new Error(`unpack ${what}: a name is longer than ${NAME_BYTES_MAX} bytes`)
  }
  return parts
}

export type Found = 'absent' | 'directory' | 'symlink' | 'other'

export const lookAt = (path: string): Found => {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return 'absent'
  return found.isDirectory() ? 'directory' : found.isSymbolicLink() ? 'symlink' : 'other'
}

/** The directories of one layer being unpacked: made on demand, known by heart so that each is looked at once. */
export interface LayerTree {
  /** Absolute path of an entry whose parents exist as real directories; missing ones are made. */
  place(parts: readonly string[], what: string): string
  /** Absolute path of an entry that must be reachable through real directories only; nothing is made. */
  reach(parts: readonly string[], what: string): string
  /** Removes what lies at a placed path, unless it is a directory and one is wanted; true when a directory stayed. */
  clear(path: string, wantDirectory: boolean): boolean
}

export const layerTree = (root: string): LayerTree => {
  const known = new Set<string>([root])
  const walk = (parts: readonly string[], what: string, make: boolean): string => {
    let at = root
    for (const part of parts.slice(0, -1)) {
      at = join(at, part)
      if (known.has(at)) continue
      const found = lookAt(at)
      if (found === 'absent' && make) mkdirSync(at, { mode: 0o755 })
      else if (found !== 'directory')
        throw new Error(`unpack ${what}: ${parts.join('/')} leads through ${found === 'symlink' ? 'a symlink' : 'no directory'}`)
      known.add(at)
    }
    const last = parts[parts.length - 1]
    return last === undefined ? root : join(at, last)
  }
  return {
    place: (parts, what) => walk(parts, what, true),
    reach: (parts, what) => walk(parts, what, false),
    clear(path, wantDirectory) {
      const found = lookAt(path)
      if (found === 'absent') return false
      if (found === 'directory' && (wantDirectory || path === root)) return true
      if (found === 'directory') {
        for (const dir of known) if (dir === path || dir.startsWith(`${path}/`)) known.delete(dir)
      }
      rmSync(path, { recursive: true, force: true })
      return false
    },
  }
}
