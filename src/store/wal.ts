// Reads a write-ahead log as SQLite would, to see what SQLite does not say: that committed transactions lie behind a damaged place.
// SQLite stops at the first frame whose checksum is wrong and calls the rest of the file old. Source: sqlite.org/fileformat2.html section 4.

import { readFile } from 'node:fs/promises'

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const MAGIC = 0x377f_0682

export interface WalReport {
  /** Frames SQLite will use. */
  readonly frames: number
  /** Commit marks behind the first damaged frame, of the same generation of the log. */
  readonly commitsBehind: number
}

/** The running checksum of the format: pairs of 32-bit words, big or little endian. */
const extend = (view: DataView, from: number, to: number, big: boolean, sum: readonly [number, number]): [number, number] => {
  let [a, b] = sum
  for (let at = from; at < to; at += 8) {
    a = (a + view.getUint32(at, !big) + b) | 0
    b = (b + view.getUint32(at + 4, !big) + a) | 0
  }
  return [a, b]
}

const holds = (view: DataView, at: number, [a, b]: readonly [number, number]): boolean =>
  view.getUint32(at) === a >>> 0 && view.getUint32(at + 4) === b >>> 0

/** Salts of a header or of a frame, as one comparable value. */
const salts = (view: DataView, at: number): string => `${view.getUint32(at)}/${view.getUint32(at + 4)}`

export const inspectWalBytes = (bytes: Uint8Array, pageSize: number): WalReport => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < HEADER_BYTES + FRAME_HEADER_BYTES + pageSize) return { frames: 0, commitsBehind: 0 }
  const magic = view.getUint32(0)
  const big = (magic & 1) === 1
  let sum = extend(view, 0, 24, big, [0, 0])
  const headerHolds = (magic & ~1) >>> 0 === MAGIC && view.getUint32(8) === pageSize && holds(view, 24, sum)
  const generation = salts(view, headerHolds ? 16 : HEADER_BYTES + 8)
  const frameBytes = FRAME_HEADER_BYTES + pageSize
  let frames = 0
  let commitsBehind = 0
  let good = headerHolds
  for (let at = HEADER_BYTES; at + frameBytes <= bytes.length; at += frameBytes) {
    const current = salts(view, at + 8) === generation
    if (good) {
      sum = extend(view, at, at + 8, big, sum)
      sum = extend(view, at + FRAME_HEADER_BYTES, at + frameBytes, big, sum)
      good = current && holds(view, at + 16, sum)
    }
    if (good) frames++
    else if (current && view.getUint32(at + 4) > 0) commitsBehind++
  }
  return { frames, commitsBehind }
}

/** The report on a WAL file of a database with pages of 4 KiB. */
export const inspectWal = async (file: string): Promise<WalReport> => inspectWalBytes(await readFile(file), 4096)
