// What a layer takes away. OCI writes `.wh.x` and `.wh..wh..opq`; overlayfs wants a character device 0/0, and for an opaque directory an
// extended attribute Node cannot set. So an opaque directory is written out as one whiteout per name that lower layers show there: the
// result then belongs to that stack of layers, not to the layer alone. Source: OCI image-spec layer.md, kernel overlayfs.rst.

import { linkSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Exec } from '../../base/exec.ts'
import { lookAt } from './layer-path.ts'

export const WHITEOUT_PREFIX = '.wh.'
export const OPAQUE_NAME = '.wh..wh..opq'

/** Makes whiteouts: hard links of one device, as overlayfs itself does; one `mknod` for all. */
export type MakeWhiteout = (path: string) => Promise<void>

export const whiteoutMaker = (device: string, exec: Exec): MakeWhiteout => {
  const makeDevice = async (): Promise<void> => {
    rmSync(device, { force: true })
    const made = await exec.run('mknod', [device, 'c', '0', '0'])
    if (made.code !== 0) throw new Error(`make whiteout: ${made.stderr.trim() || 'mknod failed'}; layers that delete files need root`)
  }
  return async path => {
    if (lookAt(device) === 'absent') await makeDevice()
    try {
      linkSync(device, path)
    } catch (error) {
      // The file system's limit of links to one inode: go on with a new one.
      if ((error as NodeJS.ErrnoException).code !== 'EMLINK') throw error
      await makeDevice()
      linkSync(device, path)
    }
  }
}

type Sight = 'absent' | 'blocked' | 'directory'

/** How a directory looks in one layer: a file, symlink or whiteout on the way hides all layers below. */
const sightOf = (layer: string, parts: readonly string[]): Sight => {
  let at = layer
  for (const part of parts) {
    at = join(at, part)
    const found = lookAt(at)
    if (found === 'absent') return 'absent'
    if (found !== 'directory') return 'blocked'
  }
  return 'directory'
}

const isWhiteout = (entry: { isCharacterDevice(): boolean }): boolean => entry.isCharacterDevice()

/** Names a stack of layers (lowest first) shows in a directory, and whether each is a directory. */
const visible = (lowers: readonly string[], parts: readonly string[]): Map<string, boolean> => {
  const names = new Map<string, 'hidden' | 'directory' | 'other'>()
  for (const layer of lowers.toReversed()) {
    const sight = sightOf(layer, parts)
    if (sight === 'blocked') break
    if (sight === 'absent') continue
    for (const entry of readdirSync(join(layer, ...parts), { withFileTypes: true })) {
      if (names.has(entry.name)) continue
      names.set(entry.name, isWhiteout(entry) ? 'hidden' : entry.isDirectory() ? 'directory' : 'other')
    }
  }
  return new Map([...names].filter(([, what]) => what !== 'hidden').map(([name, what]) => [name, what === 'directory']))
}

/** Hides in `upper` all that `lowers` show under the directory `parts`, except what `upper` itself has there. */
export const hideLower = async (upper: string, lowers: readonly string[], parts: readonly string[], make: MakeWhiteout): Promise<void> => {
  for (const [name, isDirectory] of visible(lowers, parts)) {
    const path = join(upper, ...parts, name)
    const found = lookAt(path)
    if (found === 'absent') await make(path)
    else if (found === 'directory' && isDirectory) await hideLower(upper, lowers, [...parts, name], make)
  }
}
