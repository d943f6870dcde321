// The protobuf wire format: a message is a row of numbered values. Untrusted bytes: every length is checked before it is used.
// Source: protobuf encoding specification.

import { badRequest } from './refusal.ts'

/** A varint, or the bytes of a length-delimited or fixed-size value. */
export type WireValue = bigint | Buffer

export interface Wire {
  readonly number: number
  readonly value: WireValue
}

const truncated = (): Error => badRequest('the object provided is unrecognized: protobuf: the message is cut off or malformed')

interface Reader {
  readonly bytes: Buffer
  at: number
}

const VARINT_BYTES_MAX = 10

const varint = (reader: Reader): bigint => {
  let result = 0n
  for (let i = 0; i < VARINT_BYTES_MAX; i++) {
    const byte = reader.bytes[reader.at++]
    if (byte === undefined) break
    result |= BigInt(byte & 127) << BigInt(7 * i)
    if (byte < 128) return result
  }
  throw truncated()
}

const slice = (reader: Reader, length: number): Buffer => {
  const end = reader.at + length
  if (!(end <= reader.bytes.length)) throw truncated()
  const found = reader.bytes.subarray(reader.at, end)
  reader.at = end
  return found
}

/** The values of a message in order; throws 400 when the bytes are malformed. */
export const wires = (bytes: Buffer): Wire[] => {
  const reader: Reader = { bytes, at: 0 }
  const found: Wire[] = []
  while (reader.at < bytes.length) {
    const tag = Number(varint(reader))
    const [number, type] = [Math.floor(tag / 8), tag % 8]
    if (type === 0) found.push({ number, value: varint(reader) })
    else if (type === 1) found.push({ number, value: slice(reader, 8) })
    else if (type === 2) found.push({ number, value: slice(reader, Number(varint(reader))) })
    else if (type === 5) found.push({ number, value: slice(reader, 4) })
    else throw truncated()
  }
  return found
}
