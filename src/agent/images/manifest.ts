// What OCI and Docker documents say, read from bytes nobody has vouched for: indexes, manifests, configs, and the choice of platform.
// Source: OCI image-spec 1.1 (image-index, manifest, config, image-layout), Docker image manifest v2.2.

import { isObject } from '../../base/json.ts'
import type { ImageConfig } from './images.ts'
import { INDEX_MANIFESTS_MAX, LAYERS_MAX } from './limits.ts'
import { isDigest } from './reference.ts'

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant: string
}

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly sizeBytes: number
  readonly platform: Platform | undefined
  readonly annotations: Readonly<Record<string, string>>
}

export interface Manifest {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface ConfigDocument {
  readonly config: ImageConfig
  readonly diffIds: readonly string[]
}

const INDEX_TYPES = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json']

export const isIndexType = (mediaType: string): boolean => INDEX_TYPES.includes(mediaType)

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const texts = (value: unknown): string[] => (Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [])

const textMap = (value: unknown): Record<string, string> =>
  isObject(value)
    ? Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
    : {}

/** JSON of a document; `what` names it in the error. */
export const parseDocument = (bytes: Uint8Array, what: string): Record<string, unknown> => {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new Error(`read ${what}: not JSON`, { cause })
  }
  if (!isObject(value)) throw new Error(`read ${what}: not a JSON object`)
  return value
}

const platformOf = (value: unknown): Platform | undefined =>
  isObject(value) ? { os: text(value['os']), architecture: text(value['architecture']), variant: text(value['variant']) } : undefined

export const descriptorOf = (value: unknown, what: string): Descriptor => {
  if (!isObject(value)) throw new Error(`read ${what}: a descriptor is missing`)
  const digest = text(value['digest'])
  const size = value['size']
  if (!isDigest(digest)) throw new Error(`read ${what}: digest ${JSON.stringify(value['digest'])} is not sha256`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw new Error(`read ${what}: size of ${digest} is missing`)
  return {
    mediaType: text(value['mediaType']),
    digest,
    sizeBytes: size,
    platform: platformOf(value['platform']),
    annotations: textMap(value['annotations']),
  }
}

export const indexOf = (document: Record<string, unknown>, what: string): readonly Descriptor[] => {
  const manifests = document['manifests']
  if (!Array.isArray(manifests)) throw new Error(`read ${what}: no manifests`)
  if (manifests.length > INDEX_MANIFESTS_MAX) throw new Error(`read ${what}: more than ${INDEX_MANIFESTS_MAX} manifests`)
  return manifests.map(item => descriptorOf(item, what))
}

export const manifestOf = (document: Record<string, unknown>, what: string): Manifest => {
  const layers = document['layers']
  if (!Array.isArray(layers)) throw new Error(`read ${what}: no layers; is it an image manifest?`)
  if (layers.length > LAYERS_MAX) throw new Error(`read ${what}: more than ${LAYERS_MAX} layers`)
  return { config: descriptorOf(document['config'], what), layers: layers.map(item => descriptorOf(item, what)) }
}

export const configOf = (document: Record<string, unknown>, what: string): ConfigDocument => {
  const inner = isObject(document['config']) ? document['config'] : {}
  const rootfs = document['rootfs']
  const diffIds = texts(isObject(rootfs) ? rootfs['diff_ids'] : undefined)
  if (diffIds.length > LAYERS_MAX) throw new Error(`read ${what}: more than ${LAYERS_MAX} layers`)
  const bad = diffIds.find(id => !isDigest(id))
  if (bad !== undefined) throw new Error(`read ${what}: diff id ${JSON.stringify(bad)} is not sha256`)
  return {
    diffIds,
    config: {
      entrypoint: texts(inner['Entrypoint']),
      cmd: texts(inner['Cmd']),
      env: texts(inner['Env']),
      workingDir: text(inner['WorkingDir']),
      user: text(inner['User']),
      stopSignal: text(inner['StopSignal']),
      labels: textMap(inner['Labels']),
    },
  }
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' }

/** The host as the OCI spec names it; Node's arm builds need ARMv7. */
export const hostPlatform = (nodeArch: string): Platform => ({
  os: 'linux',
  architecture: ARCHITECTURES[nodeArch] ?? nodeArch,
  variant: nodeArch === 'arm' ? 'v7' : '',
})

/** A missing variant means v8 on arm64, v7 on arm and v1 on amd64 (containerd's platform normalisation). */
const variantNumber = (platform: Platform): number => {
  const stated = /^v(\d+)/.exec(platform.variant)
  if (stated) return Number(stated[1])
  return platform.architecture === 'arm64' ? 8 : platform.architecture === 'arm' ? 7 : 1
}

const platformText = (platform: Platform | undefined): string =>
  platform === undefined ? 'unstated' : [platform.os, platform.architecture, platform.variant].filter(part => part !== '').join('/')

/** The descriptor of an index that runs here: same os and architecture, the highest variant not above ours; the first of equals. */
export const choosePlatform = (descriptors: readonly Descriptor[], host: Platform, what: string): Descriptor => {
  const fits = (platform: Platform | undefined): boolean =>
    platform === undefined ||
    (platform.os === host.os && platform.architecture === host.architecture && variantNumber(platform) <= variantNumber(host))
  const rank = (descriptor: Descriptor): number => (descriptor.platform === undefined ? 0 : variantNumber(descriptor.platform))
  let best: Descriptor | undefined
  for (const descriptor of descriptors) {
    if (fits(descriptor.platform) && (best === undefined || rank(descriptor) > rank(best))) best = descriptor
  }
  if (best) return best
  const offered = [...new Set(descriptors.map(d => platformText(d.platform)).filter(name => !name.startsWith('unknown')))]
  throw new Error(`choose platform of ${what}: none for ${platformText(host)} among ${offered.join(', ') || 'none'}`)
}
