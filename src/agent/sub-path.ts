// The source of a mount inside a volume, at a path the manifest names and the containers may have tampered with: it never leaves the
// volume. Each part is checked as it is; links are followed only to see that they end inside. Source: k8s CVE-2017-1002101, subPath.

import { lstatSync, mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

/** The real path to mount, made as a folder where missing. Throws when it leads outside. */
export const resolveSubPath = (root: string, subPath: string): string => {
  const real = realpathSync(root)
  let at = real
  for (const part of subPath.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') throw new Error(`mount subPath ${subPath}: it leaves the volume`)
    const next = join(at, part)
    if (!lstatSync(next, { throwIfNoEntry: false })) mkdirSync(next, { mode: 0o755 })
    at = realpathSync(next)
    if (at !== real && !at.startsWith(`${real}/`)) throw new Error(`mount subPath ${subPath}: it leaves the volume`)
  }
  return at
}
