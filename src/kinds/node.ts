// Node: the server's record of a device. Types from k8s.io/api/core/v1; rules from k8s pkg/apis/core/validation.

import { deepEqual } from '../base/json.ts'
import type { Cause } from './causes.ts'
import { duplicate, forbidden, invalid, invalidAll, oneOf, required } from './causes.ts'
import { conflictCondition } from './conflict.ts'
import { brakeCondition, contactCondition, contactState } from './contact.ts'
import { translateTimestampSince } from './duration.ts'
import type { Cell, Kind } from './kind.ts'
import type { Condition, KubeObject, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1123Subdomain, isCidr, labelValue, qualifiedName } from './names.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, NONE, wideColumn } from './printing.ts'

export interface Taint {
  key: string
  value?: string
  effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute'
  timeAdded?: string
}

export interface NodeSpec {
  podCIDR?: string
  podCIDRs?: string[]
  providerID?: string
  unschedulable?: boolean
  taints?: Taint[]
}

export interface NodeSystemInfo {
  machineID: string
  systemUUID: string
  bootID: string
  kernelVersion: string
  osImage: string
  containerRuntimeVersion: string
  kubeletVersion: string
  kubeProxyVersion: string
  operatingSystem: string
  architecture: string
}

export interface NodeStatus {
  capacity?: Record<string, string>
  allocatable?: Record<string, string>
  conditions?: Condition[]
  addresses?: { type: string; address: string }[]
  nodeInfo?: NodeSystemInfo
  images?: { names?: string[]; sizeBytes?: number }[]
  daemonEndpoints?: { kubeletEndpoint?: { Port: number } }
}

export interface Node {
  apiVersion: 'v1'
  kind: 'Node'
  metadata: ObjectMeta
  spec?: NodeSpec
  status?: NodeStatus
  [field: string]: unknown
}

const asNode = (object: KubeObject): Node => object as unknown as Node

const ROLE_PREFIX = 'node-role.kubernetes.io/'
const OLD_ROLE_LABEL = 'kubernetes.io/role'

/** Role names from the labels, sorted. */
export const nodeRoles = (node: { readonly metadata: { readonly labels?: Readonly<Record<string, string>> } }): string[] => {
  const roles = Object.entries(node.metadata.labels ?? {}).flatMap(([key, value]) => {
    if (key.startsWith(ROLE_PREFIX)) return key.length > ROLE_PREFIX.length ? [key.slice(ROLE_PREFIX.length)] : []
    return key === OLD_ROLE_LABEL && value !== '' ? [value] : []
  })
  return [...new Set(roles)].sort()
}

/** Words that follow upstream's under STATUS. */
const CONTACT_WORDS: Readonly<Partial<Record<string, string>>> = { Offline: 'Offline', Unknown: 'Unknown', Dead: 'Dead' }

/**
 * The words under STATUS. Upstream says NotReady for a silent node too, and joins more words with commas (SchedulingDisabled): ours tell
 * silence by design, silence and death apart, and show the brake and the conflict after a restore.
 */
const nodeStatus = (node: Node): string => {
  const { spec, status } = node
  const ready = status?.conditions?.find(each => each.type === 'Ready')
  const contact = CONTACT_WORDS[contactState(node) ?? '']
  return [
    ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown',
    ...(contact === undefined ? [] : [contact]),
    ...(brakeCondition(node)?.status === 'True' ? ['Braked'] : []),
    ...(conflictCondition(node) ? ['Conflict'] : []),
    ...(spec?.unschedulable === true ? ['SchedulingDisabled'] : []),
  ].join(',')
}

/** `Online`, or the state and how long ago the node was seen: `Unknown (12m ago)`. */
const contactText = (node: Node, nowMs: number): string => {
  const condition = contactCondition(node)
  if (!condition?.reason) return '<unknown>'
  const seenAt = condition.lastHeartbeatTime
  return seenAt === undefined ? condition.reason : `${condition.reason} (${translateTimestampSince(seenAt, nowMs)} ago)`
}

const addressOf = ({ status }: Node, type: string): string => status?.addresses?.find(each => each.type === type)?.address ?? NONE

const nodeRow = (node: Node, nowMs: number): Cell[] => {
  const info = node.status?.nodeInfo
  return [
    node.metadata.name ?? '',
    nodeStatus(node),
    nodeRoles(node).join(',') || NONE,
    ageOf(node, nowMs),
    info?.kubeletVersion ?? '',
    addressOf(node, 'InternalIP'),
    addressOf(node, 'ExternalIP'),
    info?.osImage || '<unknown>',
    info?.kernelVersion || '<unknown>',
    info?.containerRuntimeVersion || '<unknown>',
    contactText(node, nowMs),
  ]
}

const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute']

const validateTaints = (taints: readonly Taint[], path: string): Cause[] => {
  const seen = new Set<string>()
  return taints.flatMap((taint, i) => {
    const at = `${path}[${i}]`
    const causes = invalidAll(`${at}.key`, taint.key, qualifiedName(taint.key ?? ''))
    causes.push(...invalidAll(`${at}.value`, taint.value, labelValue(taint.value ?? '')))
    if (!taint.effect) causes.push(required(`${at}.effect`))
    else causes.push(...oneOf(`${at}.effect`, taint.effect, EFFECTS))
    const identity = `${taint.key}:${taint.effect}`
    if (seen.has(identity))
      causes.push({ ...duplicate(at, taint), detail: `${duplicate(at, taint).detail}: taints must be unique by key and effect pair` })
    seen.add(identity)
    return causes
  })
}

const validateNode = ({ spec }: Node): Cause[] => [
  ...validateTaints(spec?.taints ?? [], 'spec.taints'),
  ...(spec?.podCIDRs ?? []).flatMap((each, i) =>
    isCidr(each) ? [] : [invalid(`spec.podCIDRs[${i}]`, each, 'must be a valid CIDR value')],
  ),
]

/** Once set, a device's pod range and its identity at a provider stay. */
const validateNodeUpdate = (node: Node, old: Node): Cause[] => {
  const causes: Cause[] = []
  if ((old.spec?.podCIDRs?.length ?? 0) > 0 && !deepEqual(node.spec?.podCIDRs, old.spec?.podCIDRs)) {
    causes.push(forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'))
  }
  if (old.spec?.providerID && node.spec?.providerID !== old.spec.providerID) {
    causes.push(forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid'))
  }
  return causes
}

export const nodeKind: Kind = {
  group: '',
  version: 'v1',
  kind: 'Node',
  plural: 'nodes',
  singular: 'node',
  shortNames: ['no'],
  namespaced: false,
  definition: 'io.k8s.api.core.v1.Node',
  hasStatus: true,
  hasGeneration: false,
  setDefaults: object => {
    const node = asNode(object)
    node.spec ??= {}
    node.status ??= {}
    if (node.status.capacity) node.status.allocatable ??= { ...node.status.capacity }
  },
  prepareUpdate: (object, old) => {
    object.status = old.status
  },
  validate: object => [...validateObjectMeta(object.metadata, false, dns1123Subdomain), ...validateNode(asNode(object))],
  validateUpdate: (object, old) => [
    ...validateObjectMetaUpdate(object.metadata, old.metadata),
    ...validateNodeUpdate(asNode(object), asNode(old)),
  ],
  columns: [
    NAME_COLUMN,
    column('Status', 'The status of the node'),
    column('Roles', 'The roles of the node'),
    AGE_COLUMN,
    column('Version', 'Version the node runs.'),
    wideColumn('Internal-IP', 'Address inside the cluster.'),
    wideColumn('External-IP', 'Address outside of the cluster.'),
    wideColumn('OS-Image', 'Operating system the node reports.'),
    wideColumn('Kernel-Version', 'Kernel the node reports.'),
    wideColumn('Container-Runtime', 'Container runtime the node reports.'),
    wideColumn('Contact', 'Online, Offline by design, Unknown or Dead, and when it was last seen.'),
  ],
  row: (object, nowMs) => nodeRow(asNode(object), nowMs),
  fields: object => ({ 'spec.unschedulable': String(asNode(object).spec?.unschedulable ?? false) }),
}
