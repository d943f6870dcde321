// Several byte streams on one: a frame is a channel (1 byte), a length (4 bytes, most significant first) and so many bytes. Read piece by
// piece as they come; a frame longer than the bound is refused before it is gathered. Pure.

export const CHANNEL_FRAME_BYTES_MAX = 64 * 1024
const HEADER_BYTES = 5

export interface ChannelFrame {
  readonly channel: number
  readonly data: Uint8Array
}

/** One frame, or several where the data is longer than one takes; empty data is a frame too. */
export const channelFrames = (channel: number, data: Uint8Array): Uint8Array => {
  const pieces = Math.max(1, Math.ceil(data.length / CHANNEL_FRAME_BYTES_MAX))
  const out = new Uint8Array(data.length + pieces * HEADER_BYTES)
  for (let i = 0, at = 0; i < pieces; i++) {
    const piece = data.subarray(i * CHANNEL_FRAME_BYTES_MAX, (i + 1) * CHANNEL_FRAME_BYTES_MAX)
    out[at] = channel
    new DataView(out.buffer).setUint32(at + 1, piece.length)
    out.set(piece, at + HEADER_BYTES)
    at += HEADER_BYTES + piece.length
  }
  return out
}

const joined = (a: Uint8Array, b: Uint8Array): Uint8Array => {
  if (a.length === 0) return b
  const out = new Uint8Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}

/** Gives the frames that are whole with each piece, in order; throws RangeError for one above the bound. */
export const channelReader = (): ((piece: Uint8Array) => ChannelFrame[]) => {
  const held = { bytes: new Uint8Array(0) as Uint8Array }
  return piece => {
    const frames: ChannelFrame[] = []
    let bytes = joined(held.bytes, piece)
    while (bytes.length >= HEADER_BYTES) {
      const sizeBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1)
      if (sizeBytes > CHANNEL_FRAME_BYTES_MAX)
        throw new RangeError(`read frame: ${sizeBytes} bytes are more than ${CHANNEL_FRAME_BYTES_MAX}`)
      if (bytes.length < HEADER_BYTES + sizeBytes) break
      frames.push({ channel: bytes[0] ?? 0, data: bytes.slice(HEADER_BYTES, HEADER_BYTES + sizeBytes) })
      bytes = bytes.subarray(HEADER_BYTES + sizeBytes)
    }
    held.bytes = bytes.slice()
    return frames
  }
}
