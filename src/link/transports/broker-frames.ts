// What goes through a broker, as bytes: an opening, its acceptance, sealed messages, and hints that a conversation is none. Nothing here
// is believed yet; lengths are checked before anything is taken out. See seal.ts for what is signed and sealed.

import { BROKER_CERTIFICATE_BYTES_MAX, BROKER_SIGNATURE_BYTES_MAX } from '../limits.ts'

/** Bytes of a conversation's id; sealed messages carry the first half. */
export const CONVERSATION_BYTES = 8
export const SHORT_CONVERSATION_BYTES = 4
export const X25519_BYTES = 32
export const DIGEST_BYTES = 32
const HEAD_SIGNATURE_BYTES = 64
/** Type, short conversation, sequence number: the part of a sealed message that is authenticated and not sealed. */
export const SEALED_HEADER_BYTES = 1 + SHORT_CONVERSATION_BYTES + 4
export const TAG_BYTES = 16

const TYPE = { opening: 1, accept: 2, sealed: 3, hint: 4 } as const

/** Why there is no conversation; said by the server without proof, so it can only make a device try again. */
export const HINTS = ['unknown', 'certificate wanted', 'refused', 'busy'] as const
export type Hint = (typeof HINTS)[number]

export interface Opening {
  readonly is: 'opening'
  readonly conversation: Uint8Array
  /** Raw X25519. */
  readonly ephemeral: Uint8Array
  /** DER; empty when only its digest is sent. */
  readonly certificate: Uint8Array
  /** SHA-256 of the certificate's DER; empty when the certificate itself is sent. */
  readonly digest: Uint8Array
  readonly signature: Uint8Array
}

export interface Accept {
  readonly is: 'accept'
  readonly conversation: Uint8Array
  readonly ephemeral: Uint8Array
  readonly signature: Uint8Array
}

export interface Sealed {
  readonly is: 'sealed'
  readonly conversation: Uint8Array
  readonly sequence: number
  readonly header: Uint8Array
  readonly body: Uint8Array
}

export interface HintFrame {
  readonly is: 'hint'
  readonly conversation: Uint8Array
  readonly hint: Hint
}

export type BrokerFrame = Opening | Accept | Sealed | HintFrame

export const openingBytes = (opening: Omit<Opening, 'is'>): Uint8Array => {
  const proof = opening.certificate.length > 0 ? opening.certificate : opening.digest
  const length = Uint8Array.of(opening.certificate.length > 0 ? 0 : 1, proof.length >> 8, proof.length & 255)
  return Buffer.concat([Uint8Array.of(TYPE.opening), opening.conversation, opening.ephemeral, length, proof, opening.signature])
}

export const acceptBytes = (accept: Omit<Accept, 'is'>): Uint8Array =>
  Buffer.concat([Uint8Array.of(TYPE.accept), accept.conversation, accept.ephemeral, accept.signature])

export const hintBytes = (conversation: Uint8Array, hint: Hint): Uint8Array =>
  Buffer.concat([Uint8Array.of(TYPE.hint), conversation, Uint8Array.of(HINTS.indexOf(hint))])

/** The authenticated header of one sealed message. */
export const sealedHeader = (conversation: Uint8Array, sequence: number): Buffer => {
  const header = Buffer.allocUnsafe(SEALED_HEADER_BYTES)
  header[0] = TYPE.sealed
  header.set(conversation.subarray(0, SHORT_CONVERSATION_BYTES), 1)
  header.writeUInt32BE(sequence, 1 + SHORT_CONVERSATION_BYTES)
  return header
}

const parseOpening = (bytes: Buffer): Opening | undefined => {
  const proofAt = 1 + CONVERSATION_BYTES + X25519_BYTES + 3
  if (bytes.length < proofAt) return undefined
  const form = bytes[proofAt - 3]
  const length = bytes.readUInt16BE(proofAt - 2)
  const signatureBytes = bytes.length - proofAt - length
  if (signatureBytes < 1 || signatureBytes > BROKER_SIGNATURE_BYTES_MAX) return undefined
  if (form === 0 ? length === 0 || length > BROKER_CERTIFICATE_BYTES_MAX : form !== 1 || length !== DIGEST_BYTES) return undefined
  const proof = bytes.subarray(proofAt, proofAt + length)
  const none = bytes.subarray(0, 0)
  return {
    is: 'opening',
    conversation: bytes.subarray(1, 1 + CONVERSATION_BYTES),
    ephemeral: bytes.subarray(1 + CONVERSATION_BYTES, 1 + CONVERSATION_BYTES + X25519_BYTES),
    certificate: form === 0 ? proof : none,
    digest: form === 1 ? proof : none,
    signature: bytes.subarray(proofAt + length),
  }
}

const PARSERS: Readonly<Record<number, (bytes: Buffer) => BrokerFrame | undefined>> = {
  [TYPE.opening]: parseOpening,
  [TYPE.accept](bytes) {
    const signatureAt = 1 + CONVERSATION_BYTES + X25519_BYTES
    if (bytes.length !== signatureAt + HEAD_SIGNATURE_BYTES) return undefined
    return {
      is: 'accept',
      conversation: bytes.subarray(1, 1 + CONVERSATION_BYTES),
      ephemeral: bytes.subarray(1 + CONVERSATION_BYTES, signatureAt),
      signature: bytes.subarray(signatureAt),
    }
  },
  [TYPE.sealed](bytes) {
    if (bytes.length < SEALED_HEADER_BYTES + TAG_BYTES) return undefined
    return {
      is: 'sealed',
      conversation: bytes.subarray(1, 1 + SHORT_CONVERSATION_BYTES),
      sequence: bytes.readUInt32BE(1 + SHORT_CONVERSATION_BYTES),
      header: bytes.subarray(0, SEALED_HEADER_BYTES),
      body: bytes.subarray(SEALED_HEADER_BYTES),
    }
  },
  [TYPE.hint](bytes) {
    const hint = HINTS[bytes[1 + CONVERSATION_BYTES] ?? HINTS.length]
    if (bytes.length !== 2 + CONVERSATION_BYTES || hint === undefined) return undefined
    return { is: 'hint', conversation: bytes.subarray(1, 1 + CONVERSATION_BYTES), hint }
  },
}

/** Undefined for whatever is none of ours; the parts are views of `payload`. Never throws. */
export const parseBrokerFrame = (payload: Uint8Array): BrokerFrame | undefined =>
  PARSERS[payload[0] ?? 0]?.(Buffer.from(payload.buffer, payload.byteOffset, payload.length))

/** Byte for byte; the shorter one decides how much is compared, for a sealed message has half an id. */
export const sameConversation = (whole: Uint8Array, given: Uint8Array): boolean =>
  given.length >= SHORT_CONVERSATION_BYTES && given.every((byte, i) => whole[i] === byte)
