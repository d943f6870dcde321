// DER as far as X.509 and PKCS#10 need it: a writer of definite, minimal lengths and a strict reader that refuses everything else.
// Source: ITU-T X.690 sections 8 and 10.

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** A structure with more members than this is refused: no certificate or request we read comes near. */
export const MEMBERS_MAX = 64
/** Lengths need at most three bytes; longer input is refused before anything is allocated. */
const LENGTH_BYTES_MAX = 3

/** One value as read: `content` without, `whole` with its tag and length. Views on the input, not copies. */
export interface Element {
  readonly tag: number
  readonly content: Uint8Array
  readonly whole: Uint8Array
}

export const concat = (parts: readonly Uint8Array[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

const lengthBytes = (length: number): number[] => {
  if (length < 0x80) return [length]
  const bytes: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return [0x80 | bytes.length, ...bytes]
}

/** Any tag around the parts, joined. */
export const value = (tag: number, ...parts: readonly Uint8Array[]): Uint8Array => {
  const content = concat(parts)
  return concat([Uint8Array.from([tag, ...lengthBytes(content.length)]), content])
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => value(TAG.sequence, ...parts)
export const set = (...parts: readonly Uint8Array[]): Uint8Array => value(TAG.set, ...parts)
export const octetString = (...parts: readonly Uint8Array[]): Uint8Array => value(TAG.octetString, ...parts)
export const boolean = (flag: boolean): Uint8Array => value(TAG.boolean, Uint8Array.of(flag ? 0xff : 0))

/** `[n]` constructed (EXPLICIT, or IMPLICIT around a structure). */
export const context = (n: number, ...parts: readonly Uint8Array[]): Uint8Array => value(0xa0 | n, ...parts)
/** `[n] IMPLICIT` around a primitive. */
export const contextPrimitive = (n: number, content: Uint8Array): Uint8Array => value(0x80 | n, content)

/** A non-negative INTEGER from big-endian bytes; leading zeros are dropped, a sign byte is added where needed. */
export const integer = (bytes: Uint8Array): Uint8Array => {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = bytes.length === 0 ? Uint8Array.of(0) : bytes.subarray(start)
  return digits[0]! >= 0x80 ? value(TAG.integer, Uint8Array.of(0), digits) : value(TAG.integer, digits)
}

export const bitString = (bytes: Uint8Array, unusedBits = 0): Uint8Array => value(TAG.bitString, Uint8Array.of(unusedBits), bytes)

/** An OBJECT IDENTIFIER from its dotted form, such as `2.5.4.3`. */
export const oid = (dotted: string): Uint8Array => {
  const arcs = dotted.split('.').map(Number)
  const bytes: number[] = []
  for (const arc of [arcs[0]! * 40 + arcs[1]!, ...arcs.slice(2)]) {
    const group = [arc % 128]
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) group.unshift(0x80 | (rest % 128))
    bytes.push(...group)
  }
  return value(TAG.oid, Uint8Array.from(bytes))
}

/** The dotted form of an OBJECT IDENTIFIER's content; `''` when it is not one. */
export const dotted = (content: Uint8Array): string => {
  const arcs: number[] = []
  let arc = 0
  for (const [i, byte] of content.entries()) {
    if (arc === 0 && byte === 0x80) return ''
    arc = arc * 128 + (byte & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER / 256) return ''
    if (byte >= 0x80) {
      if (i === content.length - 1) return ''
      continue
    }
    if (arcs.length === 0) {
      const first = Math.min(2, Math.floor(arc / 40))
      arcs.push(first, arc - first * 40)
    } else arcs.push(arc)
    arc = 0
  }
  return arcs.join('.')
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, c => c.charCodeAt(0))

/** Time as RFC 5280 4.1.2.5 wants it: UTCTime for 1950 to 2049, GeneralizedTime for other years up to 9999. Whole seconds, rounded down. */
export const time = (ms: number): Uint8Array => {
  const iso = new Date(ms).toISOString()
  if (iso.length !== 24) throw new Error(`write DER: time ${ms} is outside the years 0 to 9999`)
  const digits = iso.slice(0, 19).replace(/[-:T]/g, '')
  const year = Number(digits.slice(0, 4))
  return year >= 1950 && year < 2050 ? value(TAG.utcTime, ascii(`${digits.slice(2)}Z`)) : value(TAG.generalizedTime, ascii(`${digits}Z`))
}

const refuse = (why: string): never => {
  throw new Error(`read DER: ${why}`)
}

const readLength = (bytes: Uint8Array, at: number): { readonly length: number; readonly next: number } => {
  const first = bytes[at] ?? refuse('the input ends inside a length')
  if (first < 0x80) return { length: first, next: at + 1 }
  const count = first & 0x7f
  if (count === 0) return refuse('a length is indefinite')
  if (count > LENGTH_BYTES_MAX) return refuse('a length is too large')
  let length = 0
  for (let i = 1; i <= count; i++) length = length * 256 + (bytes[at + i] ?? refuse('the input ends inside a length'))
  if (length < 0x80 || length < 256 ** (count - 1)) return refuse('a length is not minimal')
  return { length, next: at + 1 + count }
}

const readAt = (bytes: Uint8Array, at: number): { readonly element: Element; readonly next: number } => {
  const tag = bytes[at] ?? refuse('the input is empty')
  if ((tag & 0x1f) === 0x1f) return refuse('a tag has more than one byte')
  const { length, next } = readLength(bytes, at + 1)
  const end = next + length
  if (end > bytes.length) return refuse('the input ends inside a value')
  return { element: { tag, content: bytes.subarray(next, end), whole: bytes.subarray(at, end) }, next: end }
}

/** Exactly one value, nothing behind it. Throws `read DER: …` on anything else. */
export const read = (bytes: Uint8Array): Element => {
  const { element, next } = readAt(bytes, 0)
  if (next !== bytes.length) return refuse('bytes follow the value')
  return element
}

/** The members of a constructed value, at most MEMBERS_MAX. */
export const members = (element: Element): readonly Element[] => {
  if ((element.tag & 0x20) === 0) return refuse('a structure was expected')
  const out: Element[] = []
  for (let at = 0; at < element.content.length; ) {
    if (out.length === MEMBERS_MAX) return refuse(`a structure has more than ${MEMBERS_MAX} members`)
    const { element: member, next } = readAt(element.content, at)
    out.push(member)
    at = next
  }
  return out
}

/** The member, which must be there and have this tag. */
export const expect = (element: Element | undefined, tag: number, what: string): Element =>
  element?.tag === tag ? element : refuse(`${what} is missing or has the wrong tag`)
