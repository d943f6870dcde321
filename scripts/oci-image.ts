// Builds a one-layer OCI archive from the machine's static busybox: the images of edge-configs and of the tests. Other programs come from the
// machine too, with the shared libraries they name. No registry and no image tool is involved; the output is reproducible.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createWriteStream, existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'].find(path => existsSync(path))
const APPLETS = [
  'sh',
  'httpd',
  'cat',
  'echo',
  'sleep',
  'ls',
  'id',
  'ps',
  'wget',
  'nc',
  'true',
  'false',
  'env',
  'hostname',
  'mkdir',
  'touch',
  'date',
  'grep',
  'tail',
  'head',
  'kill',
  'dd',
  'stat',
  'rm',
  'ip',
]

export interface ImageFile {
  readonly path: string
  readonly text: string
  readonly mode?: number
}

export interface ImageRecipe {
  /** The name it is imported under, `heliopause.local/hello:1`. */
  readonly name: string
  readonly cmd?: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly env?: readonly string[]
  readonly user?: string
  readonly files?: readonly ImageFile[]
  /** Applets of busybox besides the usual ones. */
  readonly applets?: readonly string[]
  /** Programs of this machine, found on its PATH; in the image they lie in /bin. */
  readonly programs?: readonly string[]
  /** Another machine's: its name in OCI's words, and a static busybox for it. */
  readonly board?: { readonly architecture: string; readonly busybox: string }
  /** Folders of this machine that go into the image at the same place, with plain files only. */
  readonly folders?: readonly string[]
}

const EPOCH = new Date(0)
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm' }

const collect = async (fill: (tar: ReturnType<typeof pack>) => void): Promise<Buffer> => {
  const tar = pack()
  const chunks: Buffer[] = []
  fill(tar)
  tar.finalize()
  for await (const chunk of tar) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const PROGRAM_FOLDERS = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin']

/** Where a program of this machine lies; throws with the program's name. */
export const findProgram = (name: string): string => {
  const found = PROGRAM_FOLDERS.map(dir => join(dir, name)).find(existsSync)
  if (found === undefined) throw new Error(`build image: there is no program ${name} on this machine (apt-get install it)`)
  return found
}

/** The loader and the libraries, as the loader finds them here: `libc.so.6 => /lib/…/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`. */
const librariesOf = (program: string): string[] =>
  [...execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(?:=>\s*|^\s*)(\/\S+)(?=\s+\(0x)/gm)].map(match => match[1]!)

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))

/** Path in the image, without a leading slash → file of this machine, in one order everywhere. */
const copiesOf = ({ programs = [], folders = [] }: ImageRecipe): [path: string, source: string][] => {
  const found = programs.map(findProgram)
  const copies = new Map(found.map(program => [`bin/${basename(program)}`, program]))
  for (const source of [...found.flatMap(librariesOf), ...folders.flatMap(filesBelow)]) copies.set(source.slice(1), source)
  return [...copies].sort(([a], [b]) => (a < b ? -1 : 1))
}

/** The folders above the paths, outermost first. */
const foldersAbove = (paths: readonly string[]): string[] => {
  const folders = new Set<string>()
  for (const path of paths) for (let dir = dirname(path); dir !== '.'; dir = dirname(dir)) folders.add(dir)
  return [...folders].sort()
}

const FOLDERS = ['bin', 'etc', 'tmp', 'www', 'proc', 'sys', 'dev', 'root', 'home']

const rootfs = (recipe: ImageRecipe): Promise<Buffer> =>
  collect(tar => {
    const busybox = recipe.board?.busybox ?? BUSYBOX
    if (!busybox) throw new Error('build image: no static busybox on this machine (apt-get install busybox-static)')
    const copies = copiesOf(recipe)
    for (const dir of [...FOLDERS, ...foldersAbove(copies.map(([path]) => path)).filter(dir => !FOLDERS.includes(dir))])
      tar.entry({ name: `${dir}/`, type: 'directory', mode: dir === 'tmp' ? 0o1777 : 0o755, mtime: EPOCH })
    tar.entry({ name: 'bin/busybox', mode: 0o755, mtime: EPOCH }, readFileSync(busybox))
    for (const applet of [...APPLETS, ...(recipe.applets ?? [])])
      tar.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox', mtime: EPOCH })
    tar.entry({ name: 'etc/passwd', mtime: EPOCH }, 'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/home:/bin/sh\n')
    tar.entry({ name: 'etc/group', mtime: EPOCH }, 'root:x:0:\nweb:x:1000:\n')
    for (const [path, source] of copies) tar.entry({ name: path, mode: 0o755, mtime: EPOCH }, readFileSync(source))
    for (const file of recipe.files ?? []) tar.entry({ name: file.path, mode: file.mode ?? 0o644, mtime: EPOCH }, file.text)
  })

/** Writes an OCI archive (image-layout in a tar) to `path`. */
export const writeImage = async (path: string, recipe: ImageRecipe): Promise<void> => {
  const layer = await rootfs(recipe)
  const blob = gzipSync(layer, { level: 6 })
  const config = Buffer.from(
    JSON.stringify({
      architecture: recipe.board?.architecture ?? ARCHITECTURES[process.arch] ?? process.arch,
      os: 'linux',
      config: {
        Env: ['PATH=/bin', ...(recipe.env ?? [])],
        Cmd: recipe.cmd ?? ['/bin/sh'],
        ...(recipe.entrypoint ? { Entrypoint: recipe.entrypoint } : {}),
        ...(recipe.user ? { User: recipe.user } : {}),
      },
      rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
    }),
  )
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: `sha256:${sha256(config)}`, size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: `sha256:${sha256(blob)}`, size: blob.length }],
    }),
  )
  const index = JSON.stringify({
    schemaVersion: 2,
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: `sha256:${sha256(manifest)}`,
        size: manifest.length,
        annotations: { 'org.opencontainers.image.ref.name': recipe.name },
      },
    ],
  })
  const tar = pack()
  tar.entry({ name: 'oci-layout', mtime: EPOCH }, JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  tar.entry({ name: 'index.json', mtime: EPOCH }, index)
  for (const bytes of [config, manifest, blob]) tar.entry({ name: `blobs/sha256/${sha256(bytes)}`, mtime: EPOCH }, bytes)
  tar.finalize()
  await pipeline(tar, createWriteStream(path))
}
