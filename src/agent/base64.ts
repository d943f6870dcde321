// Text out of base64 with the language alone, so that pure code can read Secrets. RFC 4648; UTF-8 with U+FFFD for what is none.

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const VALUES = new Map([...ALPHABET].map((char, index) => [char, index]))

/** The bytes; characters outside the alphabet are skipped, as lenient decoders do. */
export const base64Bytes = (base64: string): number[] => {
  const bytes: number[] = []
  let bits = 0
  let held = 0
  for (const char of base64) {
    const value = VALUES.get(char)
    if (value === undefined) continue
    held = ((held << 6) | value) & 0xffff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes.push((held >> bits) & 0xff)
    }
  }
  return bytes
}

/** How many bytes follow a leading byte, and what of it is value; undefined for a byte that leads nothing. */
const lead = (byte: number): readonly [number, number] | undefined => {
  if (byte < 0x80) return [0, byte]
  if (byte >= 0xc2 && byte < 0xe0) return [1, byte & 0x1f]
  if (byte >= 0xe0 && byte < 0xf0) return [2, byte & 0x0f]
  if (byte >= 0xf0 && byte < 0xf5) return [3, byte & 0x07]
  return undefined
}

export const base64Text = (base64: string): string => {
  const bytes = base64Bytes(base64)
  const parts: string[] = []
  for (let i = 0; i < bytes.length; i++) {
    const start = lead(bytes[i] ?? 0)
    let code = start?.[1] ?? 0xfffd
    let left = start?.[0] ?? 0
    let at = i
    for (; left > 0; left--) {
      const next = bytes[at + 1] ?? 0
      if ((next & 0xc0) !== 0x80) break
      code = (code << 6) | (next & 0x3f)
      at++
    }
    const valid = left === 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000)
    parts.push(String.fromCodePoint(valid ? code : 0xfffd))
    i = at
  }
  return parts.join('')
}
