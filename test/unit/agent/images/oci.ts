// Small OCI layouts made by hand, honest and malicious ones, for the tests of the image store.

import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'
import { silentLog } from '../../../../src/base/log.ts'
import { systemClock } from '../../../../src/host/clock.ts'
import { systemExec } from '../../../../src/host/exec.ts'

export const storeDeps = {
  clock: systemClock,
  exec: systemExec,
  log: silentLog,
  platform: { os: 'linux', architecture: 'amd64', variant: '' },
}

export type TarItem = Partial<Header> & { readonly name: string; readonly body?: string | Buffer }

const MTIME = new Date('2020-02-02T02:02:02Z')

export const tarOf = async (items: readonly TarItem[]): Promise<Buffer> => {
  const tar = pack()
  for (const { body, ...header } of items) tar.entry({ mtime: MTIME, ...header }, body ?? '')
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export const sha256 = (bytes: Uint8Array | string): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  platform?: Record<string, string>
  annotations?: Record<string, string>
}

export interface Layout {
  /** Files of the layout by name. */
  readonly files: Map<string, Buffer>
  readonly blob: (bytes: Buffer | string, mediaType: string) => Descriptor
}

export const newLayout = (): Layout => {
  const files = new Map<string, Buffer>([['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')]])
  return {
    files,
    blob(bytes, mediaType) {
      const buffer = Buffer.from(bytes)
      const digest = sha256(buffer)
      files.set(`blobs/sha256/${digest.slice(7)}`, buffer)
      return { mediaType, digest, size: buffer.length }
    },
  }
}

export const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const INDEX = 'application/vnd.oci.image.index.v1+json'
const LAYER = 'application/vnd.oci.image.layer.v1.tar'

export interface ImageOptions {
  readonly compress?: 'gzip' | 'none' | ((tar: Buffer) => Buffer)
  readonly config?: Record<string, unknown>
  readonly architecture?: string
  readonly diffIds?: readonly string[]
}

/** Adds an image to the layout; its descriptor, not yet in an index. */
export const addImage = (layout: Layout, layers: readonly Buffer[], options: ImageOptions = {}): Descriptor => {
  const { compress = 'gzip' } = options
  const packed = layers.map(tar => (compress === 'gzip' ? gzipSync(tar) : compress === 'none' ? tar : compress(tar)))
  const descriptors = packed.map(bytes => layout.blob(bytes, compress === 'gzip' ? `${LAYER}+gzip` : LAYER))
  const config = {
    architecture: options.architecture ?? 'amd64',
    os: 'linux',
    config: { Cmd: ['/bin/app'], Env: ['PATH=/bin'], WorkingDir: '/srv', User: '1000:1000', ...options.config },
    rootfs: { type: 'layers', diff_ids: options.diffIds ?? layers.map(tar => sha256(tar)) },
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: layout.blob(JSON.stringify(config), 'application/vnd.oci.image.config.v1+json'),
    layers: descriptors,
  }
  return layout.blob(JSON.stringify(manifest), MANIFEST)
}

export const named = (descriptor: Descriptor, name: string): Descriptor => ({
  ...descriptor,
  annotations: { ...descriptor.annotations, 'org.opencontainers.image.ref.name': name },
})

export const setIndex = (layout: Layout, manifests: readonly Descriptor[]): void => {
  layout.files.set('index.json', Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })))
}

export const writeFolder = (layout: Layout, dir: string): string => {
  mkdirSync(join(dir, 'blobs/sha256'), { recursive: true })
  for (const [name, bytes] of layout.files) writeFileSync(join(dir, name), bytes)
  return dir
}

export const writeArchive = async (layout: Layout, file: string, gzip = false): Promise<string> => {
  const tar = await tarOf([...layout.files].map(([name, body]) => ({ name, body })))
  writeFileSync(file, gzip ? gzipSync(tar) : tar)
  return file
}

/** A layout of one image `name` with these layers. */
export const oneImage = async (name: string, layers: readonly (readonly TarItem[])[], options: ImageOptions = {}): Promise<Layout> => {
  const layout = newLayout()
  const tars: Buffer[] = []
  for (const items of layers) tars.push(await tarOf(items))
  setIndex(layout, [named(addImage(layout, tars, options), name)])
  return layout
}
