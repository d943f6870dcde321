// What runs here: the program's own version, what it was built for and with, and whether its bytes, or those of another file, are the ones
// that were signed. The file that is hashed is the one that runs, even when its name has been given to a newer one. Every byte of the file
// counts, also what lies behind the last section. A forged program says of itself what it likes: the trusted one checks the new one.

import { createHash } from 'node:crypto'
import { existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { ApiError, messageOf } from './base/errors.ts'
import type { ProgramCheck, ProgramFacts } from './cli/cli.ts'
import { VERSION } from './main-options.ts'
import { faultOf, keyIdOf, parseSignature, publicKeyOf, readSmall } from './main-signature.ts'

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

const readOrHint = (what: string, path: string, hint: string): string => {
  try {
    return readSmall(path)
  } catch (error) {
    throw new ApiError('BadRequest', `read ${what}: ${messageOf(error)}`, { cause: error, hint })
  }
}

const openProgram = (path: string): string => {
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return path
  throw new ApiError('BadRequest', `verify ${path}: there is no such file`, { hint: '--file takes an executable made by npm run package' })
}

/**
 * Checks the running executable, or `file`. Rejects with one line and a hint when it is not packaged, not signed, or not what was signed.
 * Whether the file is for this machine is not asked: `target` says what it was signed for.
 */
export const verifyProgram = async (options: {
  readonly file: string | undefined
  readonly signature: string | undefined
  readonly publicKey: string | undefined
}): Promise<ProgramCheck> => {
  if (options.file === undefined && !isPackaged())
    throw new ApiError('BadRequest', `verify program: Node ${process.versions.node} runs it from a bundle, there is no one file to check`, {
      hint: 'check a packaged executable with --file FILE; npm run package makes them',
    })
  const builtIn = process.env.HELIO_RELEASE_KEY ?? ''
  if (options.publicKey === undefined && builtIn === '')
    throw new ApiError('BadRequest', 'verify program: this one was built without a key', {
      hint: 'name the key to trust with --public-key FILE',
    })
  const keyText = options.publicKey === undefined ? builtIn : readOrHint('public key', options.publicKey, 'a PEM file')
  const publicKey = publicKeyOf(keyText)
  const name = options.file ?? process.execPath
  const program = options.file === undefined ? running() : openProgram(options.file)
  const path = options.signature ?? `${name}.sig`
  const signature = parseSignature(
    readOrHint('signature', path, 'put the .sig file beside the executable, or name it with --signature FILE'),
  )
  const found = hashOf(program)
  const fault = faultOf(signature, found, publicKey)
  if (fault !== undefined)
    throw new ApiError('Invalid', `verify ${name}: bad signature ${path}: ${fault}`, { hint: 'do not run it; fetch it again' })
  const { target, version } = signature
  return { file: name, ...found, target, version, keyId: keyIdOf(publicKey), trust: options.publicKey ?? 'built in' }
}
