// The link's byte functions on Node: Buffer, TextDecoder and zlib, all synchronous and without state.

import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { Codec } from './codec.ts'

const withDictionary = (dictionary: Uint8Array): { readonly dictionary?: Uint8Array } => (dictionary.length > 0 ? { dictionary } : {})

/** Runs a platform function that throws on damaged input; the input's damage is the answer, not an error of ours. */
const orUndefined = <T>(decode: () => T): T | undefined => {
  try {
    return decode()
  } catch (error) {
    if (error instanceof Error) return undefined
    throw error
  }
}

/** In memory of just its size: what is kept of a shared pool or of zlib's output keeps the whole of it, and documents and patches are kept. */
const encode = (text: string): Uint8Array => {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text))
  bytes.write(text, 'utf8')
  return bytes
}

const exact = (bytes: Uint8Array): Uint8Array => Uint8Array.prototype.slice.call(bytes)

/** The codec around a SHA-256 (the one of Pki). */
export const nodeCodec = (sha256: (bytes: Uint8Array) => string): Codec => ({
  sha256,
  encode,
  decode: bytes => orUndefined(() => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)),
  toBase64: bytes => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
  fromBase64: text => Buffer.from(text, 'base64'),
  deflate: (bytes, dictionary) => exact(deflateRawSync(bytes, { level: 9, ...withDictionary(dictionary) })),
  inflate: (bytes, dictionary, bytesMax) =>
    orUndefined(() => inflateRawSync(bytes, { maxOutputLength: Math.max(1, bytesMax), ...withDictionary(dictionary) })),
})
