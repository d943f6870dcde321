// CRC-32 (IEEE 802.3) of stored rows: SQLite's own check sees damaged pages, not a flipped bit inside a value.

import * as zlib from 'node:zlib'

const TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let c = i
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xed_b8_83_20 : c >>> 1
  return c >>> 0
})

/** For Node before 20.15, which has none of its own. */
export const plainCrc32 = (bytes: Uint8Array, seed = 0): number => {
  let c = ~seed
  for (let i = 0; i < bytes.length; i++) c = TABLE[(c ^ bytes[i]!) & 255]! ^ (c >>> 8)
  return ~c >>> 0
}

export const crc32: (bytes: Uint8Array, seed?: number) => number = zlib.crc32 ?? plainCrc32

/** Covers everything a row says: its value, its key and its revisions. */
export const rowSum = (row: {
  readonly key: string
  readonly revision: number
  readonly createRevision: number
  readonly value: Uint8Array
}) => crc32(Buffer.from(`${row.key}\n${row.revision}\n${row.createRevision}`), crc32(row.value))
