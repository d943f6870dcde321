// npm run package [-- --target linux-x64,… --key FILE --out DIR]: one self-contained executable a board under build/, with checksums, a
// bill of materials and, given an Ed25519 key (PEM), signatures. The same commit and key give the same bytes.
// Needs Debian's compilers for the targets asked for, and qemu-user-static for those this machine cannot run.

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { keyIdOf, signProgram } from '../../src/main-signature.ts'
import { buildAddon, sqliteVersion } from './addon.ts'
import { buildExecutable } from './executable.ts'
import { type SbomInput, sbomOf } from './sbom.ts'
import { run, sha256Of } from './shell.ts'
import { TARGETS, type Target } from './targets.ts'

const ROOT = join(import.meta.dirname, '../..')
const CACHE = join(ROOT, 'build/cache')
/** What an executable may weigh as xz; the packager fails above. */
const XZ_BYTES_MAX = 32 * 1024 * 1024

interface Build {
  readonly version: string
  readonly commit: string
  /** Seconds, of the commit. */
  readonly epoch: string
  readonly key: KeyObject | undefined
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const readKey = (path: string): KeyObject => {
  const key = createPrivateKey(readFileSync(path))
  if (key.asymmetricKeyType !== 'ed25519')
    throw new Error(`read key ${path}: it is ${key.asymmetricKeyType}; make one with openssl genpkey -algorithm ed25519`)
  return key
}

const readBuild = (keyFile: string | undefined): Build => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  const dirty = run(['git', 'status', '--porcelain', '--', 'src', 'tsup.config.ts', 'package-lock.json', 'scripts/package'], { cwd: ROOT })
  const commit = run(['git', 'rev-parse', 'HEAD'], { cwd: ROOT }).trim() + (dirty === '' ? '' : '-changed')
  const epoch = process.env['SOURCE_DATE_EPOCH'] ?? run(['git', 'log', '-1', '--format=%ct'], { cwd: ROOT }).trim()
  return { version, commit, epoch, key: keyFile === undefined ? undefined : readKey(keyFile) }
}

/** The bundle's text and the files it was made of. */
const bundle = (build: Build): { text: string; sources: string[] } => {
  const folder = join(CACHE, 'bundle')
  const env = {
    ...process.env,
    HELIO_OUT_DIR: folder,
    HELIO_VERSION: build.version,
    HELIO_COMMIT: build.commit,
    SOURCE_DATE_EPOCH: build.epoch,
    HELIO_RELEASE_KEY: build.key ? createPublicKey(build.key).export({ type: 'spki', format: 'der' }).toString('base64') : '',
  }
  run([join(ROOT, 'node_modules/.bin/tsup'), '--metafile', '--silent'], { cwd: ROOT, env })
  const { inputs } = JSON.parse(readFileSync(join(folder, 'metafile-cjs.json'), 'utf8')) as { inputs: Record<string, unknown> }
  return { text: readFileSync(join(folder, 'helio'), 'utf8'), sources: Object.keys(inputs) }
}

const megabytes = (path: string): string => `${(statSync(path).size / 1024 / 1024).toFixed(1)} MB`

/** Everything that belongs to one executable: it, itself as xz, its bill of materials, its signature. Answers the files. */
const release = async (target: Target, build: Build, made: ReturnType<typeof bundle>, out: string): Promise<string[]> => {
  const file = join(out, `helio-${target.name}`)
  for (const end of ['', '.xz', '.sig', '.cdx.json']) rmSync(file + end, { force: true })
  await buildExecutable(target, made.text, buildAddon(target, CACHE), CACHE, file)
  const sha256 = sha256Of(readFileSync(file))
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: SbomInput['locked'] }
  const builtAt = new Date(Number(build.epoch) * 1000).toISOString()
  const { version, commit } = build
  const sbom = sbomOf({ target, version, commit, builtAt, sha256, sqlite: sqliteVersion(), locked: packages, sources: made.sources })
  writeFileSync(`${file}.cdx.json`, `${JSON.stringify(sbom, null, 2)}\n`)
  run(['xz', '-6', '--threads=1', '--keep', file])
  say(`${basename(file)}: ${megabytes(file)}, ${megabytes(`${file}.xz`)} as xz, sha256 ${sha256}`)
  if (statSync(`${file}.xz`).size > XZ_BYTES_MAX) throw new Error(`package ${target.name}: more than ${XZ_BYTES_MAX} bytes as xz`)
  if (build.key === undefined) return [file, `${file}.xz`, `${file}.cdx.json`]
  const signature = signProgram({ target: target.name, version, sizeBytes: statSync(file).size, sha256 }, build.key)
  writeFileSync(`${file}.sig`, `${JSON.stringify(signature, null, 2)}\n`)
  return [file, `${file}.xz`, `${file}.cdx.json`, `${file}.sig`]
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: { target: { type: 'string' }, key: { type: 'string' }, out: { type: 'string', default: 'build' } },
  })
  const names = values.target?.split(',') ?? TARGETS.map(target => target.name)
  const unknown = names.find(name => !TARGETS.some(target => target.name === name))
  if (unknown !== undefined) throw new Error(`no target is called ${unknown}: ${TARGETS.map(target => target.name).join(', ')}`)
  const out = resolve(ROOT, values.out)
  mkdirSync(CACHE, { recursive: true })
  mkdirSync(out, { recursive: true })
  const build = readBuild(values.key)
  if (build.commit.endsWith('-changed')) say('WARNING: the sources differ from the commit; nobody can build these bytes again')
  const made = bundle(build)
  const files: string[] = []
  for (const target of TARGETS.filter(({ name }) => names.includes(name))) files.push(...(await release(target, build, made, out)))
  writeFileSync(join(out, 'SHA256SUMS'), files.map(file => `${sha256Of(readFileSync(file))}  ${basename(file)}\n`).join(''))
  if (build.key) say(`signed with key ${keyIdOf(createPublicKey(build.key))}`)
  else process.stderr.write('WARNING: NOT SIGNED. Boards cannot tell these files from forged ones; give --key FILE (Ed25519, PEM)\n')
}

main().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
