// The partition table of a disk image, read from its bytes: GPT with its checksums, else MBR with logical partitions. Sectors of 512 bytes,
// as images have them. Nothing outside the image is believed. Source: UEFI 2.10 chapter 5.

import { fstatSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { Refusal } from './refusal.ts'

export const SECTOR_BYTES = 512
/** Entries of a GPT and bytes of each that are read; more, or larger ones, are refused. */
const GPT_ENTRIES_MAX = 1024
const GPT_ENTRY_BYTES_MAX = 4096
/** Logical partitions that are followed; a longer chain is refused as one that never ends. */
const LOGICAL_MAX = 60
const EXTENDED = [0x05, 0x0f, 0x85]
const PROTECTIVE = 0xee

export interface Partition {
  /** As the kernel numbers it, from 1. */
  readonly number: number
  readonly startBytes: number
  readonly sizeBytes: number
}

const readAt = (fd: number, at: number, sizeBytes: number): Buffer => {
  const bytes = Buffer.alloc(sizeBytes)
  return bytes.subarray(0, readSync(fd, bytes, 0, sizeBytes, at))
}

interface MbrEntry {
  readonly type: number
  readonly start: number
  readonly sectors: number
}

const mbrEntries = (sector: Buffer): MbrEntry[] | undefined => {
  if (sector.length < SECTOR_BYTES || sector.readUInt16LE(510) !== 0xaa55) return undefined
  return [0, 1, 2, 3].map(i => {
    const at = 446 + i * 16
    return { type: sector.readUInt8(at + 4), start: sector.readUInt32LE(at + 8), sectors: sector.readUInt32LE(at + 12) }
  })
}

const partitionOf = (number: number, { start, sectors }: Pick<MbrEntry, 'start' | 'sectors'>): Partition => ({
  number,
  startBytes: start * SECTOR_BYTES,
  sizeBytes: sectors * SECTOR_BYTES,
})

const logicalPartitions = (fd: number, first: number): Partition[] => {
  const found: Partition[] = []
  let at = first
  for (let number = 5; ; number++) {
    if (found.length >= LOGICAL_MAX) throw new Refusal(`read partition table: more than ${LOGICAL_MAX} logical partitions`)
    const [own, next] = mbrEntries(readAt(fd, at * SECTOR_BYTES, SECTOR_BYTES)) ?? []
    if (own !== undefined && own.sectors > 0) found.push(partitionOf(number, { start: at + own.start, sectors: own.sectors }))
    if (next === undefined || next.sectors === 0 || !EXTENDED.includes(next.type)) return found
    at = first + next.start
  }
}

const mbrPartitions = (fd: number, entries: readonly MbrEntry[]): Partition[] => {
  const found: Partition[] = []
  for (const [i, entry] of entries.entries()) {
    if (entry.sectors === 0 || entry.type === 0) continue
    if (EXTENDED.includes(entry.type)) found.push(...logicalPartitions(fd, entry.start))
    else found.push(partitionOf(i + 1, entry))
  }
  return found
}

const gptPartitions = (fd: number): Partition[] => {
  const header = readAt(fd, SECTOR_BYTES, SECTOR_BYTES)
  if (header.toString('latin1', 0, 8) !== 'EFI PART') throw new Refusal('read partition table: the protective MBR has no GPT behind it')
  const headerBytes = header.readUInt32LE(12)
  const checked = Buffer.from(header.subarray(0, Math.min(headerBytes, SECTOR_BYTES)))
  checked.fill(0, 16, 20)
  if (headerBytes < 92 || headerBytes > SECTOR_BYTES || crc32(checked) !== header.readUInt32LE(16))
    throw new Refusal('read partition table: the checksum of the GPT is wrong', 'download or make the image again')
  const [count, entryBytes] = [header.readUInt32LE(80), header.readUInt32LE(84)]
  if (count > GPT_ENTRIES_MAX || entryBytes < 128 || entryBytes > GPT_ENTRY_BYTES_MAX)
    throw new Refusal(`read partition table: ${count} entries of ${entryBytes} bytes`)
  const entries = readAt(fd, Number(header.readBigUInt64LE(72)) * SECTOR_BYTES, count * entryBytes)
  if (entries.length < count * entryBytes || crc32(entries) !== header.readUInt32LE(88))
    throw new Refusal('read partition table: the checksum of the GPT’s entries is wrong', 'download or make the image again')
  const found: Partition[] = []
  for (let i = 0; i < count; i++) {
    const entry = entries.subarray(i * entryBytes, (i + 1) * entryBytes)
    if (entry.subarray(0, 16).every(byte => byte === 0)) continue
    const [first, last] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))]
    found.push(partitionOf(i + 1, { start: first, sectors: last - first + 1 }))
  }
  return found
}

/** In the table's order; undefined when there is no table. Throws on one that is damaged or leads outside the image. */
export const readPartitions = (fd: number, sizeBytes: number = fstatSync(fd).size): readonly Partition[] | undefined => {
  const entries = mbrEntries(readAt(fd, 0, SECTOR_BYTES))
  if (entries === undefined) return undefined
  const found = entries.some(entry => entry.type === PROTECTIVE) ? gptPartitions(fd) : mbrPartitions(fd, entries)
  for (const { number, startBytes, sizeBytes: size } of found)
    if (startBytes < SECTOR_BYTES || size <= 0 || startBytes + size > sizeBytes)
      throw new Refusal(`read partition table: partition ${number} leads outside the image`, 'the image is cut short, or damaged')
  return found
}

export type FileSystem = 'ext4' | 'fat' | 'other'

/** What lies at an offset, by its magic numbers. ext4 means ext2 to ext4. */
export const fileSystemAt = (fd: number, startBytes: number): FileSystem => {
  const head = readAt(fd, startBytes, 2048)
  if (head.length < 2048) return 'other'
  if (head.readUInt16LE(1080) === 0xef53) return 'ext4'
  const isFat =
    head.readUInt16LE(510) === 0xaa55 && (head.toString('latin1', 82, 85) === 'FAT' || head.toString('latin1', 54, 57) === 'FAT')
  return isFat ? 'fat' : 'other'
}
