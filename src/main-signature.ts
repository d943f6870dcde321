// The signature of a packaged executable: what is signed, how it is written down, how it is checked. The packager signs with it, and
// `helio version --verify` checks with it. The statement names its own purpose, so no other signature of the same key can stand for it.

import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { ApiError, messageOf } from './base/errors.ts'
import { isObject } from './base/json.ts'

export interface SignedProgram {
  /** `linux-arm64` */
  readonly target: string
  readonly version: string
  readonly sizeBytes: number
  /** Lower case hex of the whole file. */
  readonly sha256: string
}

export interface ProgramSignature extends SignedProgram {
  /** See keyIdOf. */
  readonly keyId: string
  /** Ed25519, base64. */
  readonly signature: string
}

/** A signature file is about 350 bytes; a larger one is refused before it is read. */
export const SIGNATURE_BYTES_MAX = 4096

const spkiOf = (key: KeyObject): Buffer => createPublicKey(key).export({ type: 'spki', format: 'der' })

/** First 16 hex characters of the SHA-256 of the public key (SPKI). */
export const keyIdOf = (publicKey: KeyObject): string =>
  createHash('sha256')
    .update(publicKey.type === 'private' ? spkiOf(publicKey) : publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16)

const statementOf = ({ target, version, sizeBytes, sha256 }: SignedProgram): Buffer =>
  Buffer.from(`heliopause executable 1\n${target}\n${version}\n${sizeBytes}\n${sha256}\n`)

export const signProgram = (program: SignedProgram, key: KeyObject): ProgramSignature => ({
  ...program,
  keyId: keyIdOf(key),
  signature: sign(null, statementOf(program), key).toString('base64'),
})

/** Rejects whatever is no signature file with one line. */
export const parseSignature = (text: string): ProgramSignature => {
  const refuse = (why: string, cause?: unknown): ApiError => new ApiError('BadRequest', `read signature: ${why}`, { cause })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw refuse('it is not JSON', error)
  }
  if (!isObject(value)) throw refuse('it is not an object')
  const { target, version, sizeBytes, sha256, keyId, signature } = value
  for (const [name, field] of Object.entries({ target, version, sha256, keyId, signature }))
    if (typeof field !== 'string' || field.includes('\n')) throw refuse(`${name} must be a line of text`)
  if (!Number.isSafeInteger(sizeBytes)) throw refuse('sizeBytes must be a whole number')
  return { target, version, sizeBytes, sha256, keyId, signature } as ProgramSignature
}

/** What is wrong with the signature of these bytes by this key, as a cause; nothing when it is good. */
export const faultOf = (
  signature: ProgramSignature,
  found: Pick<SignedProgram, 'sizeBytes' | 'sha256'>,
  publicKey: KeyObject,
): string | undefined => {
  if (publicKey.asymmetricKeyType !== 'ed25519') return `the public key is ${publicKey.asymmetricKeyType}, not ed25519`
  if (signature.keyId !== keyIdOf(publicKey)) return `it was made with key ${signature.keyId}, not ${keyIdOf(publicKey)}`
  if (!verify(null, statementOf(signature), publicKey, Buffer.from(signature.signature, 'base64'))) return 'it is forged or damaged'
  if (signature.sizeBytes !== found.sizeBytes) return `it is for ${signature.sizeBytes} bytes, the file has ${found.sizeBytes}`
  if (signature.sha256 !== found.sha256) return `it is for SHA-256 ${signature.sha256}, the file has ${found.sha256}`
  return undefined
}

/** A public key as PEM, or the base64 of its SPKI. */
export const publicKeyOf = (text: string): KeyObject => {
  try {
    return text.includes('-----BEGIN')
      ? createPublicKey(text)
      : createPublicKey({ key: Buffer.from(text.trim(), 'base64'), format: 'der', type: 'spki' })
  } catch (error) {
    throw new ApiError('BadRequest', `read public key: ${messageOf(error)}`, { cause: error, hint: 'give an Ed25519 public key as PEM' })
  }
}

/** A key or a signature as text. Throws where there is no file, none of that size, or none at all behind the name (a device, a folder). */
export const readSmall = (path: string): string => {
  const stat = statSync(path)
  if (!stat.isFile()) throw new Error(`${path} is no file`)
  if (stat.size > SIGNATURE_BYTES_MAX) throw new Error(`more than ${SIGNATURE_BYTES_MAX} bytes`)
  return readFileSync(path, 'utf8')
}
