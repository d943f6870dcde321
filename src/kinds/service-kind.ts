// Service: a stable name and port for pods (k8s.io/api/core/v1). Defaults and rules from k8s pkg/apis/core; addresses are given elsewhere.

import type { Cause } from './causes.ts'
import { duplicate, invalid, invalidAll, oneOf, required } from './causes.ts'
import type { Cell, Kind } from './kind.ts'
import type { Condition, IntOrString, KubeObject, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1035Label, dns1123Label, dns1123Subdomain, inclusiveRange, ipAddress, isIp, portName, portNumber } from './names.ts'
import { AGE_COLUMN, ageOf, column, labelsText, NAME_COLUMN, NONE, wideColumn } from './printing.ts'
import { validateLabels } from './selector.ts'

export interface ServicePort {
  name?: string
  protocol?: string
  appProtocol?: string
  port: number
  targetPort?: IntOrString
  nodePort?: number
}

export interface ServiceSpec {
  ports?: ServicePort[]
  selector?: Record<string, string>
  clusterIP?: string
  clusterIPs?: string[]
  type?: string
  externalIPs?: string[]
  sessionAffinity?: string
  sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } }
  loadBalancerIP?: string
  externalName?: string
  externalTrafficPolicy?: string
  internalTrafficPolicy?: string
  ipFamilies?: string[]
  ipFamilyPolicy?: string
  allocateLoadBalancerNodePorts?: boolean
  publishNotReadyAddresses?: boolean
}

export interface Service {
  apiVersion: 'v1'
  kind: 'Service'
  metadata: ObjectMeta
  spec: ServiceSpec
  status?: { loadBalancer?: { ingress?: { ip?: string; hostname?: string }[] }; conditions?: Condition[] }
  [field: string]: unknown
}

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']
const PROTOCOLS = ['SCTP', 'TCP', 'UDP']
const STICKY_SECONDS = 10800
const STICKY_SECONDS_MAX = 86400

const asService = (object: KubeObject): Service => object as unknown as Service

const setServiceDefaults = (service: Service): void => {
  service.spec ??= {}
  const { spec } = service
  spec.type ||= 'ClusterIP'
  spec.sessionAffinity ||= 'None'
  if (spec.sessionAffinity === 'ClientIP') {
    spec.sessionAffinityConfig ??= {}
    spec.sessionAffinityConfig.clientIP ??= {}
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= STICKY_SECONDS
  }
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP'
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '') port.targetPort = port.port
  }
  if (spec.type === 'ExternalName') return
  spec.internalTrafficPolicy ??= 'Cluster'
  if (spec.type !== 'ClusterIP') spec.externalTrafficPolicy ||= 'Cluster'
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true
  // One address family: two spellings of the same address are kept alike.
  if (spec.clusterIP && !spec.clusterIPs) spec.clusterIPs = [spec.clusterIP]
  else if (spec.clusterIPs?.[0] && !spec.clusterIP) spec.clusterIP = spec.clusterIPs[0]
  spec.ipFamilies ??= [spec.clusterIP?.includes(':') ? 'IPv6' : 'IPv4']
  spec.ipFamilyPolicy ??= 'SingleStack'
}

const validatePort = (port: ServicePort, path: string, named: boolean): Cause[] => {
  const causes: Cause[] = []
  if (named && !port.name) causes.push(required(`${path}.name`))
  if (port.name) causes.push(...invalidAll(`${path}.name`, port.name, dns1123Label(port.name)))
  causes.push(...invalidAll(`${path}.port`, port.port ?? 0, portNumber(port.port ?? 0)))
  if (!port.protocol) causes.push(required(`${path}.protocol`))
  else causes.push(...oneOf(`${path}.protocol`, port.protocol, PROTOCOLS))
  const { targetPort = port.port } = port
  const messages = typeof targetPort === 'number' ? portNumber(targetPort) : portName(targetPort)
  return [...causes, ...invalidAll(`${path}.targetPort`, targetPort, messages)]
}

const validatePorts = ({ type, ports = [], clusterIP }: ServiceSpec): Cause[] => {
  if (ports.length === 0) return type === 'ExternalName' || clusterIP === 'None' ? [] : [required('spec.ports')]
  const causes: Cause[] = []
  const seen = { names: new Set<string>(), ports: new Set<string>(), nodePorts: new Set<string>() }
  const unique = (set: Set<string>, key: string, cause: Cause): void => {
    if (set.has(key)) causes.push(cause)
    set.add(key)
  }
  for (const [i, port] of ports.entries()) {
    const path = `spec.ports[${i}]`
    causes.push(...validatePort(port, path, ports.length > 1))
    if (port.name) unique(seen.names, port.name, duplicate(`${path}.name`, port.name))
    unique(seen.ports, `${port.protocol}/${port.port}`, duplicate(path, { protocol: port.protocol, port: port.port }))
    if (!port.nodePort) continue
    if (type === 'ClusterIP' || type === 'ExternalName') {
      causes.push({
        field: `${path}.nodePort`,
        type: 'FieldValueForbidden',
        detail: "Forbidden: may not be used when `type` is 'ClusterIP'",
      })
    }
    unique(seen.nodePorts, `${port.protocol}/${port.nodePort}`, duplicate(`${path}.nodePort`, port.nodePort))
  }
  return causes
}

const validateAddresses = ({ type, clusterIP, externalName, externalIPs = [] }: ServiceSpec): Cause[] => {
  const causes: Cause[] = []
  if (type === 'ExternalName') {
    const name = (externalName ?? '').replace(/\.$/, '')
    if (name === '') causes.push(required('spec.externalName'))
    else causes.push(...invalidAll('spec.externalName', name, dns1123Subdomain(name)))
    if (clusterIP && clusterIP !== 'None') {
      causes.push({ field: 'spec.clusterIPs', type: 'FieldValueForbidden', detail: 'Forbidden: may not be set for ExternalName services' })
    }
  } else if (clusterIP && clusterIP !== 'None' && !isIp(clusterIP)) {
    causes.push(...invalidAll('spec.clusterIPs[0]', clusterIP, ipAddress(clusterIP)))
  }
  if (type === 'LoadBalancer' && clusterIP === 'None') {
    causes.push(invalid('spec.clusterIPs[0]', 'None', "may not be set to 'None' for LoadBalancer services"))
  }
  for (const [i, ip] of externalIPs.entries()) causes.push(...invalidAll(`spec.externalIPs[${i}]`, ip, ipAddress(ip)))
  return causes
}

const validateServiceSpec = (spec: ServiceSpec): Cause[] => {
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds
  return [
    ...oneOf('spec.type', spec.type, TYPES),
    ...oneOf('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']),
    ...oneOf('spec.externalTrafficPolicy', spec.externalTrafficPolicy, ['Cluster', 'Local']),
    ...oneOf('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']),
    ...oneOf('spec.ipFamilyPolicy', spec.ipFamilyPolicy, ['PreferDualStack', 'RequireDualStack', 'SingleStack']),
    ...(spec.ipFamilies ?? []).flatMap((each, i) => oneOf(`spec.ipFamilies[${i}]`, each, ['IPv4', 'IPv6'])),
    ...(seconds === undefined
      ? []
      : invalidAll('spec.sessionAffinityConfig.clientIP.timeoutSeconds', seconds, inclusiveRange(seconds, 1, STICKY_SECONDS_MAX))),
    ...validateAddresses(spec),
    ...validatePorts(spec),
    ...validateLabels(spec.selector, 'spec.selector'),
  ]
}

/** An address stays for the life of the service, unless it becomes or was an ExternalName. */
const validateServiceUpdate = (spec: ServiceSpec, old: ServiceSpec): Cause[] => {
  if (spec.type === 'ExternalName' || old.type === 'ExternalName' || !old.clusterIP || spec.clusterIP === old.clusterIP) return []
  return [invalid('spec.clusterIPs[0]', spec.clusterIPs ?? null, 'may not change once set')]
}

const externalAddress = ({ spec, status }: Service): string => {
  const own = spec.externalIPs ?? []
  if (spec.type === 'ExternalName') return spec.externalName || NONE
  if (spec.type !== 'LoadBalancer') return own.join(',') || NONE
  const given = (status?.loadBalancer?.ingress ?? []).map(each => each.ip ?? each.hostname ?? '')
  return [...given, ...own].join(',') || '<pending>'
}

const serviceRow = (service: Service, age: string): Cell[] => {
  const { spec } = service
  const ports = (spec.ports ?? []).map(({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`)
  return [
    service.metadata.name ?? '',
    spec.type ?? '',
    spec.clusterIP || NONE,
    externalAddress(service),
    ports.join(',') || NONE,
    age,
    labelsText(spec.selector),
  ]
}

export const serviceKind: Kind = {
  group: '',
  version: 'v1',
  kind: 'Service',
  plural: 'services',
  singular: 'service',
  shortNames: ['svc'],
  categories: ['all'],
  namespaced: true,
  definition: 'io.k8s.api.core.v1.Service',
  hasStatus: true,
  hasGeneration: false,
  setDefaults: object => setServiceDefaults(asService(object)),
  prepareCreate: object => {
    object.status = { loadBalancer: {} }
  },
  prepareUpdate: (object, old) => {
    object.status = old.status
    const [spec, before] = [asService(object).spec, asService(old).spec]
    // A manifest that is silent about its address keeps the one it was given.
    if (spec.type === 'ExternalName' || before.type === 'ExternalName' || spec.clusterIP || !before.clusterIP) return
    spec.clusterIP = before.clusterIP
    spec.clusterIPs = before.clusterIPs ?? [before.clusterIP]
  },
  validate: object => [...validateObjectMeta(object.metadata, true, dns1035Label), ...validateServiceSpec(asService(object).spec)],
  validateUpdate: (object, old) => [
    ...validateObjectMetaUpdate(object.metadata, old.metadata),
    ...validateServiceUpdate(asService(object).spec, asService(old).spec),
  ],
  columns: [
    NAME_COLUMN,
    column('Type', 'Type determines how the Service is exposed.'),
    column('Cluster-IP', 'Address inside the cluster.'),
    column('External-IP', 'Addresses outside of the cluster.'),
    column('Port(s)', 'Ports the service listens on.'),
    AGE_COLUMN,
    wideColumn('Selector', 'Labels of the pods behind the service.'),
  ],
  row: (object, nowMs) => serviceRow(asService(object), ageOf(object, nowMs)),
  fields: object => ({ 'spec.clusterIP': asService(object).spec.clusterIP ?? '', 'spec.type': asService(object).spec.type ?? '' }),
}
