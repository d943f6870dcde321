// An image's passwd and group, read from its layers as an overlay would show them: the topmost layer that has a word on the file decides.
// Links are not followed: an image must not make the device read its own files.

import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { Accounts } from './device.ts'
import type { Image } from './images/images.ts'
import { ACCOUNTS_BYTES_MAX } from './limits.ts'

/** Images whose accounts are kept in memory; the oldest are dropped. */
const KEPT_MAX = 64

const isGone = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(String(error.code))

const readPlain = (path: string): string => {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile() || stat.size > ACCOUNTS_BYTES_MAX) return ''
    const bytes = Buffer.alloc(stat.size)
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(fd)
  }
}

const fileIn = (layers: readonly string[], name: string): string => {
  for (const layer of [...layers].reverse()) {
    const etc = join(layer, 'etc')
    const folder = lstatSync(etc, { throwIfNoEntry: false })
    if (!folder) continue
    if (!folder.isDirectory()) return ''
    try {
      if (lstatSync(join(etc, name), { throwIfNoEntry: false })) return readPlain(join(etc, name))
    } catch (error) {
      if (!isGone(error)) throw error
      return ''
    }
  }
  return ''
}

/** A look-up that reads each image once. */
export const createAccounts = (): ((image: Image) => Accounts) => {
  const known = new Map<string, Accounts>()
  return image => {
    const found = known.get(image.id)
    if (found) return found
    const accounts = { passwd: fileIn(image.layers, 'passwd'), group: fileIn(image.layers, 'group') }
    if (known.size >= KEPT_MAX) known.delete(known.keys().next().value ?? '')
    known.set(image.id, accounts)
    return accounts
  }
}
