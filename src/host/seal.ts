// Secrets at rest for real: AES-256-GCM with a key from a file of its own, so that a copy of the data without that file says nothing.
// Text is deflated first: sealed bytes do not compress, and flash wears by the byte. Source: NIST SP 800-38D (96-bit random nonces).

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { renameSync } from 'node:fs'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { messageOf } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import { isSealed, SEALED, type Sealer } from '../base/sealer.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32
/** A sealed text that would open to more is not opened. */
const OPENED_BYTES_MAX = 64 * 1024 * 1024
const KEY_TEXT = /^helio-key1:([0-9a-f]{64})\n?$/

/** AES-256-GCM with these 32 bytes. */
export const sealerOf = (key: Uint8Array): Sealer => ({
  seal(name, text) {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name))
    const sealed = Buffer.concat([cipher.update(deflateRawSync(text)), cipher.final()])
    return SEALED + Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64')
  },
  open(name, sealed) {
    if (!isSealed(sealed)) return undefined
    const bytes = Buffer.from(sealed.slice(SEALED.length), 'base64')
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
      decipher.setAAD(Buffer.from(name)).setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
      const opened = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
      return inflateRawSync(opened, { maxOutputLength: OPENED_BYTES_MAX }).toString()
    } catch (error) {
      // Another key, another name or other bytes: GCM does not tell which, and it does not matter.
      if (error instanceof Error) return undefined
      throw error
    }
  },
})

export interface OpenedSealer {
  readonly sealer: Sealer
  /** The key is new; what was sealed before does not open any more. */
  readonly made: boolean
  /** The key file can be neither read nor made: what is sealed in this run opens in no other. */
  readonly problem?: string
}

/** The sealer of a key file, made (0600) where there is none. */
export const openSealer = (files: Files, path: string): OpenedSealer => {
  const key = randomBytes(KEY_BYTES)
  try {
    const text = files.read(path)
    const [, hex] = KEY_TEXT.exec(text ?? '') ?? []
    if (hex !== undefined) return { sealer: sealerOf(Buffer.from(hex, 'hex')), made: false }
    // Kept for whoever can mend it.
    if (text !== undefined) renameSync(path, `${path}.damaged`)
    files.write(path, `helio-key1:${key.toString('hex')}\n`, 0o600)
    return { sealer: sealerOf(key), made: true }
  } catch (error) {
    return { sealer: sealerOf(key), made: true, problem: messageOf(error) }
  }
}
