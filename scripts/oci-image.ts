// Builds a one-layer OCI archive from the machine's static busybox: the image of edge-configs/hello and of the tests.
// No registry and no image tool is involved; the output is reproducible.

import { createHash } from 'node:crypto'
import { createWriteStream, existsSync, readFileSync } from 'node:fs'
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

const rootfs = (recipe: ImageRecipe): Promise<Buffer> =>
  collect(tar => {
    if (!BUSYBOX) throw new Error('build image: no static busybox on this machine (apt-get install busybox-static)')
    for (const dir of ['bin', 'etc', 'tmp', 'www', 'proc', 'sys', 'dev', 'root', 'home'])
      tar.entry({ name: `${dir}/`, type: 'directory', mode: dir === 'tmp' ? 0o1777 : 0o755, mtime: EPOCH })
    tar.entry({ name: 'bin/busybox', mode: 0o755, mtime: EPOCH }, readFileSync(BUSYBOX))
    for (const applet of APPLETS) tar.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox', mtime: EPOCH })
    tar.entry({ name: 'etc/passwd', mtime: EPOCH }, 'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/home:/bin/sh\n')
    tar.entry({ name: 'etc/group', mtime: EPOCH }, 'root:x:0:\nweb:x:1000:\n')
    for (const file of recipe.files ?? []) tar.entry({ name: file.path, mode: file.mode ?? 0o644, mtime: EPOCH }, file.text)
  })

/** Writes an OCI archive (image-layout in a tar) to `path`. */
export const writeImage = async (path: string, recipe: ImageRecipe): Promise<void> => {
  const layer = await rootfs(recipe)
  const blob = gzipSync(layer, { level: 6 })
  const config = Buffer.from(
    JSON.stringify({
      architecture: ARCHITECTURES[process.arch] ?? process.arch,
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
