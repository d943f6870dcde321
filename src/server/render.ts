// What one device shall run, as a document: pure over a View. Status, resourceVersion and bookkeeping stay out, so a status report
// never changes the document it answers to. DESIGN section 6, point 1.

import type { KubeObject, ObjectMeta } from '../base/object.ts'
import type { View } from '../controllers/controller.ts'
import type { ConfigMap, Secret } from '../kinds/config-map.ts'
import { REPLACES, STOP_AFTER, SUPERSEDED } from '../kinds/disconnection.ts'
import { HOLD, HOLD_ID } from '../kinds/hold.ts'
import { keyOf } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
import type { Container, Pod, PodSpec } from '../kinds/pod.ts'
import type { Document } from '../link/messages.ts'

/** Annotations that are the server's own bookkeeping: a device must not see them change. */
const BOOKKEEPING: ReadonlySet<string> = new Set(['kubectl.kubernetes.io/last-applied-configuration', SUPERSEDED, REPLACES, HOLD, HOLD_ID])

/** The metadata a device needs: who it is, what it is called, whether it is being deleted. */
const slimMetadata = (meta: ObjectMeta): ObjectMeta => {
  const { name, namespace, uid, labels, annotations, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds } = meta
  const kept = annotations && Object.fromEntries(Object.entries(annotations).filter(([key]) => !BOOKKEEPING.has(key)))
  return {
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(labels ? { labels } : {}),
    ...(kept && Object.keys(kept).length > 0 ? { annotations: kept } : {}),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(deletionGracePeriodSeconds === undefined ? {} : { deletionGracePeriodSeconds }),
  }
}

const slim = <T extends KubeObject>(object: T): T => {
  const { status: _status, ...rest } = object
  return { ...rest, metadata: slimMetadata(object.metadata) } as unknown as T
}

export interface References {
  readonly configMaps: ReadonlySet<string>
  readonly secrets: ReadonlySet<string>
}

const fromContainer = (container: Container, configMaps: Set<string>, secrets: Set<string>): void => {
  for (const source of container.envFrom ?? []) {
    if (source.configMapRef?.name) configMaps.add(source.configMapRef.name)
    if (source.secretRef?.name) secrets.add(source.secretRef.name)
  }
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.configMapKeyRef?.name) configMaps.add(valueFrom.configMapKeyRef.name)
    if (valueFrom?.secretKeyRef?.name) secrets.add(valueFrom.secretKeyRef.name)
  }
}

/** Names of the ConfigMaps and Secrets a pod reads, in its own namespace. */
export const referencesOf = (spec: PodSpec): References => {
  const configMaps = new Set<string>()
  const secrets = new Set<string>()
  for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) fromContainer(container, configMaps, secrets)
  for (const volume of spec.volumes ?? []) {
    if (volume.configMap?.name) configMaps.add(volume.configMap.name)
    if (volume.secret?.secretName) secrets.add(volume.secret.secretName)
    for (const source of volume.projected?.sources ?? []) {
      const { configMap, secret } = source as { configMap?: { name?: string }; secret?: { name?: string } }
      if (configMap?.name) configMaps.add(configMap.name)
      if (secret?.name) secrets.add(secret.name)
    }
  }
  for (const { name } of spec.imagePullSecrets ?? []) if (name) secrets.add(name)
  return { configMaps, secrets }
}

const stopAfterOf = (object: KubeObject | undefined): string | undefined => object?.metadata.annotations?.[STOP_AFTER]

/** The device stops the pod by itself: what the namespace says for all its pods has to be with each. */
const withStopAfter = (view: View, pod: Pod): Pod => {
  const { annotations } = pod.metadata
  const word = annotations?.[STOP_AFTER] ?? stopAfterOf(view.get<KubeObject>('Namespace', '', pod.metadata.namespace ?? ''))
  if (word === undefined || annotations?.[STOP_AFTER] !== undefined) return pod
  return { ...pod, metadata: { ...pod.metadata, annotations: { ...annotations, [STOP_AFTER]: word } } }
}

/** The document of a device at the view's revision; undefined when no such node exists. Lists are in key order. */
export const renderDocument = (view: View, device: string, clusterCIDR: string): Document | undefined => {
  const node = view.get<Node>('Node', '', device)
  if (!node) return undefined
  const pods = view.list<Pod>('Pod', { node: device })
  const configMaps = new Map<string, ConfigMap>()
  const secrets = new Map<string, Secret>()
  for (const pod of pods) {
    const namespace = pod.metadata.namespace ?? ''
    const references = referencesOf(pod.spec)
    for (const name of references.configMaps) {
      const found = view.get<ConfigMap>('ConfigMap', namespace, name)
      if (found) configMaps.set(keyOf(found.metadata), slim(found))
    }
    for (const name of references.secrets) {
      const found = view.get<Secret>('Secret', namespace, name)
      if (found) secrets.set(keyOf(found.metadata), slim(found))
    }
  }
  const sorted = <T>(map: Map<string, T>): T[] => [...map.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value)
  return {
    apiVersion: 'heliopause.io/v1',
    kind: 'DeviceDocument',
    device,
    podCIDR: node.spec?.podCIDR ?? '',
    clusterCIDR,
    pods: pods.map(pod => slim(withStopAfter(view, pod))),
    configMaps: sorted(configMaps),
    secrets: sorted(secrets),
  }
}

/** Devices whose document may change with this object. */
export const affectedDevices = (view: View, object: KubeObject, old: KubeObject | undefined): string[] => {
  if (object.kind === 'Node') return [object.metadata.name ?? '']
  if (object.kind === 'Pod') {
    const nodes = [object, old].map(pod => (pod as Pod | undefined)?.spec?.nodeName).filter(name => name !== undefined)
    return [...new Set(nodes)].filter(name => name !== '')
  }
  const name = object.metadata.name ?? ''
  if (object.kind === 'Namespace') {
    if (stopAfterOf(object) === stopAfterOf(old)) return []
    return [...new Set(view.list<Pod>('Pod', { namespace: name }).map(pod => pod.spec.nodeName ?? ''))].filter(node => node !== '')
  }
  if (object.kind !== 'ConfigMap' && object.kind !== 'Secret') return []
  const pods = view.list<Pod>('Pod', { namespace: object.metadata.namespace ?? '' })
  const readers = pods.filter(pod => {
    const references = referencesOf(pod.spec)
    return (object.kind === 'ConfigMap' ? references.configMaps : references.secrets).has(name)
  })
  return [...new Set(readers.map(pod => pod.spec.nodeName ?? ''))].filter(node => node !== '')
}
