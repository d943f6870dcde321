// Base64 of UTF-8 text and the size of what a base64 text holds, without a platform's buffer. Source: RFC 4648 section 4.

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

const utf8 = (text: string): number[] => {
  const bytes: number[] = []
  for (const symbol of text) {
    let point = symbol.codePointAt(0) ?? 0
    // A lone surrogate has no UTF-8 form.
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd
    if (point < 0x80) bytes.push(point)
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 63))
    else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63))
    else bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63))
  }
  return bytes
}

/** Standard base64, padded, of the text's UTF-8. */
export const base64Of = (text: string): string => {
  const bytes = utf8(text)
  const quads: string[] = []
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b, c] = bytes.slice(i, i + 3)
    const word = (a << 16) | ((b ?? 0) << 8) | (c ?? 0)
    const last = c === undefined ? '=' : ALPHABET[word & 63]
    const third = b === undefined ? '=' : ALPHABET[(word >> 6) & 63]
    quads.push(`${ALPHABET[word >> 18]}${ALPHABET[(word >> 12) & 63]}${third}${last}`)
  }
  return quads.join('')
}

/** How many bytes a valid, padded base64 text holds. */
export const base64Size = (text: string): number => (text.length / 4) * 3 - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0)

/** The bytes of a valid, padded base64 text, each as one character (Latin-1): enough to look for ASCII and JSON. */
export const base64Latin1 = (text: string): string => {
  const out: string[] = []
  for (let i = 0; i < text.length; i += 4) {
    const [a = 0, b = 0, c = -1, d = -1] = [...text.slice(i, i + 4)].map(symbol => ALPHABET.indexOf(symbol))
    out.push(String.fromCharCode((a << 2) | (b >> 4)))
    if (c >= 0) out.push(String.fromCharCode(((b & 15) << 4) | (c >> 2)))
    if (d >= 0) out.push(String.fromCharCode(((c & 3) << 6) | d))
  }
  return out.join('')
}
