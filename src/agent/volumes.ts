// What the volumes of a pod shall hold: a pure layout that the writer makes so. Content is compared by what it was made from, so an
// unchanged ConfigMap writes nothing. Source: k8s core/v1 Volume; kubelet's volume plugins for modes and messages.

import { canonicalJson, isObject } from '../base/json.ts'
import type { ConfigMap, Secret } from '../kinds/config-map.ts'
import type { KeyToPath, Pod, Volume } from '../kinds/pod.ts'
import { quantityBytes } from '../kinds/quantity.ts'
import { type Device, etcDir, hostnameOf, namespaceOf, type Surroundings, usesHostNetwork, volumeDir } from './device.ts'
import { type ConfigProblem, isProblem } from './env.ts'
import { fieldValue, type PodFacts, resourceValue } from './field-ref.ts'

/** Exactly one of `text` and `base64`. `path` is relative, clean, without `..`. */
export interface VolumeFile {
  readonly path: string
  readonly mode: number
  readonly text?: string
  readonly base64?: string
}

export type VolumeLayout =
  | {
      readonly holds: 'files'
      readonly dir: string
      readonly files: readonly VolumeFile[]
      readonly fsGroup?: number
      /** Holds Secrets: on a file system in memory. */
      readonly inMemory?: true
    }
  | { readonly holds: 'empty'; readonly dir: string; readonly fsGroup?: number }
  | { readonly holds: 'memory'; readonly dir: string; readonly sizeBytes: number; readonly fsGroup?: number }
  | { readonly holds: 'host'; readonly path: string; readonly type: string }

export interface PodLayout {
  readonly volumes: readonly VolumeLayout[]
  /** /etc files of the pod. */
  readonly etc: { readonly dir: string; readonly files: readonly VolumeFile[] }
  /** Equal text = equal content. */
  readonly revision: string
}

const cleanPath = (path: string): string | undefined => {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  return path.startsWith('/') || parts.includes('..') || parts.length === 0 || parts[0]?.startsWith('..') ? undefined : parts.join('/')
}

type Files = readonly VolumeFile[] | ConfigProblem

const entriesOf = (object: ConfigMap | Secret): Map<string, Pick<VolumeFile, 'text' | 'base64'>> => {
  const entries = new Map<string, Pick<VolumeFile, 'text' | 'base64'>>()
  for (const [key, value] of Object.entries(object.data ?? {}))
    entries.set(key, object.kind === 'Secret' ? { base64: value } : { text: value })
  if (object.kind === 'ConfigMap') for (const [key, value] of Object.entries(object.binaryData ?? {})) entries.set(key, { base64: value })
  return entries
}

interface KeyedSource {
  readonly kind: 'configmap' | 'secret'
  readonly name: string
  readonly items: readonly KeyToPath[] | undefined
  readonly optional: boolean
  readonly mode: number
}

const keyedFiles = (pod: Pod, source: KeyedSource, around: Surroundings): Files => {
  const namespace = namespaceOf(pod)
  const object = source.kind === 'secret' ? around.secret(namespace, source.name) : around.configMap(namespace, source.name)
  if (!object) return source.optional ? [] : { problem: `${source.kind} "${source.name}" not found` }
  const entries = entriesOf(object)
  const items = source.items ?? [...entries.keys()].sort().map((key): KeyToPath => ({ key, path: key }))
  const files: VolumeFile[] = []
  for (const item of items) {
    const content = entries.get(item.key)
    const path = cleanPath(item.path)
    if (path === undefined) return { problem: `path "${item.path}" leaves the volume` }
    if (content) files.push({ path, mode: item.mode ?? source.mode, ...content })
    else if (!source.optional) return { problem: `${source.kind} references non-existent config key: ${item.key}` }
  }
  return files
}

const downwardFiles = (pod: Pod, source: NonNullable<Volume['downwardAPI']>, mode: number, facts: PodFacts): Files => {
  const files: VolumeFile[] = []
  for (const item of source.items ?? []) {
    const path = cleanPath(item.path)
    const value = item.fieldRef
      ? fieldValue(pod, item.fieldRef.fieldPath, facts)
      : item.resourceFieldRef && resourceValue(pod, item.resourceFieldRef, '', facts)
    if (path === undefined) return { problem: `path "${item.path}" leaves the volume` }
    if (value === undefined) return { problem: `unsupported downwardAPI item ${item.path}` }
    files.push({ path, mode: item.mode ?? mode, text: value })
  }
  return files
}

const projectedFiles = (pod: Pod, source: NonNullable<Volume['projected']>, around: Surroundings, facts: PodFacts): Files => {
  const mode = source.defaultMode ?? 0o644
  const files = new Map<string, VolumeFile>()
  for (const part of source.sources ?? []) {
    const [kind, value] = Object.entries(part).find(([, v]) => isObject(v)) ?? ['', {}]
    const made = projectedPart(pod, kind, value as Record<string, unknown>, mode, around, facts)
    if (isProblem(made)) return made
    for (const file of made) files.set(file.path, file)
  }
  return [...files.values()]
}

const projectedPart = (
  pod: Pod,
  kind: string,
  value: Record<string, unknown>,
  mode: number,
  around: Surroundings,
  facts: PodFacts,
): Files => {
  if (kind === 'downwardAPI') return downwardFiles(pod, value as NonNullable<Volume['downwardAPI']>, mode, facts)
  if (kind !== 'configMap' && kind !== 'secret') return { problem: `projected source ${kind || '(empty)'} is not offered on this device` }
  const { name = '', items, optional = false } = value as { name?: string; items?: KeyToPath[]; optional?: boolean }
  return keyedFiles(pod, { kind: kind === 'secret' ? 'secret' : 'configmap', name, items, optional, mode }, around)
}

const filesOf = (pod: Pod, volume: Volume, around: Surroundings, facts: PodFacts): Files | undefined => {
  const { configMap, secret, downwardAPI, projected } = volume
  if (configMap) {
    const { name = '', items, optional = false, defaultMode: mode = 0o644 } = configMap
    return keyedFiles(pod, { kind: 'configmap', name, items, optional, mode }, around)
  }
  if (secret) {
    const { secretName: name = '', items, optional = false, defaultMode: mode = 0o644 } = secret
    return keyedFiles(pod, { kind: 'secret', name, items, optional, mode }, around)
  }
  if (downwardAPI) return downwardFiles(pod, downwardAPI, downwardAPI.defaultMode ?? 0o644, facts)
  return projected && projectedFiles(pod, projected, around, facts)
}

const holdsSecrets = ({ secret, projected }: Volume): boolean =>
  secret !== undefined || (projected?.sources ?? []).some(part => 'secret' in (part as object))

const layoutOf = (pod: Pod, volume: Volume, device: Device, around: Surroundings, facts: PodFacts): VolumeLayout | ConfigProblem => {
  if (volume.hostPath) return { holds: 'host', path: volume.hostPath.path, type: volume.hostPath.type ?? '' }
  const dir = volumeDir(device, pod.metadata.uid ?? '', volume.name)
  const fsGroup = pod.spec.securityContext?.fsGroup
  const owned = { dir, ...(fsGroup === undefined ? {} : { fsGroup }) }
  const files = filesOf(pod, volume, around, facts)
  if (files && isProblem(files)) return files
  if (files) return { holds: 'files', files, ...owned, ...(device.secretsInMemory && holdsSecrets(volume) ? { inMemory: true } : {}) }
  const { emptyDir } = volume
  if (emptyDir?.medium === 'Memory') return { holds: 'memory', sizeBytes: quantityBytes(emptyDir.sizeLimit), ...owned }
  if (emptyDir || Object.keys(volume).length === 1) return { holds: 'empty', ...owned }
  return { problem: `no volume plugin matched: ${Object.keys(volume).find(key => key !== 'name') ?? ''} is not offered on this device` }
}

const hostsText = (pod: Pod, device: Device, address: string | undefined): string => {
  const aliases = (pod.spec.hostAliases ?? []).map(alias => `${alias.ip}\t${(alias.hostnames ?? []).join('\t')}\n`).join('')
  if (usesHostNetwork(pod, device)) return device.hostsFile + aliases
  const hostname = hostnameOf(pod)
  const domain = pod.spec.subdomain ? `${hostname}.${pod.spec.subdomain}.${namespaceOf(pod)}.svc.cluster.local\t` : ''
  const fixed =
    '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n'
  return `${fixed}${address === undefined ? '' : `${address}\t${domain}${hostname}\n`}${aliases}`
}

const resolvText = (pod: Pod, device: Device): string => {
  const own = pod.spec.dnsConfig ?? {}
  const base = pod.spec.dnsPolicy === 'None' ? [] : device.resolvConf.split('\n').filter(line => line.trim() !== '')
  const options = (own.options ?? []).map(o => (o.value === undefined ? (o.name ?? '') : `${o.name ?? ''}:${o.value}`))
  const lines = [
    ...base,
    ...(own.nameservers ?? []).map(server => `nameserver ${server}`),
    ...(own.searches?.length ? [`search ${own.searches.join(' ')}`] : []),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ]
  return lines.map(line => `${line}\n`).join('')
}

/** The layout of all volumes and /etc files of a pod, or what is missing for it (`MountVolume.SetUp failed …` as upstream says it). */
export const podLayout = (pod: Pod, address: string | undefined, device: Device, around: Surroundings): PodLayout | ConfigProblem => {
  const facts: PodFacts = { device, address, hostname: hostnameOf(pod) }
  const volumes: VolumeLayout[] = []
  for (const volume of pod.spec.volumes ?? []) {
    const layout = layoutOf(pod, volume, device, around, facts)
    if (isProblem(layout)) return { problem: `MountVolume.SetUp failed for volume "${volume.name}" : ${layout.problem}` }
    volumes.push(layout)
  }
  const files = [
    { path: 'hosts', mode: 0o644, text: hostsText(pod, device, address) },
    { path: 'hostname', mode: 0o644, text: `${facts.hostname}\n` },
    { path: 'resolv.conf', mode: 0o644, text: resolvText(pod, device) },
  ]
  const etc = { dir: etcDir(device, pod.metadata.uid ?? ''), files }
  return { volumes, etc, revision: revisionOf(volumes, etc) }
}

/** 106 bits of two multiplicative hashes: a change is missed less often than a disk lies. Not a signature. */
const revisionOf = (volumes: readonly VolumeLayout[], etc: PodLayout['etc']): string => {
  const text = canonicalJson({ volumes, etc })
  let [a, b, c, d] = [0xdeadbeef, 0x41c6ce57, 0x9e3779b9, 0x85ebca6b]
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    a = Math.imul(a ^ code, 2654435761)
    b = Math.imul(b ^ code, 1597334677)
    c = Math.imul(c ^ code, 2246822507)
    d = Math.imul(d ^ code, 3266489909)
  }
  return [a, b, c, d].map(word => (word >>> 0).toString(36)).join('.')
}
