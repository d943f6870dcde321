// Paths in a root tree that is not the one we run in: symbolic links are followed as the board would, and never lead out of the tree.

import { existsSync, lstatSync, readlinkSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** Links followed on one path, as the kernel has it. */
const LINKS_MAX = 40

/** The path on this machine for `path` (absolute, on the board); undefined when it leads nowhere or its links never end. */
export const findInRoot = (root: string, path: string): string | undefined => {
  let links = 0
  let done = '/'
  let rest = normalize(path).split('/').filter(Boolean)
  while (rest.length > 0) {
    const [name = '', ...more] = rest
    if (name === '..') {
      done = dirname(done)
      rest = more
      continue
    }
    const here = join(done, name)
    if (!existsSync(join(root, done)) || lstatSync(join(root, here), { throwIfNoEntry: false }) === undefined) return undefined
    if (!lstatSync(join(root, here)).isSymbolicLink()) {
      done = here
      rest = more
      continue
    }
    if (++links > LINKS_MAX) return undefined
    const target = readlinkSync(join(root, here))
    if (target.startsWith('/')) done = '/'
    rest = [...target.split('/').filter(part => part !== '' && part !== '.'), ...more]
  }
  return join(root, done)
}
