// Nothing from an image is used before its bytes gave the digest they were asked for by.

import { createHash } from 'node:crypto'
import type { Readable, Transform } from 'node:stream'
import type { BlobSource } from './blob-source.ts'
import { tee } from './decompress.ts'
import { DOCUMENT_BYTES_MAX } from './limits.ts'
import type { Descriptor } from './manifest.ts'

export const blobName = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`

export const sha256Of = (bytes: Uint8Array | string): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export interface Meter {
  readonly stream: Transform
  digest(): string
  readonly bytes: number
}

/** Hashes and counts what flows through; more than `bytesMax` ends the stream with an error. */
export const meter = (what: string, bytesMax: number, onBytes?: (count: number) => void): Meter => {
  const hash = createHash('sha256')
  let bytes = 0
  const stream = tee(chunk => {
    bytes += chunk.length
    if (bytes > bytesMax) throw new Error(`read ${what}: more than ${bytesMax} bytes`)
    hash.update(chunk)
    onBytes?.(chunk.length)
  })
  return {
    stream,
    digest: () => `sha256:${hash.digest('hex')}`,
    get bytes() {
      return bytes
    },
  }
}

/** A small file of the source, whole; undefined when it is not there. */
export const readSmall = async (source: BlobSource, name: string): Promise<Buffer | undefined> => {
  const size = await source.size(name)
  if (size === undefined) return undefined
  if (size > DOCUMENT_BYTES_MAX) throw new Error(`read ${name}: ${size} bytes, more than ${DOCUMENT_BYTES_MAX}`)
  const chunks: Buffer[] = []
  for await (const chunk of source.stream(name) as Readable & AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** A JSON blob by its descriptor, verified. */
export const readBlob = async (source: BlobSource, descriptor: Descriptor, what: string): Promise<Buffer> => {
  const bytes = await readSmall(source, blobName(descriptor.digest))
  if (bytes === undefined) throw new Error(`read ${what}: blob ${descriptor.digest} is not in the archive`)
  const found = sha256Of(bytes)
  if (found !== descriptor.digest) throw new Error(`verify ${what}: the bytes of ${descriptor.digest} have digest ${found}`)
  if (bytes.length !== descriptor.sizeBytes)
    throw new Error(`verify ${what}: ${bytes.length} bytes, its descriptor says ${descriptor.sizeBytes}`)
  return bytes
}
