// What runs here: the program's own version, what it was built for and with, and whether its bytes are the ones that were signed.
// The file that is hashed is the one that runs, even when its name has been given to a newer one.

import { createHash } from 'node:crypto'
import { existsSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { ApiError, messageOf } from './base/errors.ts'
import type { ProgramCheck, ProgramFacts } from './cli/cli.ts'
import { VERSION } from './main-options.ts'
import { faultOf, keyIdOf, parseSignature, publicKeyOf, SIGNATURE_BYTES_MAX } from './main-signature.ts'

const ARCHITECTURES: Readonly<Record<string, string>> = { arm: 'armv7' }
const FOOTER_BYTES = 32
const CHUNK_BYTES = 1024 * 1024

const running = (): string => (existsSync('/proc/self/exe') ? '/proc/self/exe' : process.execPath)

const readEnd = (path: string): string => {
  const file = openSync(path, 'r')
  const end = Buffer.alloc(FOOTER_BYTES)
  readSync(file, end, 0, FOOTER_BYTES, Math.max(0, fstatSync(file).size - FOOTER_BYTES))
  return end.toString('latin1')
}

/** A packaged executable ends with the length of the addon inside; see scripts/package. */
const isPackaged = (): boolean => readEnd(running()).startsWith('helio-addon ')

const sqliteVersion = async (): Promise<string> => {
  try {
    return (await import('sqlite3')).default.VERSION
  } catch (error) {
    return `cannot be loaded: ${messageOf(error)}`
  }
}

/** The program, without asking anything but itself. */
export const programFacts = async (): Promise<ProgramFacts> => ({
  version: process.env.HELIO_VERSION ?? '0.0.0',
  commit: VERSION.gitCommit,
  target: `${process.platform}-${ARCHITECTURES[process.arch] ?? process.arch}`,
  packaged: isPackaged(),
  node: process.versions.node,
  sqlite: await sqliteVersion(),
})

const hashOf = (path: string): { sizeBytes: number; sha256: string } => {
  const file = openSync(path, 'r')
  const hash = createHash('sha256')
  const chunk = Buffer.alloc(CHUNK_BYTES)
  let sizeBytes = 0
  for (let count = readSync(file, chunk); count > 0; count = readSync(file, chunk)) {
    hash.update(chunk.subarray(0, count))
    sizeBytes += count
  }
  return { sizeBytes, sha256: hash.digest('hex') }
}

const readSmall = (what: string, path: string, hint: string): string => {
  try {
    if (statSync(path).size > SIGNATURE_BYTES_MAX) throw new Error(`more than ${SIGNATURE_BYTES_MAX} bytes`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ApiError('BadRequest', `read ${what}: ${messageOf(error)}`, { cause: error, hint })
  }
}

/** Checks the running executable. Rejects with one line and a hint when it is not packaged, not signed, or not what was signed. */
export const verifyProgram = async (options: {
  readonly signature: string | undefined
  readonly publicKey: string | undefined
}): Promise<ProgramCheck> => {
  if (!isPackaged())
    throw new ApiError('BadRequest', `verify program: Node ${process.versions.node} runs it from a bundle, there is no one file to check`, {
      hint: 'npm run package makes executables that can be signed',
    })
  const builtIn = process.env.HELIO_RELEASE_KEY ?? ''
  if (options.publicKey === undefined && builtIn === '')
    throw new ApiError('BadRequest', 'verify program: it was packaged without a key', {
      hint: 'name the key to trust with --public-key FILE',
    })
  const keyText = options.publicKey === undefined ? builtIn : readSmall('public key', options.publicKey, 'a PEM file')
  const publicKey = publicKeyOf(keyText)
  const path = options.signature ?? `${process.execPath}.sig`
  const signature = parseSignature(
    readSmall('signature', path, 'put the .sig file beside the executable, or name it with --signature FILE'),
  )
  const found = hashOf(running())
  const fault = faultOf(signature, found, publicKey)
  if (fault !== undefined)
    throw new ApiError('Invalid', `verify ${process.execPath}: bad signature ${path}: ${fault}`, { hint: 'do not run it; fetch it again' })
  const { target, version } = signature
  return { file: process.execPath, ...found, target, version, keyId: keyIdOf(publicKey), trust: options.publicKey ?? 'built in' }
}
