// npm run package [-- --target linux-x64,… --key FILE --out DIR]: one self-contained executable a board under build/, with checksums, a
// bill of materials and, given an Ed25519 key (PEM), signatures. The same commit and key give the same bytes. Needs Debian's compilers for
// the targets asked for, and qemu-user-static for those this machine cannot run. --no-xz leaves the compressed copies out; --fresh compiles
// all anew, in a folder of its own; --trial is what tests package: a key forgotten at once, quick compression, and a target whose tools are
// missing is skipped aloud, which where CHECK_ALL_TARGETS is set is a failure.

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { keyIdOf, signProgram } from '../../src/main-signature.ts'
import { buildAddon, sqliteVersion } from './addon.ts'
import { buildExecutable } from './executable.ts'
import { type SbomInput, sbomOf } from './sbom.ts'
import { run, sha256Of } from './shell.ts'
import { TARGETS, type Target, toolsOf } from './targets.ts'

const ROOT = join(import.meta.dirname, '../..')
/** Nodes, and unless --fresh what was compiled and bundled. */
const CACHE = join(ROOT, 'build/cache')
/** What the bytes are made of. */
const SOURCES = ['src', 'tsup.config.ts', 'package-lock.json', 'scripts/package']
/** What an executable may weigh as xz; the packager fails above. */
const XZ_BYTES_MAX = 32 * 1024 * 1024
/** A release takes its time; a trial's copy, an eighth larger, must keep the bound as well. */
const XZ_LEVEL = { release: '-6', trial: '-2' } as const

interface Build {
  readonly version: string
  readonly commit: string
  /** Seconds, of the commit. */
  readonly epoch: string
  readonly key: KeyObject | undefined
  /** Where the files go. */
  readonly out: string
  /** What is compiled and bundled. */
  readonly work: string
  readonly xz: keyof typeof XZ_LEVEL | undefined
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

const readBuild = async (key: KeyObject | undefined): Promise<Omit<Build, 'out' | 'work' | 'xz'>> => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  const dirty = await run(['git', 'status', '--porcelain', '--', ...SOURCES], { cwd: ROOT })
  const head = await run(['git', 'rev-parse', 'HEAD'], { cwd: ROOT })
  const epoch = process.env['SOURCE_DATE_EPOCH'] ?? (await run(['git', 'log', '-1', '--format=%ct', head.trim()], { cwd: ROOT }))
  return { version, commit: head.trim() + (dirty === '' ? '' : '-changed'), epoch: epoch.trim(), key }
}

interface Bundle {
  readonly text: string
  /** The files it was made of. */
  readonly sources: readonly string[]
}

const bundle = async (build: Build): Promise<Bundle> => {
  const folder = join(build.work, `bundle-${process.pid}`)
  const env = {
    ...process.env,
    HELIO_OUT_DIR: folder,
    HELIO_VERSION: build.version,
    HELIO_COMMIT: build.commit,
    SOURCE_DATE_EPOCH: build.epoch,
    HELIO_RELEASE_KEY: build.key ? createPublicKey(build.key).export({ type: 'spki', format: 'der' }).toString('base64') : '',
  }
  await run([join(ROOT, 'node_modules/.bin/tsup'), '--metafile', '--silent'], { cwd: ROOT, env })
  const { inputs } = JSON.parse(readFileSync(join(folder, 'metafile-cjs.json'), 'utf8')) as { inputs: Record<string, unknown> }
  const text = readFileSync(join(folder, 'helio'), 'utf8')
  rmSync(folder, { recursive: true })
  return { text, sources: Object.keys(inputs) }
}

const megabytes = (path: string): string => `${(statSync(path).size / 1024 / 1024).toFixed(1)} MB`

/** Everything that belongs to one executable: it, itself as xz, its bill of materials, its signature. Answers the files. */
const release = async (target: Target, build: Build, made: Bundle): Promise<string[]> => {
  const file = join(build.out, `helio-${target.name}`)
  for (const end of ['', '.xz', '.sig', '.cdx.json']) rmSync(file + end, { force: true })
  await buildExecutable(
    target,
    { bundle: made.text, addon: await buildAddon(target, build.work) },
    { nodes: CACHE, work: build.work },
    file,
  )
  const sha256 = sha256Of(readFileSync(file))
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: SbomInput['locked'] }
  const builtAt = new Date(Number(build.epoch) * 1000).toISOString()
  const { version, commit } = build
  const sbom = sbomOf({ target, version, commit, builtAt, sha256, sqlite: sqliteVersion(), locked: packages, sources: made.sources })
  writeFileSync(`${file}.cdx.json`, `${JSON.stringify(sbom, null, 2)}\n`)
  const xz = build.xz ? [`${file}.xz`] : []
  if (build.xz) await run(['xz', XZ_LEVEL[build.xz], '--threads=1', '--keep', file])
  say(`${basename(file)}: ${[file, ...xz].map(megabytes).join(', as xz ')}, sha256 ${sha256}`)
  for (const path of xz)
    if (statSync(path).size > XZ_BYTES_MAX) throw new Error(`package ${target.name}: more than ${XZ_BYTES_MAX} bytes as xz`)
  if (build.key === undefined) return [file, ...xz, `${file}.cdx.json`]
  const signature = signProgram({ target: target.name, version, sizeBytes: statSync(file).size, sha256 }, build.key)
  writeFileSync(`${file}.sig`, `${JSON.stringify(signature, null, 2)}\n`)
  return [file, ...xz, `${file}.cdx.json`, `${file}.sig`]
}

const OPTIONS = {
  target: { type: 'string' },
  key: { type: 'string' },
  out: { type: 'string', default: 'build' },
  'no-xz': { type: 'boolean', default: false },
  fresh: { type: 'boolean', default: false },
  trial: { type: 'boolean', default: false },
} as const

const chosen = (text: string | undefined): readonly Target[] => {
  const names = text?.split(',') ?? TARGETS.map(target => target.name)
  const unknown = names.find(name => !TARGETS.some(target => target.name === name))
  if (unknown !== undefined) throw new Error(`no target is called ${unknown}: ${TARGETS.map(target => target.name).join(', ')}`)
  return TARGETS.filter(target => names.includes(target.name))
}

const makeAll = async (targets: readonly Target[], build: Build): Promise<void> => {
  if (build.commit.endsWith('-changed')) say('WARNING: the sources differ from the commit; nobody can build these bytes again')
  const made = await bundle(build)
  const files = (await Promise.all(targets.map(target => release(target, build, made)))).flat()
  writeFileSync(join(build.out, 'SHA256SUMS'), files.map(file => `${sha256Of(readFileSync(file))}  ${basename(file)}\n`).join(''))
  if (build.key) say(`signed with key ${keyIdOf(createPublicKey(build.key))}`)
  else process.stderr.write('WARNING: NOT SIGNED. Boards cannot tell these files from forged ones; give --key FILE (Ed25519, PEM)\n')
}

/** Those that can be built here. */
const withTools = (targets: readonly Target[]): Target[] =>
  targets.filter(target => {
    const missing = toolsOf(target).filter(tool => !(process.env['PATH'] ?? '').split(':').some(folder => existsSync(join(folder, tool))))
    if (missing.length === 0) return true
    process.stderr.write(`SKIPPED ${target.name}: ${missing.join(', ')} not installed; scripts/install --tests installs them as root\n`)
    if (process.env['CHECK_ALL_TARGETS']) process.exitCode = 1
    return false
  })

const main = async (): Promise<void> => {
  const { values } = parseArgs({ options: OPTIONS })
  const targets = values.trial ? withTools(chosen(values.target)) : chosen(values.target)
  const key = values.key === undefined ? undefined : readKey(values.key)
  const out = resolve(ROOT, values.out)
  mkdirSync(CACHE, { recursive: true })
  mkdirSync(out, { recursive: true })
  const work = values.fresh ? mkdtempSync(join(out, '.fresh-')) : CACHE
  try {
    const xz = values['no-xz'] ? undefined : values.trial ? 'trial' : 'release'
    await makeAll(targets, {
      ...(await readBuild(key ?? (values.trial ? generateKeyPairSync('ed25519').privateKey : undefined))),
      out,
      work,
      xz,
    })
  } finally {
    if (values.fresh) rmSync(work, { recursive: true, force: true })
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
