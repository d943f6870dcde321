// Unpacked layers on disk: made in a scratch directory, flushed, then renamed into place, so a layer is there whole or not at all.
// Named by the diff id; by the chain id where the content depends on the layers below (opaque directories).

import { createHash } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { messageOf } from '../../base/errors.ts'
import type { Exec } from '../../base/exec.ts'
import type { Log } from '../../base/log.ts'
import type { BlobSource } from './blob-source.ts'
import { decompressed, MAGIC_BYTES } from './decompress.ts'
import { meter } from './digest.ts'
import type { PlannedLayer } from './image-plan.ts'
import { fsyncDirectory } from './index-file.ts'
import { lookAt } from './layer-path.ts'
import { LAYER_BYTES_MAX } from './limits.ts'
import { unpackLayer } from './unpack.ts'
import { whiteoutMaker } from './whiteout.ts'

/** Directory names are the first 128 bits of the digest: overlay mount options must fit one page, and 64 digits a layer do not. */
const DIGITS = 32

export const layerName = (digest: string): string => digest.slice('sha256:'.length, 'sha256:'.length + DIGITS)

/** Chain id of a stack of diff ids. Source: OCI image-spec config.md, "Layer ChainID". */
export const chainIdOf = (below: string | undefined, diffId: string): string =>
  below === undefined ? diffId : `sha256:${createHash('sha256').update(`${below} ${diffId}`).digest('hex')}`

/** Name of a layer whose content was written out against the stack below it; never equal to a plain diff id. */
const stackName = (chainId: string): string => createHash('sha256').update(`opaque ${chainId}`).digest('hex').slice(0, DIGITS)

export interface LayerStoreDeps {
  readonly exec: Exec
  readonly log: Log
}

export interface AddLayer {
  readonly source: BlobSource
  readonly layer: PlannedLayer
  readonly chainId: string
  /** Absolute directories below it, lowest first. */
  readonly lowers: readonly string[]
  readonly onBytes: (count: number) => void
  readonly signal: AbortSignal | undefined
}

const fsyncTree = (path: string): void => {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const at = join(path, entry.name)
    if (entry.isDirectory()) fsyncTree(at)
    else if (entry.isFile()) {
      const fd = openSync(at, 'r')
      try {
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
    }
  }
  fsyncDirectory(path)
}

/** All of a directory on disk: syncfs by coreutils' `sync -f`, else file by file. */
const flush = async (path: string, exec: Exec): Promise<void> => {
  if (exec.find('sync') !== undefined && (await exec.run('sync', ['-f', path])).code === 0) return
  fsyncTree(path)
}

const readHead = async (source: BlobSource, file: string): Promise<Buffer> => {
  const stream: Readable = source.stream(file)
  const parts: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    parts.push(chunk)
    bytes += chunk.length
    if (bytes >= MAGIC_BYTES) break
  }
  return Buffer.concat(parts).subarray(0, MAGIC_BYTES)
}

/** Unpacks into `target` while hashing the blob and the tar; throws unless both digests and the size are right. */
const unpackVerified = async (deps: LayerStoreDeps, add: AddLayer, target: string, device: string): Promise<boolean> => {
  const { source, layer } = add
  const what = `layer ${layer.diffId.slice(0, 19)}`
  const size = await source.size(layer.file)
  if (size === undefined) throw new Error(`read ${what}: ${layer.digest ?? layer.file} is not in the archive`)
  if (size !== layer.sizeBytes) throw new Error(`verify ${what}: ${size} bytes, its descriptor says ${layer.sizeBytes}`)
  const packed = meter(what, layer.sizeBytes, add.onBytes)
  const unpacked = meter(what, LAYER_BYTES_MAX)
  const head = await readHead(source, layer.file)
  const input = source.stream(layer.file)
  input.on('error', error => packed.stream.destroy(error))
  const inflated = decompressed(input.pipe(packed.stream), head)
  inflated.on('error', error => unpacked.stream.destroy(error))
  try {
    const result = await unpackLayer(inflated.pipe(unpacked.stream), {
      target,
      lowers: add.lowers,
      exec: deps.exec,
      whiteout: whiteoutMaker(device, deps.exec),
      asRoot: process.getuid?.() === 0,
      what,
      signal: add.signal,
    })
    if (packed.bytes !== layer.sizeBytes) throw new Error(`verify ${what}: data after the end of the compressed stream`)
    const digest = packed.digest()
    if (layer.digest !== undefined && digest !== layer.digest)
      throw new Error(`verify ${what}: the bytes of ${layer.digest} have digest ${digest}`)
    const diffId = unpacked.digest()
    if (diffId !== layer.diffId) throw new Error(`verify ${what}: it unpacks to ${diffId}, its config says ${layer.diffId}`)
    if (result.xattrsDropped > 0)
      deps.log.info('file capabilities not kept, setfattr is missing', { layer: layer.diffId, count: result.xattrsDropped })
    return result.dependsOnLowers
  } finally {
    input.destroy()
    packed.stream.destroy()
    inflated.destroy()
    unpacked.stream.destroy()
  }
}

/** Directory of the layer, unpacked now or before. The caller holds the lock. */
export const addLayer = async (deps: LayerStoreDeps, dir: string, add: AddLayer): Promise<string> => {
  const layers = join(dir, 'layers')
  for (const name of [layerName(add.layer.diffId), stackName(add.chainId)]) {
    if (lookAt(join(layers, name)) !== 'directory') continue
    add.onBytes(add.layer.sizeBytes)
    return name
  }
  const target = join(dir, 'scratch', 'layer')
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true, mode: 0o755 })
  let dependsOnLowers: boolean
  try {
    dependsOnLowers = await unpackVerified(deps, add, target, join(dir, 'whiteout'))
  } catch (error) {
    throw error instanceof Error && /^(?:unpack|verify|read|make|decompress) /.test(error.message)
      ? error
      : new Error(`unpack layer ${add.layer.diffId.slice(0, 19)}: ${messageOf(error)}`, { cause: error })
  }
  const name = dependsOnLowers ? stackName(add.chainId) : layerName(add.layer.diffId)
  await flush(target, deps.exec)
  renameSync(target, join(layers, name))
  fsyncDirectory(layers)
  return name
}

/** Layers that mounted overlays of this mount namespace stand on. */
const mountedLayers = (layers: string): ReadonlySet<string> => {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  return new Set(readdirSync(layers).filter(name => mounts.includes(name)))
}

/** Removes the layers no image names and no container stands on. The caller holds the lock. */
export const collectLayers = (dir: string, needed: ReadonlySet<string>): void => {
  const layers = join(dir, 'layers')
  const garbage = readdirSync(layers).filter(name => !needed.has(name))
  if (garbage.length === 0) return
  const mounted = mountedLayers(layers)
  for (const name of garbage) if (!mounted.has(name)) rmSync(join(layers, name), { recursive: true, force: true })
}
