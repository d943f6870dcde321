// Rules of volumes and of their mounts. Source: k8s pkg/apis/core/validation. Volumes upstream knows and this system does not run pass
// with their name checked: a device says so when it meets one.

import type { Cause } from './causes.ts'
import { duplicate, forbidden, invalid, invalidAll, notFound, oneOf, required } from './causes.ts'
import { VOLUME_FIELD_PATHS, validateFieldRef, validateResourceRef } from './env-validation.ts'
import { dns1123Label } from './names.ts'
import type { Container, KeyToPath, Volume } from './pod.ts'
import { parseQuantity } from './quantity.ts'

const MODE_MESSAGE = 'must be a number between 0 and 0777 (octal), both inclusive'
const HOST_PATH_TYPES = ['', 'BlockDevice', 'CharDevice', 'Directory', 'DirectoryOrCreate', 'File', 'FileOrCreate', 'Socket']

const validateMode = (mode: number | undefined, path: string): Cause[] =>
  mode === undefined || (mode >= 0 && mode <= 0o777) ? [] : [invalid(path, mode, MODE_MESSAGE)]

/** Relative, and never above where it starts. */
export const validateDescendingPath = (target: string, path: string): Cause[] => [
  ...(target.startsWith('/') ? [invalid(path, target, 'must be a relative path')] : []),
  ...(target.split('/').includes('..') ? [invalid(path, target, "must not contain '..'")] : []),
]

/** Names that start with two dots are the volume's own. */
const validateItemPath = (target: string | undefined, path: string): Cause[] => {
  if (!target) return [required(path)]
  const causes = validateDescendingPath(target, path)
  if (target.startsWith('..') && causes.length === 0) causes.push(invalid(path, target, "must not start with '..'"))
  return causes
}

const validateItems = (items: readonly KeyToPath[] | undefined, path: string): Cause[] =>
  (items ?? []).flatMap((item, i) => [
    ...(item.key ? [] : [required(`${path}[${i}].key`)]),
    ...validateItemPath(item.path, `${path}[${i}].path`),
    ...validateMode(item.mode, `${path}[${i}].mode`),
  ])

type DownwardItem = NonNullable<NonNullable<Volume['downwardAPI']>['items']>[number]

const validateDownwardItems = (items: readonly DownwardItem[] | undefined, path: string): Cause[] =>
  (items ?? []).flatMap((item, i) => {
    const at = `${path}[${i}]`
    const causes = validateItemPath(item.path, `${at}.path`)
    if (item.fieldRef) {
      causes.push(...validateFieldRef(item.fieldRef, VOLUME_FIELD_PATHS, `${at}.fieldRef`))
      if (item.resourceFieldRef) causes.push(invalid(at, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'))
    } else if (item.resourceFieldRef) causes.push(...validateResourceRef(item.resourceFieldRef, true, `${at}.resourceFieldRef`))
    else causes.push(required(at, 'one of fieldRef and resourceFieldRef is required'))
    return [...causes, ...validateMode(item.mode, `${at}.mode`)]
  })

const PROJECTIONS = ['secret', 'configMap', 'downwardAPI', 'serviceAccountToken', 'clusterTrustBundle', 'podCertificate']

interface Projection {
  readonly name?: string
  readonly path?: string
  readonly expirationSeconds?: number
  readonly items?: readonly (KeyToPath & DownwardItem)[]
}

const projectionPaths = (source: Projection): string[] => [
  ...(source.items ?? []).map(item => item.path ?? ''),
  ...(source.path === undefined ? [] : [source.path]),
]

const validateProjection = (kind: string, source: Projection, path: string): Cause[] => {
  if (kind === 'downwardAPI') return validateDownwardItems(source.items, `${path}.items`)
  if (kind === 'serviceAccountToken') {
    const seconds = source.expirationSeconds ?? 0
    return [
      ...(seconds < 600 ? [invalid(`${path}.expirationSeconds`, seconds, 'may not specify a duration less than 10 minutes')] : []),
      ...validateItemPath(source.path, `${path}.path`),
    ]
  }
  if (kind !== 'secret' && kind !== 'configMap') return []
  return [...(source.name ? [] : [required(`${path}.name`)]), ...validateItems(source.items, `${path}.items`)]
}

const validateProjected = ({ sources = [], defaultMode }: NonNullable<Volume['projected']>, path: string): Cause[] => {
  const causes = validateMode(defaultMode, `${path}.defaultMode`)
  const paths = new Set<string>()
  for (const [i, source] of sources.entries()) {
    const at = `${path}.sources[${i}]`
    const kinds = PROJECTIONS.filter(kind => source[kind] !== undefined)
    if (kinds.length === 0) causes.push(required(at, 'must specify a source type'))
    for (const extra of kinds.slice(1)) causes.push(forbidden(`${at}.${extra}`, 'may not specify more than 1 volume type'))
    const [kind] = kinds
    if (kind === undefined) continue
    const projection = source[kind] as Projection
    causes.push(...validateProjection(kind, projection, `${at}.${kind}`))
    for (const target of projectionPaths(projection)) {
      if (paths.has(target)) causes.push(invalid(at, target, 'conflicting duplicate paths'))
      paths.add(target)
    }
  }
  return causes
}

const validateSource = (volume: Volume, source: string, path: string): Cause[] => {
  const { configMap, secret, hostPath, downwardAPI, projected, emptyDir } = volume
  switch (source) {
    case 'configMap':
      if (!configMap?.name) return [required(`${path}.name`)]
      return [...validateMode(configMap.defaultMode, `${path}.defaultMode`), ...validateItems(configMap.items, `${path}.items`)]
    case 'secret':
      if (!secret?.secretName) return [required(`${path}.secretName`)]
      return [...validateMode(secret.defaultMode, `${path}.defaultMode`), ...validateItems(secret.items, `${path}.items`)]
    case 'hostPath':
      if (!hostPath?.path) return [required(`${path}.path`)]
      return [
        ...(hostPath.path.split('/').includes('..') ? [invalid(`${path}.path`, hostPath.path, "must not contain '..'")] : []),
        ...oneOf(`${path}.type`, hostPath.type, HOST_PATH_TYPES),
      ]
    case 'downwardAPI':
      return [
        ...validateMode(downwardAPI?.defaultMode, `${path}.defaultMode`),
        ...validateDownwardItems(downwardAPI?.items, `${path}.items`),
      ]
    case 'projected':
      return projected ? validateProjected(projected, path) : []
    case 'emptyDir': {
      const size = emptyDir?.sizeLimit === undefined ? undefined : parseQuantity(emptyDir.sizeLimit)
      return size && size.nano < 0n ? [forbidden(`${path}.sizeLimit`, 'SizeLimit field must be a valid resource quantity')] : []
    }
    default:
      return []
  }
}

/** The volumes' own rules. */
export const validateVolumes = (volumes: readonly Volume[] | undefined, path: string): Cause[] => {
  const names = new Set<string>()
  return (volumes ?? []).flatMap((volume, i) => {
    const at = `${path}[${i}]`
    const [source, ...extra] = Object.keys(volume).filter(key => key !== 'name' && volume[key] !== undefined)
    const causes = source === undefined ? [required(at, 'must specify a volume type')] : validateSource(volume, source, `${at}.${source}`)
    for (const each of extra) causes.push(forbidden(`${at}.${each}`, 'may not specify more than 1 volume type'))
    if (!volume.name) causes.push(required(`${at}.name`))
    else causes.push(...invalidAll(`${at}.name`, volume.name, dns1123Label(volume.name)))
    if (names.has(volume.name)) causes.push(duplicate(`${at}.name`, volume.name))
    names.add(volume.name)
    return causes
  })
}

/** The mounts of one container. `volumes` are the names the pod declares. */
export const validateMounts = (container: Container, volumes: ReadonlySet<string>, path: string): Cause[] => {
  const targets = new Set<string>()
  return (container.volumeMounts ?? []).flatMap((mount, i) => {
    const at = `${path}[${i}]`
    const causes: Cause[] = []
    if (!mount.name) causes.push(required(`${at}.name`))
    if (!volumes.has(mount.name)) causes.push(notFound(`${at}.name`, mount.name ?? ''))
    if (!mount.mountPath) causes.push(required(`${at}.mountPath`))
    else if (targets.has(mount.mountPath)) causes.push(invalid(`${at}.mountPath`, mount.mountPath, 'must be unique'))
    targets.add(mount.mountPath)
    if (mount.subPath) causes.push(...validateDescendingPath(mount.subPath, `${at}.subPath`))
    if (mount.subPathExpr) {
      if (mount.subPath) causes.push(invalid(`${at}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'))
      causes.push(...validateDescendingPath(mount.subPathExpr, `${at}.subPathExpr`))
    }
    causes.push(...oneOf(`${at}.mountPropagation`, mount.mountPropagation, ['Bidirectional', 'HostToContainer', 'None']))
    if (mount.mountPropagation === 'Bidirectional' && container.securityContext?.privileged !== true) {
      causes.push(forbidden(`${at}.mountPropagation`, 'Bidirectional mount propagation is available only to privileged containers'))
    }
    return causes
  })
}
