// Compression found by its first bytes, as media types lie more often than magic numbers: none, gzip or zstd, as a stream.
// Memory is bounded: zlib by its buffers, zstd by the slices it is fed and the window a frame may ask for.

import { Readable, Transform } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { Decompress } from 'fzstd'
import { ZSTD_SLICE_BYTES, ZSTD_WINDOW_BYTES_MAX } from './limits.ts'

export type Compression = 'none' | 'gzip' | 'zstd'

/** Bytes needed to tell. */
export const MAGIC_BYTES = 18

export const compressionOf = (head: Uint8Array): Compression => {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return 'zstd'
  return 'none'
}

/** Window size a zstd frame header asks for. Source: RFC 8878, section 3.1.1.1. */
export const zstdWindowBytes = (head: Uint8Array): number => {
  const flags = head[4] ?? 0
  if ((flags & 0x20) === 0) {
    const window = head[5] ?? 0
    const base = 2 ** (10 + (window >> 3))
    return base + (base / 8) * (window & 7)
  }
  const sizeBytes = [1, 2, 4, 8][flags >> 6] ?? 1
  const at = 5 + ([0, 1, 2, 4][flags & 3] ?? 0)
  let size = 0
  for (let i = sizeBytes - 1; i >= 0; i--) size = size * 256 + (head[at + i] ?? 0)
  return sizeBytes === 2 ? size + 256 : size
}

async function* zstdChunks(input: AsyncIterable<Buffer>): AsyncGenerator<Uint8Array> {
  const out: Uint8Array[] = []
  const decoder = new Decompress(chunk => {
    if (chunk.length > 0) out.push(chunk)
  })
  for await (const chunk of input) {
    for (let at = 0; at < chunk.length; at += ZSTD_SLICE_BYTES) {
      decoder.push(chunk.subarray(at, at + ZSTD_SLICE_BYTES))
      yield* out.splice(0)
    }
  }
  decoder.push(new Uint8Array(0), true)
  yield* out.splice(0)
}

/** The decompressed stream of `input`, whose first bytes are `head`. Errors of `input` come out of the result. */
export const decompressed = (input: Readable, head: Uint8Array): Readable => {
  const compression = compressionOf(head)
  if (compression === 'none') return input
  if (compression === 'zstd' && zstdWindowBytes(head) > ZSTD_WINDOW_BYTES_MAX)
    throw new Error(`decompress: a zstd window of ${zstdWindowBytes(head)} bytes is larger than ${ZSTD_WINDOW_BYTES_MAX}`)
  if (compression === 'zstd') return Readable.from(zstdChunks(input), { objectMode: false })
  const gunzip = createGunzip()
  input.on('error', error => gunzip.destroy(error))
  gunzip.on('close', () => input.destroy())
  return input.pipe(gunzip)
}

/** Passes bytes on and shows them to `see`, which may throw to end the stream. */
export const tee = (see: (chunk: Buffer) => void): Transform =>
  new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        see(chunk)
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)))
        return
      }
      done(null, chunk)
    },
  })
