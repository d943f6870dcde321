// A document as it travels: what differs from the one the device has, deflated. Eight bytes name how much of the old document's
// start and end stay; the middle is deflated with the old document's bytes around it as dictionary. Without an old one it is plain deflate.

import type { Codec } from './codec.ts'
import { PATCH_WINDOW_BYTES } from './limits.ts'

const HEADER_BYTES = 8
const NOTHING = new Uint8Array(0)

const sharedStart = (a: Uint8Array, b: Uint8Array): number => {
  const end = Math.min(a.length, b.length)
  let i = 0
  while (i < end && a[i] === b[i]) i++
  return i
}

const sharedEnd = (a: Uint8Array, b: Uint8Array, max: number): number => {
  let i = 0
  while (i < max && a[a.length - 1 - i] === b[b.length - 1 - i]) i++
  return i
}

/** The stretch of the old document around the change that deflate may refer to. */
const dictionaryOf = (base: Uint8Array, start: number): Uint8Array => {
  const from = Math.max(0, Math.min(start - PATCH_WINDOW_BYTES / 4, base.length - PATCH_WINDOW_BYTES))
  return base.subarray(from, from + PATCH_WINDOW_BYTES)
}

/** The bytes that turn `base` (or nothing) into `bytes`. */
export const makePatch = (codec: Codec, bytes: Uint8Array, base: Uint8Array | undefined): Uint8Array => {
  const old = base ?? NOTHING
  const start = sharedStart(old, bytes)
  const end = sharedEnd(old, bytes, Math.min(old.length, bytes.length) - start)
  const body = codec.deflate(bytes.subarray(start, bytes.length - end), dictionaryOf(old, start))
  const out = new Uint8Array(HEADER_BYTES + body.length)
  const header = new DataView(out.buffer)
  header.setUint32(0, start)
  header.setUint32(4, end)
  out.set(body, HEADER_BYTES)
  return out
}

/** Undoes `makePatch`; undefined when the patch is damaged, does not fit `base`, or does not give exactly `size` bytes. */
export const applyPatch = (codec: Codec, patch: Uint8Array, base: Uint8Array | undefined, size: number): Uint8Array | undefined => {
  const old = base ?? NOTHING
  if (patch.length < HEADER_BYTES) return undefined
  const header = new DataView(patch.buffer, patch.byteOffset, HEADER_BYTES)
  const start = header.getUint32(0)
  const end = header.getUint32(4)
  if (start + end > old.length || start + end > size) return undefined
  const middle = codec.inflate(patch.subarray(HEADER_BYTES), dictionaryOf(old, start), size - start - end)
  if (middle?.length !== size - start - end) return undefined
  const out = new Uint8Array(size)
  out.set(old.subarray(0, start))
  out.set(middle, start)
  out.set(old.subarray(old.length - end), size - end)
  return out
}
