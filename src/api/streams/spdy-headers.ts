// SPDY/3 header blocks. They are one compressed stream per direction; each block ends at a byte (sync flush), so a block is inflated on its
// own with what came before as its dictionary: no lasting decompressor, and a bomb is cut off at the bound. What we send is not compressed:
// stored blocks are valid deflate. Source: SPDY protocol draft 3.1, section 2.6.10; RFC 1950, 1951.

import { constants, inflateRawSync } from 'node:zlib'
import { HEADER_BLOCK_BYTES_MAX, HEADERS_MAX } from './limits.ts'
import { SPDY_DICTIONARY } from './spdy-dictionary.ts'

/** Deflate looks back no further. */
const WINDOW_BYTES = 32 * 1024
const FDICT = 0x20

export type SpdyHeaders = ReadonlyMap<string, string>

/** Length of the zlib header a stream begins with; undefined when it is none of ours. */
const prelude = (block: Buffer): number | undefined => {
  if (block.length < 2 || (block[0]! & 0x0f) !== 8 || block.readUInt16BE(0) % 31 !== 0) return undefined
  return (block[1]! & FDICT) === 0 ? 2 : 6
}

const parse = (bytes: Buffer): SpdyHeaders => {
  const state = { at: 0 }
  const number = (): number => {
    if (state.at + 4 > bytes.length) throw new Error('a header block ends too soon')
    state.at += 4
    return bytes.readUInt32BE(state.at - 4)
  }
  const text = (): string => {
    const length = number()
    if (length > bytes.length - state.at) throw new Error('a header block ends too soon')
    state.at += length
    return bytes.toString('utf8', state.at - length, state.at)
  }
  const count = number()
  if (count > HEADERS_MAX) throw new Error(`a header block has more than ${HEADERS_MAX} names`)
  const headers = new Map<string, string>()
  for (let i = 0; i < count; i++) {
    const name = text().toLowerCase()
    // Several values of one name are parted by zeros; the first counts.
    headers.set(name, text().split('\0')[0] ?? '')
  }
  return headers
}

/** Reads the header blocks of one connection, in order. Throws when one is damaged or too large; the connection cannot go on then. */
export const createHeaderReader = (): ((block: Buffer) => SpdyHeaders) => {
  const state: { window: Buffer | undefined } = { window: undefined }
  return block => {
    const skip = state.window === undefined ? prelude(block) : 0
    if (skip === undefined) throw new Error('a header block is not compressed as it should be')
    const dictionary = state.window ?? SPDY_DICTIONARY
    const bytes = inflateRawSync(block.subarray(skip), {
      dictionary,
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: HEADER_BLOCK_BYTES_MAX,
    })
    state.window = Buffer.concat([dictionary, bytes]).subarray(-WINDOW_BYTES)
    return parse(bytes)
  }
}

/** zlib's header without a dictionary, once a connection. */
const ZLIB_HEADER = Buffer.from([0x78, 0x01])

/** An empty stored block: readers give out what came before only when they meet it (sync flush). */
const FLUSH = Buffer.from([0, 0, 0, 0xff, 0xff])

/** Writes header blocks of one connection, in order. */
export const createHeaderWriter = (): ((headers: SpdyHeaders) => Buffer) => {
  const state = { begun: false }
  const counted = (text: string): Buffer => {
    const bytes = Buffer.from(text)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  return headers => {
    const count = Buffer.alloc(4)
    count.writeUInt32BE(headers.size)
    const content = Buffer.concat([count, ...[...headers].flatMap(([name, value]) => [counted(name), counted(value)])])
    const stored = Buffer.alloc(5)
    stored.writeUInt16LE(content.length, 1)
    stored.writeUInt16LE(~content.length & 0xffff, 3)
    const block = [...(state.begun ? [] : [ZLIB_HEADER]), stored, content, FLUSH]
    state.begun = true
    return Buffer.concat(block)
  }
}
