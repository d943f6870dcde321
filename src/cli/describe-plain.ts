// Objects with little in them, for people: Namespace, ConfigMap, Secret (sizes only), Service, and any kind this program does not know.

import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { ConfigMap, Secret } from '../kinds/config-map.ts'
import type { Condition } from '../kinds/meta.ts'
import { annotationLines, indented, innerTable, type Lines, labelLines, stacked, timeText } from './describe-text.ts'
import { yamlText } from './object-text.ts'

const headLines = ({ metadata }: Pick<KubeObject, 'metadata'>): Lines => [
  `Name:\t${metadata.name ?? ''}`,
  ...(metadata.namespace === undefined ? [] : [`Namespace:\t${metadata.namespace}`]),
  ...labelLines('Labels', metadata.labels),
  ...annotationLines(metadata.annotations),
]

export const namespaceLines = (namespace: KubeObject): Lines => {
  const status = isObject(namespace.status) ? namespace.status : {}
  const conditions = (Array.isArray(status['conditions']) ? status['conditions'] : []) as Condition[]
  const rows = conditions.map(each => [each.type, each.status, timeText(each.lastTransitionTime), each.reason ?? '', each.message ?? ''])
  return [
    ...headLines(namespace),
    `Status:\t${String(status['phase'] ?? 'Active')}`,
    ...(rows.length > 0
      ? ['Conditions:', ...indented(innerTable(['Type', 'Status', 'LastTransitionTime', 'Reason', 'Message'], rows))]
      : []),
  ]
}

const sizeOf = (base64: string): number => Buffer.byteLength(base64, 'base64')

export const configMapLines = (configMap: ConfigMap): Lines => [
  ...headLines(configMap),
  '',
  'Data',
  '====',
  ...Object.entries(configMap.data ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    // The text stands as it is: a tab in it is no column.
    .flatMap(([key, value]) => [`${key}:`, '----', ...value.split('\n').map(line => line.replaceAll('\t', '        ')), '']),
  '',
  'BinaryData',
  '====',
  ...Object.entries(configMap.binaryData ?? {}).map(([key, value]) => `${key}: ${sizeOf(value)} bytes`),
  '',
]

/** Values are never shown. */
export const secretLines = (secret: Secret): Lines => [
  ...headLines(secret),
  '',
  `Type:  ${secret.type ?? 'Opaque'}`,
  '',
  'Data',
  '====',
  ...Object.entries(secret.data ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}:\t${sizeOf(value)} bytes`),
]

interface ServicePort {
  readonly name?: string
  readonly protocol?: string
  readonly port?: number
  readonly targetPort?: number | string
  readonly nodePort?: number
}

export const serviceLines = (service: KubeObject): Lines => {
  const spec = isObject(service.spec) ? service.spec : {}
  const ports = (Array.isArray(spec['ports']) ? spec['ports'] : []) as ServicePort[]
  const list = (value: unknown): string => (Array.isArray(value) ? value.join(',') : '') || '<none>'
  return [
    ...headLines(service),
    ...labelLines('Selector', spec['selector']),
    `Type:\t${String(spec['type'] ?? 'ClusterIP')}`,
    ...(spec['type'] === 'ExternalName' ? [`External Name:\t${String(spec['externalName'] ?? '')}`] : []),
    `IP Family Policy:\t${String(spec['ipFamilyPolicy'] ?? '<none>')}`,
    `IP Families:\t${list(spec['ipFamilies'])}`,
    `IP:\t${String(spec['clusterIP'] ?? '<none>')}`,
    `IPs:\t${list(spec['clusterIPs'])}`,
    ...ports.flatMap(port => [
      `Port:\t${port.name ?? '<unset>'}\t${port.port ?? ''}/${port.protocol ?? 'TCP'}`,
      `TargetPort:\t${port.targetPort ?? port.port ?? ''}/${port.protocol ?? 'TCP'}`,
      ...(port.nodePort ? [`NodePort:\t${port.name ?? '<unset>'}\t${port.nodePort}/${port.protocol ?? 'TCP'}`] : []),
    ]),
    `Session Affinity:\t${String(spec['sessionAffinity'] ?? 'None')}`,
    ...(spec['internalTrafficPolicy'] ? [`Internal Traffic Policy:\t${String(spec['internalTrafficPolicy'])}`] : []),
  ]
}

/** Any other kind: its head, and the rest as YAML. */
export const plainLines = async (object: KubeObject): Promise<Lines> => {
  const { apiVersion, kind, metadata, ...rest } = object
  const owners = (metadata.ownerReferences ?? []).map(each => `${each.kind}/${each.name}`)
  const body = Object.keys(rest).length === 0 ? '' : await yamlText(rest)
  return [
    ...headLines(object),
    `API Version:\t${apiVersion}`,
    `Kind:\t${kind}`,
    `Created:\t${timeText(metadata.creationTimestamp)}`,
    ...(owners.length > 0 ? stacked('Owned By', owners) : []),
    ...indented(
      body.split('\n').filter(line => line !== ''),
      0,
    ),
  ]
}
