// Secrets at rest as a seam: texts leave memory sealed under their name, and come back only under the same name and key. The real one is
// in host/seal.ts.

export interface Sealer {
  /** Printable text; different each time. `name` is bound to it: a sealed value moved elsewhere does not open there. */
  seal(name: string, text: string): string
  /** Undefined when it was sealed with another key or under another name, or was changed. */
  open(name: string, sealed: string): string | undefined
}

/** What every sealed text begins with; no JSON does. */
export const SEALED = 'sealed1:'
export const isSealed = (text: string): boolean => text.startsWith(SEALED)

/** The same for bytes, by a key that can be told from others. */
export interface ByteSealer {
  /** Eight hexadecimal digits; they say which key it is and nothing about it. */
  readonly keyId: string
  seal(name: string, bytes: Uint8Array): Uint8Array
  open(name: string, sealed: Uint8Array): Uint8Array | undefined
}
