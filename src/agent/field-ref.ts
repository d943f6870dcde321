// Values a pod can read about itself: fieldRef and resourceFieldRef, for variables and downwardAPI files.
// Source: k8s fieldpath.ExtractFieldPathAsString, resource.ExtractContainerResourceValue.

import type { EnvVarSource, Pod } from '../kinds/pod.ts'
import { quantityBytes, quantityMillis } from '../kinds/quantity.ts'
import { type Device, nameOf, namespaceOf } from './device.ts'

export interface PodFacts {
  readonly device: Pick<Device, 'nodeName' | 'hostIPs' | 'cpuMillis' | 'memoryBytes'>
  readonly address: string | undefined
  readonly hostname: string
}

/** `key="value"` lines, sorted, as the downward API prints labels and annotations. */
const mapText = (map: Readonly<Record<string, string>> | undefined): string =>
  Object.keys(map ?? {})
    .sort()
    .map(key => `${key}=${JSON.stringify(map?.[key] ?? '')}`)
    .join('\n')

/** Undefined when the path names nothing a pod may read. */
export const fieldValue = (pod: Pod, fieldPath: string, facts: PodFacts): string | undefined => {
  const subscript = /^metadata\.(labels|annotations)\['([^']*)'\]$/.exec(fieldPath)
  if (subscript) return pod.metadata[subscript[1] as 'labels' | 'annotations']?.[subscript[2] ?? ''] ?? ''
  const { device, address } = facts
  switch (fieldPath) {
    case 'metadata.name':
      return nameOf(pod)
    case 'metadata.namespace':
      return namespaceOf(pod)
    case 'metadata.uid':
      return pod.metadata.uid ?? ''
    case 'metadata.labels':
      return mapText(pod.metadata.labels)
    case 'metadata.annotations':
      return mapText(pod.metadata.annotations)
    case 'spec.nodeName':
      return device.nodeName
    case 'spec.serviceAccountName':
      return pod.spec.serviceAccountName ?? 'default'
    case 'spec.restartPolicy':
      return pod.spec.restartPolicy ?? 'Always'
    case 'status.hostIP':
      return device.hostIPs[0] ?? ''
    case 'status.hostIPs':
      return device.hostIPs.join(',')
    case 'status.podIP':
    case 'status.podIPs':
      return address ?? ''
    default:
      return undefined
  }
}

/** Undefined when the container or the resource is not known. Without a limit, the device's own size counts. */
export const resourceValue = (
  pod: Pod,
  ref: NonNullable<EnvVarSource['resourceFieldRef']>,
  containerName: string,
  facts: PodFacts,
): string | undefined => {
  const wanted = ref.containerName || containerName
  const container = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find(c => c.name === wanted)
  const [list, resource] = [ref.resource.slice(0, ref.resource.indexOf('.')), ref.resource.slice(ref.resource.indexOf('.') + 1)]
  if (!container || (list !== 'limits' && list !== 'requests')) return undefined
  const written = container.resources?.[list]?.[resource]
  const divisor = ref.divisor === undefined || ref.divisor === '0' || ref.divisor === '' ? '1' : ref.divisor
  if (resource === 'cpu') {
    const millis = written === undefined ? (list === 'limits' ? facts.device.cpuMillis : 0) : quantityMillis(written)
    return String(Math.ceil(millis / quantityMillis(divisor)))
  }
  if (resource !== 'memory' && resource !== 'ephemeral-storage' && !resource.startsWith('hugepages-')) return undefined
  const bytes = written === undefined ? (list === 'limits' && resource === 'memory' ? facts.device.memoryBytes : 0) : quantityBytes(written)
  return String(Math.ceil(bytes / quantityBytes(divisor)))
}
