// From an archive or folder to the list of images in it and their names, read and verified but not yet unpacked.
// Source: OCI image-layout, Docker `save` format (manifest.json).

import { messageOf } from '../../base/errors.ts'
import { isObject } from '../../base/json.ts'
import type { BlobSource } from './blob-source.ts'
import { blobName, readBlob, readSmall, sha256Of } from './digest.ts'
import { DOCUMENT_BYTES_MAX, INDEX_DEPTH_MAX, LAYERS_MAX, NAMES_MAX } from './limits.ts'
import {
  type ConfigDocument,
  choosePlatform,
  configOf,
  type Descriptor,
  indexOf,
  isIndexType,
  manifestOf,
  type Platform,
  parseDocument,
} from './manifest.ts'
import { parseReference } from './reference.ts'

export interface PlannedLayer {
  /** Name of its file in the source. */
  readonly file: string
  readonly sizeBytes: number
  /** Digest of the file as it lies there; undefined where the format has none (docker-archive), then the diff id vouches. */
  readonly digest: string | undefined
  /** Digest of the unpacked tar. */
  readonly diffId: string
}

export interface PlannedImage {
  readonly id: string
  readonly names: readonly string[]
  readonly digests: readonly string[]
  readonly sizeBytes: number
  readonly layers: readonly PlannedLayer[]
  readonly config: ConfigDocument['config']
}

const REF_NAME = 'org.opencontainers.image.ref.name'
/** Docker and containerd write the whole name here and only the tag in REF_NAME. */
const FULL_NAME = 'io.containerd.image.name'

const wholeName = (text: string): string => {
  const reference = parseReference(text)
  if (reference === undefined || reference.digest !== undefined) throw new Error(`name image: ${JSON.stringify(text)} is not an image name`)
  return reference.name
}

const nameOf = (descriptor: Descriptor): string | undefined => descriptor.annotations[FULL_NAME] ?? descriptor.annotations[REF_NAME]

/** Nested indexes down to one manifest; the digests passed on the way are the image's too. */
const findManifest = async (
  source: BlobSource,
  from: Descriptor,
  host: Platform,
): Promise<{ descriptor: Descriptor; bytes: Buffer; digests: string[] }> => {
  let descriptor = from
  const digests: string[] = []
  for (let depth = 0; depth <= INDEX_DEPTH_MAX; depth++) {
    digests.push(descriptor.digest)
    if (descriptor.sizeBytes > DOCUMENT_BYTES_MAX)
      throw new Error(`read manifest: ${descriptor.sizeBytes} bytes, more than ${DOCUMENT_BYTES_MAX}`)
    const bytes = await readBlob(source, descriptor, 'manifest')
    const document = parseDocument(bytes, 'manifest')
    if (!isIndexType(descriptor.mediaType) && !Array.isArray(document['manifests'])) return { descriptor, bytes, digests }
    descriptor = choosePlatform(indexOf(document, `index ${descriptor.digest}`), host, nameOf(from) ?? descriptor.digest)
  }
  throw new Error(`read index: indexes are nested deeper than ${INDEX_DEPTH_MAX}`)
}

const planManifest = async (source: BlobSource, from: Descriptor, names: readonly string[], host: Platform): Promise<PlannedImage> => {
  const found = await findManifest(source, from, host)
  const manifest = manifestOf(parseDocument(found.bytes, 'manifest'), 'manifest')
  if (manifest.config.sizeBytes > DOCUMENT_BYTES_MAX) throw new Error(`read config: more than ${DOCUMENT_BYTES_MAX} bytes`)
  const config = configOf(parseDocument(await readBlob(source, manifest.config, 'config'), 'config'), 'config')
  if (config.diffIds.length !== manifest.layers.length)
    throw new Error(`read config: ${config.diffIds.length} diff ids for ${manifest.layers.length} layers; is it an image?`)
  const layers = manifest.layers.map((layer, i) => ({
    file: blobName(layer.digest),
    sizeBytes: layer.sizeBytes,
    digest: layer.digest,
    diffId: config.diffIds[i] ?? '',
  }))
  return {
    id: manifest.config.digest,
    names,
    digests: found.digests,
    sizeBytes: layers.reduce((sum, layer) => sum + layer.sizeBytes, manifest.config.sizeBytes),
    layers,
    config: config.config,
  }
}

/** Descriptors of the top index by name; several of one name are one image for several platforms. */
const byName = (descriptors: readonly Descriptor[]): Map<string | undefined, Descriptor[]> => {
  const groups = new Map<string | undefined, Descriptor[]>()
  const named = descriptors.some(descriptor => nameOf(descriptor) !== undefined)
  for (const descriptor of descriptors) {
    const name = nameOf(descriptor)
    if (named && name === undefined) continue
    groups.set(name, [...(groups.get(name) ?? []), descriptor])
  }
  return groups
}

const planLayout = async (source: BlobSource, index: Record<string, unknown>, host: Platform): Promise<PlannedImage[]> => {
  const images: PlannedImage[] = []
  for (const [name, descriptors] of byName(indexOf(index, 'index.json'))) {
    const chosen = descriptors.length === 1 ? descriptors[0] : choosePlatform(descriptors, host, name ?? 'index.json')
    if (chosen === undefined) continue
    images.push(await planManifest(source, chosen, name === undefined ? [] : [wholeName(name)], host))
  }
  return images
}

const textsOf = (value: unknown): string[] => (Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [])

const planDockerImage = async (source: BlobSource, entry: unknown): Promise<PlannedImage> => {
  const file = isObject(entry) ? entry['Config'] : undefined
  if (!isObject(entry) || typeof file !== 'string') throw new Error('read manifest.json: an entry without Config')
  const bytes = await readSmall(source, file)
  if (bytes === undefined) throw new Error(`read manifest.json: ${file} is not in the archive`)
  const config = configOf(parseDocument(bytes, 'config'), 'config')
  const files = textsOf(entry['Layers'])
  if (files.length > LAYERS_MAX || files.length !== config.diffIds.length)
    throw new Error(`read manifest.json: ${files.length} layers for ${config.diffIds.length} diff ids`)
  const layers: PlannedLayer[] = []
  for (const [i, layer] of files.entries()) {
    const sizeBytes = await source.size(layer)
    if (sizeBytes === undefined) throw new Error(`read manifest.json: ${layer} is not in the archive`)
    layers.push({ file: layer, sizeBytes, digest: undefined, diffId: config.diffIds[i] ?? '' })
  }
  return {
    id: sha256Of(bytes),
    names: textsOf(entry['RepoTags']).map(wholeName),
    digests: [],
    sizeBytes: layers.reduce((sum, layer) => sum + layer.sizeBytes, bytes.length),
    layers,
    config: config.config,
  }
}

const planDocker = async (source: BlobSource, bytes: Buffer): Promise<PlannedImage[]> => {
  let entries: unknown
  try {
    entries = JSON.parse(bytes.toString())
  } catch (cause) {
    throw new Error(`read manifest.json: ${messageOf(cause)}`, { cause })
  }
  if (!Array.isArray(entries)) throw new Error('read manifest.json: not a list')
  const images: PlannedImage[] = []
  for (const entry of entries) images.push(await planDockerImage(source, entry))
  return images
}

const withName = (images: readonly PlannedImage[], name: string): PlannedImage[] => {
  const ids = new Set(images.map(image => image.id))
  const [only] = images
  if (only === undefined || ids.size !== 1) throw new Error(`name image: the archive holds ${ids.size} images, one name fits one`)
  return [{ ...only, names: [wholeName(name)], digests: [...new Set(images.flatMap(image => image.digests))] }]
}

/** One entry per id, with all its names. */
const merged = (images: readonly PlannedImage[]): PlannedImage[] => {
  const byId = new Map<string, PlannedImage>()
  for (const image of images) {
    const same = byId.get(image.id)
    const names = [...new Set([...(same?.names ?? []), ...image.names])]
    if (names.length > NAMES_MAX) throw new Error(`name image: more than ${NAMES_MAX} names`)
    byId.set(image.id, { ...image, names, digests: [...new Set([...(same?.digests ?? []), ...image.digests])] })
  }
  return [...byId.values()]
}

/** What the source holds for this platform. Refuses an image that would end up without a name. */
export const planImport = async (source: BlobSource, host: Platform, name: string | undefined): Promise<PlannedImage[]> => {
  const index = await readSmall(source, 'index.json')
  const docker = index === undefined ? await readSmall(source, 'manifest.json') : undefined
  if (index === undefined && docker === undefined)
    throw new Error('read archive: neither index.json (OCI) nor manifest.json (Docker) is in it')
  const found = index
    ? await planLayout(source, parseDocument(index, 'index.json'), host)
    : await planDocker(source, docker ?? Buffer.alloc(0))
  if (found.length === 0) throw new Error('read archive: no image is in it')
  const images = name === undefined ? merged(found) : withName(found, name)
  const nameless = images.find(image => image.names.length === 0)
  if (nameless) throw new Error(`name image: ${nameless.id} has no name in the archive; give one with --name`)
  return images
}
