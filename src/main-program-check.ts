// Whether a file may become this device's program, before anything is written: size, form, machine, signature. Keys that are trusted: the one
// named, else the one built in and those that lie in /etc/heliopause/trusted-keys and DATA_DIR/trusted-keys.

import type { KeyObject } from 'node:crypto'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { executableOf, readHeader, targetOf, whyNot } from './agent/slots/executable.ts'
import { PROGRAM_BYTES_MAX } from './agent/slots/limits.ts'
import { addonOf, digestOf } from './agent/slots/program-copy.ts'
import { ApiError, messageOf } from './base/errors.ts'
import type { UpgradeOptions, UpgradeTeller } from './cli/upgrade-shapes.ts'
import { faultOf, keyIdOf, type ProgramSignature, parseSignature, publicKeyOf, readSmall, SIGNATURE_BYTES_MAX } from './main-signature.ts'

/** Keys looked at; a folder with more is refused. */
const KEYS_MAX = 16
const KEYS_DIR = '/etc/heliopause/trusted-keys'

export interface CheckedProgram {
  readonly sha256: string
  readonly sizeBytes: number
  /** With a script's addon: what it takes on the disk. */
  readonly spaceBytes: number
  readonly script: boolean
  /** Undefined: nobody who is trusted has signed it, and that was allowed. */
  readonly signature: ProgramSignature | undefined
}

const refuse = (why: string, hint: string, cause?: unknown): ApiError => new ApiError('Forbidden', `upgrade: ${why}`, { hint, cause })

const readKeyOrSignature = (what: string, path: string): string => {
  try {
    return readSmall(path)
  } catch (error) {
    throw refuse(`read ${what}: ${messageOf(error)}`, `${what} is a file of less than ${SIGNATURE_BYTES_MAX} bytes`, error)
  }
}

const keysIn = (dir: string): readonly KeyObject[] => {
  if (!existsSync(dir)) return []
  const names = readdirSync(dir).filter(name => name.endsWith('.pem'))
  if (names.length > KEYS_MAX)
    throw refuse(`${dir} holds ${names.length} keys, at most ${KEYS_MAX} are taken`, 'remove those that are not used')
  return names.sort().map(name => publicKeyOf(readKeyOrSignature('trusted key', join(dir, name))))
}

const trustedKeys = ({ publicKey, dataDir }: Pick<UpgradeOptions, 'publicKey' | 'dataDir'>): readonly KeyObject[] => {
  if (publicKey !== undefined) return [publicKeyOf(readKeyOrSignature('public key', publicKey))]
  const builtIn = process.env.HELIO_RELEASE_KEY ?? ''
  return [...(builtIn === '' ? [] : [publicKeyOf(builtIn)]), ...keysIn(KEYS_DIR), ...keysIn(join(dataDir, 'trusted-keys'))]
}

const UNSIGNED_HINT = 'give --signature FILE, or --allow-unsigned if you know where the file comes from'

/** The good signature, or undefined where an unsigned program is allowed. A signature that is wrong is refused always. */
const signatureOf = (
  options: UpgradeOptions,
  found: { sha256: string; sizeBytes: number },
  tell: UpgradeTeller,
): ProgramSignature | undefined => {
  const path = options.signature ?? `${options.file}.sig`
  const unsigned = (why: string, hint: string): undefined => {
    if (!options.allowUnsigned) throw refuse(why, hint)
    tell.note(`WARNING: ${why}. It will run as root on this device.`)
  }
  if (options.signature === undefined && !existsSync(path))
    return unsigned(`${options.file} is not signed: there is no ${path}`, UNSIGNED_HINT)
  const signature = parseSignature(readKeyOrSignature('signature', path))
  const key = trustedKeys(options).find(each => keyIdOf(each) === signature.keyId)
  if (key === undefined)
    return unsigned(
      `${options.file} is signed with key ${signature.keyId}, which this device does not trust`,
      `put the public key into ${KEYS_DIR} as NAME.pem, or name it with --public-key FILE`,
    )
  const fault = faultOf(signature, found, key)
  if (fault !== undefined) throw refuse(`bad signature ${path}: ${fault}`, 'do not run it; fetch it again')
  return signature
}

/** Refuses with one line and a hint. Reads the file once. */
export const checkProgram = async (options: UpgradeOptions, tell: UpgradeTeller, signal: AbortSignal): Promise<CheckedProgram> => {
  const { file } = options
  const stat = statSync(file, { throwIfNoEntry: false })
  if (!stat) throw refuse(`there is no file ${file}`, '--file takes an executable made by npm run package')
  if (!stat.isFile()) throw refuse(`${file} is no file`, '--file takes an executable made by npm run package')
  if (stat.size > PROGRAM_BYTES_MAX)
    throw refuse(`${file} has ${stat.size} bytes, at most ${PROGRAM_BYTES_MAX} are taken`, 'this is no Heliopause executable')
  const header = readHeader(file)
  const why = whyNot(header, stat.size)
  if (why !== undefined) throw refuse(`${file} cannot run here: ${why}`, `this device needs helio-${targetOf(process.arch)}`)
  const script = executableOf(header).form === 'script'
  const done = { bytes: 0 }
  const found = await digestOf(file, {
    signal,
    onBytes(bytes) {
      done.bytes += bytes
      tell.progress(`checking ${file}: ${Math.floor((done.bytes / stat.size) * 100)} %`)
    },
  })
  const signature = signatureOf(options, found, tell)
  const addon = script ? await addonOf(file) : undefined
  if (signature !== undefined && signature.target !== targetOf(process.arch))
    throw refuse(`${file} is signed for ${signature.target}, this device is ${targetOf(process.arch)}`, 'take the file for this device')
  return { ...found, spaceBytes: found.sizeBytes + (addon?.sizeBytes ?? 0), script, signature }
}
