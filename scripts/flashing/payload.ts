// Everything that goes into an image, made ready and checked before a byte of the image is touched: the program, configuration, seed,
// manifests, and the images unpacked once into a folder of ours, so that their size is known.

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parse } from 'yaml'
import { openImageStore } from '../../src/agent/images/image-store.ts'
import { hostPlatform } from '../../src/agent/images/manifest.ts'
import { readPreload } from '../../src/agent/preload.ts'
import { PRELOAD_DIR } from '../../src/agent/preload-folder.ts'
import { parseSeed, type Seed } from '../../src/agent/seed.ts'
import { executableOf, readHeader, targetOf } from '../../src/agent/slots/executable.ts'
import { silentLog } from '../../src/base/log.ts'
import { CONFIGURATION_KINDS, DATA_DIR_DEFAULT, type Role } from '../../src/base/role-options.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemExec } from '../../src/host/exec.ts'
import { systemFiles } from '../../src/host/files.ts'
import { checkArchitecture } from './image-architecture.ts'
import { Refusal } from './refusal.ts'
import { type TreeSize, treeSize } from './tree-digest.ts'

/** Left free on the image for the first days of the device: databases, logs. */
export const SPARE_BYTES = 32 * 1024 * 1024
const SPARE_INODES = 1000

export interface PayloadRequest {
  readonly helio: string
  readonly role: Role
  /** A configuration manifest, or a folder with one for the role. */
  readonly config?: string | undefined
  readonly seedText?: string | undefined
  /** Put into the configuration, which may name another one. */
  readonly setServer?: string | undefined
  readonly archives: readonly string[]
  readonly manifests: readonly string[]
  /** process.arch of the board. */
  readonly arch: string
}

export interface Payload extends PayloadRequest {
  readonly configFile: string | undefined
  readonly seed: Seed | undefined
  readonly dataDir: string
  /** Unpacked images, as they will be on the device; undefined without archives. */
  readonly imagesDir: string | undefined
  readonly imageNames: readonly string[]
  readonly needs: TreeSize
  /** Removes what was unpacked for this. */
  discard(): void
}

/** The stores of devices are written by root of the same machine; images are opened with the board's platform in mind. */
export const openBoardImages = (dir: string, arch: string): ReturnType<typeof openImageStore> =>
  openImageStore(dir, { clock: systemClock, exec: systemExec, log: silentLog, platform: hostPlatform(arch) })

const checkProgram = (helio: string, arch: string): void => {
  if (!existsSync(helio)) throw new Refusal(`read ${helio}: there is no such file`, 'npm run package makes it')
  const program = executableOf(readHeader(helio))
  if (program.form !== 'elf') throw new Refusal(`read ${helio}: it is no packaged executable`, 'npm run package makes one for each board')
  if (program.arch !== arch)
    throw new Refusal(
      `read ${helio}: it is for ${targetOf(program.arch)}, the board is ${targetOf(arch)}`,
      `--helio build/helio-${targetOf(arch)}`,
    )
  if (statSync(helio).size < program.endBytes) throw new Refusal(`read ${helio}: it is cut short`, 'npm run package')
}

const kindIn = (file: string): unknown => {
  const value: unknown = parse(readFileSync(file, 'utf8'), { version: '1.1' })
  return typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined
}

/** The file itself, or the one in the folder (or its `config`) that is for the role. */
const configFileOf = (config: string, role: Role): string => {
  if (!existsSync(config)) throw new Refusal(`read configuration ${config}: there is no such file`)
  if (!statSync(config).isDirectory()) return config
  const dir = existsSync(join(config, 'config')) ? join(config, 'config') : config
  const found = readdirSync(dir)
    .filter(name => /\.ya?ml$/.test(name))
    .map(name => join(dir, name))
    .filter(file => kindIn(file) === CONFIGURATION_KINDS[role])
  const [first, ...more] = found
  if (first === undefined)
    throw new Refusal(`read configuration ${config}: no ${CONFIGURATION_KINDS[role]} in it`, 'give the file itself, or another --role')
  if (more.length > 0)
    throw new Refusal(
      `read configuration ${config}: ${found.length} files are a ${CONFIGURATION_KINDS[role]}`,
      `give one of them: ${found.join(', ')}`,
    )
  return first
}

interface ConfigValues {
  readonly dataDir: string
  readonly server?: string
  readonly nodeName?: string
  readonly token?: string
}

/** What of a configuration matters here. */
const configValues = (file: string | undefined): ConfigValues => {
  const value: unknown = file === undefined ? {} : parse(readFileSync(file, 'utf8'), { version: '1.1' })
  const fields = Object.entries(value ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  const values = { dataDir: DATA_DIR_DEFAULT, ...Object.fromEntries(fields) }
  if (!values.dataDir.startsWith('/')) throw new Refusal(`read configuration ${file}: dataDir is not an absolute path`)
  return values
}

/** The file wins over the seed at every start of the device: they must not say different things. */
const checkAgreement = (values: ConfigValues, seed: Seed | undefined, { setServer }: PayloadRequest, file: string | undefined): void => {
  if (seed === undefined) return
  if (values.token !== undefined) throw new Refusal(`${file} has a token, and there is a seed`, 'take the token out of the file')
  const bare = (url: string | undefined): string | undefined => url?.replace(/\/$/, '')
  const pairs = [
    ['server', setServer === undefined ? bare(values.server) : undefined, bare(seed.server)],
    ['nodeName', values.nodeName, seed.nodeName],
  ] as const
  for (const [field, inFile, inSeed] of pairs)
    if (inFile !== undefined && inSeed !== undefined && inFile !== inSeed)
      throw new Refusal(`${field} is ${inSeed} in the seed, ${inFile} in ${file}`, 'take it out of one of them')
}

/** In a folder as a device has it: what the device would refuse is refused here. */
const checkManifests = async (manifests: readonly string[], scratch: string, device: string): Promise<void> => {
  const dir = join(scratch, PRELOAD_DIR)
  mkdirSync(dir)
  for (const file of manifests) {
    const name = basename(file)
    if (!/^[^.].*\.(yaml|yml|json)$/.test(name)) throw new Refusal(`manifest ${file}: its name does not end in .yaml, .yml or .json`)
    if (existsSync(join(dir, name))) throw new Refusal(`manifest ${file}: another one is called ${name} too`, 'rename one of them')
    copyFileSync(file, join(dir, name))
  }
  const { problems } = await readPreload({ dir: scratch, files: systemFiles }, { device })
  if (problems[0] !== undefined)
    throw new Refusal(`manifests: ${problems[0]}`, problems.length > 1 ? `and ${problems.length - 1} more` : undefined)
}

const unpackImages = async ({ archives, arch }: PayloadRequest, scratch: string): Promise<{ dir: string; names: string[] } | undefined> => {
  if (archives.length === 0) return undefined
  const dir = join(scratch, 'images')
  const store = openBoardImages(dir, arch)
  for (const archive of archives) {
    if (!existsSync(archive)) throw new Refusal(`image ${archive}: there is no such file`)
    await checkArchitecture(archive, arch, join(scratch, 'archive.tar'))
    try {
      await store.import(archive)
    } catch (error) {
      throw new Refusal(`image ${archive}: ${error instanceof Error ? error.message : String(error)}`, undefined, { cause: error })
    }
  }
  return { dir, names: store.list().flatMap(image => [...image.names]) }
}

/** Checks and unpacks; the image is not touched. Throws a Refusal of one line; nothing is left behind then. */
export const preparePayload = async (request: PayloadRequest): Promise<Payload> => {
  const scratch = mkdtempSync(join(tmpdir(), 'helio-flash-'))
  const discard = (): void => rmSync(scratch, { recursive: true, force: true })
  try {
    checkProgram(request.helio, request.arch)
    const configFile = request.config === undefined ? undefined : configFileOf(request.config, request.role)
    const seed = request.seedText === undefined ? undefined : await parseSeed(request.seedText, 'seed')
    const values = configValues(configFile)
    checkAgreement(values, seed, request, configFile)
    await checkManifests(request.manifests, scratch, seed?.nodeName ?? 'device')
    const images = await unpackImages(request, scratch)
    const program = Math.ceil(statSync(request.helio).size / 4096) * 4096
    const size = images ? treeSize(images.dir) : { bytes: 0, inodes: 0 }
    return {
      ...request,
      configFile,
      seed,
      dataDir: values.dataDir,
      imagesDir: images?.dir,
      imageNames: images?.names ?? [],
      needs: { bytes: program + size.bytes + SPARE_BYTES, inodes: size.inodes + SPARE_INODES },
      discard,
    }
  } catch (error) {
    discard()
    throw error
  }
}
