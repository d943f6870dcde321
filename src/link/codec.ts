// The platform's pure functions on bytes, as a seam: the sessions are pure and may not know Buffer or zlib. node-codec.ts is the real one.

export interface Codec {
  /** Hex SHA-256. */
  sha256(bytes: Uint8Array): string
  encode(text: string): Uint8Array
  /** Undefined when the bytes are not UTF-8. */
  decode(bytes: Uint8Array): string | undefined
  toBase64(bytes: Uint8Array): string
  /** The text has been checked to be base64. */
  fromBase64(text: string): Uint8Array
  /** Raw deflate; `dictionary` may be empty. */
  deflate(bytes: Uint8Array, dictionary: Uint8Array): Uint8Array
  /** Undefined when the bytes are damaged or would grow beyond `bytesMax`. */
  inflate(bytes: Uint8Array, dictionary: Uint8Array, bytesMax: number): Uint8Array | undefined
}
