// Where the files of an uncompressed tar lie, so that blobs are read in place and never copied. Headers only; data is skipped by seeking.
// Source: POSIX pax interchange format, GNU tar manual (long names).

import type { FileHandle } from 'node:fs/promises'
import { ARCHIVE_ENTRIES_MAX, PATH_BYTES_MAX } from './limits.ts'

export interface TarEntry {
  readonly offset: number
  readonly sizeBytes: number
  /** Target of a symbolic or hard link, as written. */
  readonly link?: string
}

const BLOCK = 512
const NUL = '\0'

const field = (block: Buffer, at: number, length: number): string => {
  const text = block.toString('utf8', at, at + length)
  const end = text.indexOf(NUL)
  return end === -1 ? text : text.slice(0, end)
}

/** Octal, or base-256 when the first bit is set (files of 8 GiB and more). */
const number = (block: Buffer, at: number, length: number): number => {
  if ((block[at] ?? 0) & 0x80) {
    let value = (block[at] ?? 0) & 0x7f
    for (let i = 1; i < length; i++) value = value * 256 + (block[at + i] ?? 0)
    return value
  }
  const digits = field(block, at, length).trim()
  return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN
}

const checksumHolds = (block: Buffer): boolean => {
  let sum = 0
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : (block[i] ?? 0)
  return sum === number(block, 148, 8)
}

const paxPath = (data: Buffer): string | undefined => /(?:^|\n)\d+ path=([^\n]*)\n/.exec(data.toString('utf8'))?.[1]

/** Name without `./` in front and `/` behind; how a reader asks for it. */
export const plainName = (name: string): string => name.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '')

/** All files and links of the archive by name; a later entry of the same name wins, as when unpacking. */
export const readTarIndex = async (file: FileHandle, sizeBytes: number): Promise<Map<string, TarEntry>> => {
  const entries = new Map<string, TarEntry>()
  const block = Buffer.alloc(BLOCK)
  let position = 0
  let longName: string | undefined
  while (position + BLOCK <= sizeBytes) {
    await file.read(block, 0, BLOCK, position)
    position += BLOCK
    if (block.every(byte => byte === 0)) continue
    if (!checksumHolds(block)) throw new Error('read archive: not a tar file, or a damaged one')
    const size = number(block, 124, 12)
    const type = String.fromCharCode(block[156] ?? 0)
    if (!Number.isSafeInteger(size) || position + size > sizeBytes) throw new Error('read archive: it ends in the middle of an entry')
    if (type === 'x' || type === 'L') {
      const data = Buffer.alloc(Math.min(size, 4 * PATH_BYTES_MAX))
      await file.read(data, 0, data.length, position)
      longName = type === 'L' ? field(data, 0, data.length) : (paxPath(data) ?? longName)
    } else if (type !== 'g' && type !== 'K') {
      const prefix = field(block, 257, 5) === 'ustar' && block[262] === 0 ? field(block, 345, 155) : ''
      const name = plainName(longName ?? (prefix === '' ? field(block, 0, 100) : `${prefix}/${field(block, 0, 100)}`))
      longName = undefined
      if (type === '0' || type === NUL || type === '7') entries.set(name, { offset: position, sizeBytes: size })
      if (type === '1' || type === '2')
        entries.set(name, { offset: 0, sizeBytes: 0, link: (type === '1' ? '/' : '') + field(block, 157, 100) })
      if (entries.size > ARCHIVE_ENTRIES_MAX) throw new Error(`read archive: more than ${ARCHIVE_ENTRIES_MAX} entries`)
    }
    position += Math.ceil(size / BLOCK) * BLOCK
  }
  return entries
}
