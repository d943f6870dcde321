// Secrets at rest for real: AES-256-GCM with a key from a file of its own, so that a copy of the data without that file says nothing.
// Text is deflated first: sealed bytes do not compress, and flash wears by the byte. Source: NIST SP 800-38D (96-bit random nonces).

import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import { renameSync } from 'node:fs'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import { type ByteSealer, isSealed, SEALED, type Sealer } from '../base/sealer.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32
/** A sealed text that would open to more is not opened. */
const OPENED_BYTES_MAX = 64 * 1024 * 1024
const KEY_TEXT = /^helio-key1:([0-9a-f]{64})\n?$/

/** Nonce, tag, and the bytes encrypted. */
const sealBytes = (key: Uint8Array, name: string, bytes: Uint8Array): Buffer => {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name))
  const sealed = [cipher.update(bytes), cipher.final()]
  return Buffer.concat([nonce, cipher.getAuthTag(), ...sealed])
}

const openBytes = (key: Uint8Array, name: string, sealed: Uint8Array): Buffer | undefined => {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(name)).setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
  const opened = decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES))
  try {
    decipher.final()
    return opened
  } catch (error) {
    // Another key, another name or other bytes: GCM does not tell which, and it does not matter.
    if (error instanceof Error) return undefined
    throw error
  }
}

/** AES-256-GCM with these 32 bytes. */
export const sealerOf = (key: Uint8Array): Sealer => ({
  seal: (name, text) => SEALED + sealBytes(key, name, deflateRawSync(text)).toString('base64'),
  open(name, sealed) {
    if (!isSealed(sealed)) return undefined
    const opened = openBytes(key, name, Buffer.from(sealed.slice(SEALED.length), 'base64'))
    if (opened === undefined) return undefined
    try {
      return inflateRawSync(opened, { maxOutputLength: OPENED_BYTES_MAX }).toString()
    } catch (error) {
      if (error instanceof Error) return undefined
      throw error
    }
  },
})

/**
 * AES-256-GCM for bytes, with a key derived from these 32 bytes, so that one key file may serve a device and a server. Nothing is deflated:
 * a length after deflation tells of what was compressed, and small values would wait longer for the deflating than for the sealing.
 */
export const byteSealerOf = (key: Uint8Array): ByteSealer => {
  const own = new Uint8Array(hkdfSync('sha256', key, '', 'heliopause store', KEY_BYTES))
  return {
    keyId: createHash('sha256').update(own).digest('hex').slice(0, 8),
    seal: (name, bytes) => sealBytes(own, name, bytes),
    open: (name, sealed) => openBytes(own, name, sealed),
  }
}

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

export interface OpenedByteSealer {
  readonly sealer: ByteSealer
  /** The file this key is in, or will be. */
  readonly keyFile: string
  /** There is no such file; the key is in memory only until it is kept. */
  readonly isNew: boolean
  /** Makes a new key durable (0600). Throws. */
  keep(): void
}

/** The sealer of a key file, which is left as it is whatever it holds. Throws an ApiError with a hint when that is not a key. */
export const openByteSealer = (files: Files, keyFile: string): OpenedByteSealer => {
  let text: string | undefined
  try {
    text = files.read(keyFile)
  } catch (error) {
    throw new ApiError('Forbidden', `read key file ${keyFile}: ${messageOf(error)}`, { cause: error, hint: 'check its owner and its mode' })
  }
  const [, hex] = KEY_TEXT.exec(text ?? '') ?? []
  if (text !== undefined && hex === undefined)
    throw new ApiError('Invalid', `read key file ${keyFile}: it does not hold a key`, {
      hint: 'put the right file back; only where no Secret was ever stored may it be removed, for a new one',
    })
  const key = hex === undefined ? randomBytes(KEY_BYTES) : Buffer.from(hex, 'hex')
  return {
    sealer: byteSealerOf(key),
    keyFile,
    isNew: hex === undefined,
    keep() {
      if (hex === undefined) files.write(keyFile, `helio-key1:${key.toString('hex')}\n`, 0o600)
    },
  }
}
