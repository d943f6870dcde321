// What values look like on disk: as they are, or sealed where their keys say so, so that a copy of the files without the key tells no
// Secret. Invariant: every value that leaves memory (commits, snapshots, cold values) goes through here; sums are of what is on disk, so
// that files can be checked without the key.

import type { ByteSealer } from '../base/sealer.ts'
import type { ColdValue, ColdValues } from './cold.ts'
import { DamageError, KeyError } from './damage.ts'

export interface Sealing {
  /** Values of keys that start with one of these are sealed. */
  readonly prefixes: readonly string[]
  readonly sealer: ByteSealer
  /** Where the key is, for messages. */
  readonly keyFile: string
  /** There was no key file: this key has sealed nothing yet. */
  readonly isNew: boolean
  /** Makes a new key durable; called when all that is stored was found to be readable with it, before anything is sealed. Throws. */
  keep(): void
}

export interface Codec {
  /** Undefined when nothing is sealed here. */
  readonly sealing: Sealing | undefined
  toDisk(key: string, value: Buffer): Buffer
  /** Throws KeyError for what another key sealed, DamageError for what was not sealed under this name. Plain values come as they are. */
  fromDisk(key: string, stored: Buffer): Buffer
}

/** The first byte of a sealed value, which no JSON begins with; four bytes that name the key follow. */
const SEALED_BYTE = 1
const HEADER_BYTES = 5

export const isSealedValue = (stored: Uint8Array): boolean => stored[0] === SEALED_BYTE && stored.length > HEADER_BYTES

/** Which key sealed it. */
export const keyIdOf = (stored: Buffer): string => stored.toString('hex', 1, HEADER_BYTES)

const whyNot = (sealedBy: string, { sealer, keyFile, isNew }: Sealing): string =>
  `its Secrets are sealed with key ${sealedBy}; ${isNew ? `there is no key file ${keyFile}` : `${keyFile} holds key ${sealer.keyId}`}`

/** Without `sealing` everything is stored as it is, and what is sealed cannot be read. */
export const createCodec = (sealing: Sealing | undefined): Codec => {
  const header = Buffer.from([SEALED_BYTE, ...Buffer.from(sealing?.sealer.keyId ?? '', 'hex')])
  const applies = (key: string): boolean => sealing?.prefixes.some(prefix => key.startsWith(prefix)) === true
  return {
    sealing,
    toDisk: (key, value) => (sealing && applies(key) ? Buffer.concat([header, sealing.sealer.seal(key, value)]) : value),
    fromDisk(key, stored) {
      if (!isSealedValue(stored)) return stored
      const sealedBy = keyIdOf(stored)
      if (!sealing) throw new KeyError(`its Secrets are sealed with key ${sealedBy}; no key was given`)
      if (sealedBy !== sealing.sealer.keyId) throw new KeyError(whyNot(sealedBy, sealing))
      const opened = sealing.sealer.open(key, stored.subarray(HEADER_BYTES))
      if (!opened) throw new DamageError(`the stored ${key} was not sealed under this name`)
      return Buffer.from(opened.buffer, opened.byteOffset, opened.length)
    },
  }
}

export const PLAIN: Codec = createCodec(undefined)

interface SealedCold extends ColdValue {
  readonly sealed: ColdValue
}

const isSealedCold = (cold: ColdValue): cold is SealedCold => 'sealed' in cold

/** Cold values that are sealed where the codec says so: blocks of a file without a name are on the disk all the same. */
export const sealedCold = (cold: ColdValues, { toDisk, fromDisk }: Codec): ColdValues => ({
  put(value, key) {
    const stored = toDisk(key, value)
    if (stored === value) return cold.put(value, key)
    const sealed: SealedCold = { size: value.length, sealed: cold.put(stored, key) }
    return sealed
  },
  get: (place, key) => (isSealedCold(place) ? fromDisk(key, cold.get(place.sealed, key)) : cold.get(place, key)),
  drop: place => cold.drop(isSealedCold(place) ? place.sealed : place),
})
