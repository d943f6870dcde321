// The sealing of a conversation through a broker that is not trusted: who speaks is proved by signatures over both sides' fresh X25519
// keys, what is said is sealed by ChaCha20-Poly1305 with a key for each direction. The broker sees who talks, when and how much; it can
// delay or drop, and neither read, change, replay nor speak for anybody. Sources: RFC 7748, RFC 5869, RFC 8439; SIGMA's order of signing.

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto'
import { sealedHeader, TAG_BYTES } from './broker-frames.ts'

const CIPHER = 'chacha20-poly1305'
const KEY_BYTES = 32
const NONCE_BYTES = 12
/** SubjectPublicKeyInfo of an X25519 key up to its 32 raw bytes (RFC 8410). */
const X25519_PREFIX = Buffer.from('302a300506032b656e032100', 'hex')

/** Both keys of one conversation in one piece, `up` (the device's direction) first: a server keeps them for every device. */
export type SealKeys = Uint8Array

export type Direction = 'up' | 'down'

export const keyOf = (keys: SealKeys, direction: Direction): Uint8Array =>
  direction === 'up' ? keys.subarray(0, KEY_BYTES) : keys.subarray(KEY_BYTES)

/** What an opening binds together; a signature for one conversation says nothing about any other. */
export interface Transcript {
  readonly cluster: string
  readonly device: string
  readonly conversation: Uint8Array
  readonly deviceEphemeral: Uint8Array
  readonly certificateDigest: Uint8Array
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const digestOf = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest()

/** What the device signs with its own key. */
export const openingText = ({ cluster, device, conversation, deviceEphemeral, certificateDigest }: Transcript): string =>
  `helio-opening-v1\n${cluster}\n${device}\n${hex(conversation)}\n${hex(deviceEphemeral)}\n${hex(certificateDigest)}`

/** What the server signs with the key that signs heads. */
export const acceptText = (transcript: Transcript, serverEphemeral: Uint8Array): string =>
  `helio-accept-v1\n${hex(digestOf(openingText(transcript)))}\n${hex(serverEphemeral)}`

export interface Ephemeral {
  readonly privateKey: KeyObject
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array
}

export const newEphemeral = (): Ephemeral => {
  const { publicKey, privateKey } = generateKeyPairSync('x25519')
  return { privateKey, publicKey: publicKey.export({ type: 'spki', format: 'der' }).subarray(X25519_PREFIX.length) }
}

/** The keys both sides come to. Throws when the other side's key is none (a point of small order). */
export const sealKeys = (mine: KeyObject, theirs: Uint8Array, transcript: Transcript, serverEphemeral: Uint8Array): SealKeys => {
  const publicKey = createPublicKey({ key: Buffer.concat([X25519_PREFIX, theirs]), format: 'der', type: 'spki' })
  const secret = diffieHellman({ privateKey: mine, publicKey })
  const salt = digestOf(acceptText(transcript, serverEphemeral))
  // A copy: as small as this it lies on the heap, where what the function returns has memory of its own.
  return Uint8Array.from(new Uint8Array(hkdfSync('sha256', secret, salt, 'helio-seal-v1', 2 * KEY_BYTES)))
}

/** ECDSA over SHA-256, or the key's own way. */
const digestFor = (key: KeyObject): string | null => (key.asymmetricKeyType === 'ed25519' ? null : 'sha256')

export const signOpening = (key: KeyObject, transcript: Transcript): Uint8Array =>
  cryptoSign(digestFor(key), Buffer.from(openingText(transcript)), key)

export const verifyOpening = (key: KeyObject, transcript: Transcript, signature: Uint8Array): boolean =>
  cryptoVerify(digestFor(key), Buffer.from(openingText(transcript)), key, signature)

const nonceOf = (sequence: number): Buffer => {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeUInt32BE(sequence, NONCE_BYTES - 4)
  return nonce
}

/** One message: header, sealed body, tag. A key must never see the same sequence number twice. */
export const seal = (key: Uint8Array, conversation: Uint8Array, sequence: number, body: Uint8Array): Uint8Array => {
  const header = sealedHeader(conversation, sequence)
  const cipher = createCipheriv(CIPHER, key, nonceOf(sequence), { authTagLength: TAG_BYTES })
  cipher.setAAD(header, { plaintextLength: body.length })
  const sealed = cipher.update(body)
  cipher.final()
  return Buffer.concat([header, sealed, cipher.getAuthTag()])
}

/** The body; undefined when it was not sealed with this key under this header. */
export const unseal = (key: Uint8Array, header: Uint8Array, sequence: number, sealed: Uint8Array): Buffer | undefined => {
  const decipher = createDecipheriv(CIPHER, key, nonceOf(sequence), { authTagLength: TAG_BYTES })
  const length = sealed.length - TAG_BYTES
  decipher.setAuthTag(sealed.subarray(length))
  decipher.setAAD(header, { plaintextLength: length })
  const body = decipher.update(sealed.subarray(0, length))
  try {
    decipher.final()
    return body
  } catch (error) {
    if (error instanceof Error) return undefined
    throw error
  }
}
