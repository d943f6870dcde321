// Endpoints: all addresses behind a Service in one object, the older form (k8s.io/api/core/v1). Rules from k8s pkg/apis/core/validation.

import type { Cause } from './causes.ts'
import { invalidAll, required } from './causes.ts'
import type { EndpointSlicePort, ObjectReference } from './endpoint-slice.ts'
import { shownList, validateEndpointPorts } from './endpoint-slice.ts'
import type { Kind } from './kind.ts'
import type { KubeObject, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1123Label, dns1123Subdomain, ipAddress } from './names.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, NONE, nameOf } from './printing.ts'

export interface EndpointAddress {
  ip: string
  hostname?: string
  nodeName?: string
  targetRef?: ObjectReference
}

export interface EndpointSubset {
  addresses?: EndpointAddress[]
  notReadyAddresses?: EndpointAddress[]
  ports?: (EndpointSlicePort & { port: number })[]
}

export interface Endpoints {
  apiVersion: 'v1'
  kind: 'Endpoints'
  metadata: ObjectMeta
  subsets?: EndpointSubset[]
  [field: string]: unknown
}

const asEndpoints = (object: KubeObject): Endpoints => object as unknown as Endpoints

const validateAddress = ({ ip, hostname, nodeName }: EndpointAddress, path: string): Cause[] => [
  ...invalidAll(`${path}.ip`, ip, ipAddress(ip ?? '')),
  ...(hostname ? invalidAll(`${path}.hostname`, hostname, dns1123Label(hostname)) : []),
  ...(nodeName === undefined ? [] : invalidAll(`${path}.nodeName`, nodeName, dns1123Subdomain(nodeName))),
]

const validateSubset = ({ addresses = [], notReadyAddresses = [], ports = [] }: EndpointSubset, path: string): Cause[] => [
  ...(addresses.length + notReadyAddresses.length === 0 ? [required(path, 'must specify `addresses` or `notReadyAddresses`')] : []),
  ...addresses.flatMap((each, i) => validateAddress(each, `${path}.addresses[${i}]`)),
  ...notReadyAddresses.flatMap((each, i) => validateAddress(each, `${path}.notReadyAddresses[${i}]`)),
  ...(ports.length > 1 ? ports.flatMap((each, i) => (each.name ? [] : [required(`${path}.ports[${i}].name`)])) : []),
  ...validateEndpointPorts(
    ports.filter(each => each.name !== undefined || ports.length === 1),
    `${path}.ports`,
    true,
  ),
]

const textOf = ({ subsets = [] }: Endpoints): string => {
  const values = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map(each => each.ip)
      : ports.flatMap(({ port }) => addresses.map(({ ip }) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`))),
  )
  return values.length === 0 ? NONE : shownList(values)
}

export const endpointsKind: Kind = {
  group: '',
  version: 'v1',
  kind: 'Endpoints',
  plural: 'endpoints',
  singular: 'endpoints',
  shortNames: ['ep'],
  namespaced: true,
  definition: 'io.k8s.api.core.v1.Endpoints',
  hasStatus: false,
  hasGeneration: false,
  setDefaults: object => {
    for (const { ports = [] } of asEndpoints(object).subsets ?? []) for (const port of ports) port.protocol ||= 'TCP'
  },
  validate: object => [
    ...validateObjectMeta(object.metadata, true, dns1123Subdomain),
    ...(asEndpoints(object).subsets ?? []).flatMap((subset, i) => validateSubset(subset, `subsets[${i}]`)),
  ],
  validateUpdate: (object, old) => validateObjectMetaUpdate(object.metadata, old.metadata),
  columns: [NAME_COLUMN, column('Endpoints', 'Addresses and ports of the endpoints.'), AGE_COLUMN],
  row: (object, nowMs) => [nameOf(object), textOf(asEndpoints(object)), ageOf(object, nowMs)],
}
