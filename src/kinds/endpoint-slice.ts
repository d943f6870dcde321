// EndpointSlice: part of the addresses behind a Service (k8s.io/api/discovery/v1). Defaults and rules from k8s pkg/apis/discovery.

import { deepEqual } from '../base/json.ts'
import type { Cause } from './causes.ts'
import { duplicate, IMMUTABLE, invalid, invalidAll, oneOf, required, tooMany } from './causes.ts'
import type { Kind } from './kind.ts'
import { ENDPOINT_ADDRESSES_MAX, ENDPOINT_PORTS_MAX, ENDPOINTS_PER_SLICE_MAX } from './limits.ts'
import type { KubeObject, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1123Label, dns1123Subdomain, ipAddress, isIpv4, portNumber, qualifiedName } from './names.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, nameOf } from './printing.ts'

export interface ObjectReference {
  apiVersion?: string
  kind?: string
  namespace?: string
  name?: string
  uid?: string
}

export interface Endpoint {
  addresses: string[]
  conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean }
  hostname?: string
  nodeName?: string
  zone?: string
  targetRef?: ObjectReference
}

export interface EndpointSlicePort {
  name?: string
  protocol?: string
  port?: number
  appProtocol?: string
}

export interface EndpointSlice {
  apiVersion: 'discovery.k8s.io/v1'
  kind: 'EndpointSlice'
  metadata: ObjectMeta
  addressType: string
  endpoints: Endpoint[]
  ports?: EndpointSlicePort[]
  [field: string]: unknown
}

const ADDRESS_TYPES = ['FQDN', 'IPv4', 'IPv6']
const PROTOCOLS = ['SCTP', 'TCP', 'UDP']
/** Cells show so many values and count the rest. */
const SHOWN_MAX = 3
const UNSET = '<unset>'

const asSlice = (object: KubeObject): EndpointSlice => object as unknown as EndpointSlice

const setSliceDefaults = (slice: EndpointSlice): void => {
  slice.endpoints ??= []
  for (const port of slice.ports ?? []) {
    port.name ??= ''
    port.protocol ||= 'TCP'
  }
}

const validateAddress = (address: string, type: string, path: string): Cause[] => {
  if (type === 'FQDN') return invalidAll(path, address, dns1123Subdomain(address))
  const problems = ipAddress(address)
  if (problems.length > 0) return invalidAll(path, address, problems)
  if (type === 'IPv4') return isIpv4(address) ? [] : [invalid(path, address, 'must be an IPv4 address')]
  return isIpv4(address) ? [invalid(path, address, 'must be an IPv6 address')] : []
}

const validateEndpoints = ({ endpoints, addressType }: EndpointSlice): Cause[] => {
  if (endpoints.length > ENDPOINTS_PER_SLICE_MAX) return [tooMany('endpoints', endpoints.length, ENDPOINTS_PER_SLICE_MAX)]
  return endpoints.flatMap(({ addresses = [], hostname, nodeName }, i) => {
    const at = `endpoints[${i}]`
    return [
      ...(addresses.length === 0 ? [required(`${at}.addresses`, 'must contain at least 1 address')] : []),
      ...(addresses.length > ENDPOINT_ADDRESSES_MAX
        ? [tooMany(`${at}.addresses`, addresses.length, ENDPOINT_ADDRESSES_MAX)]
        : addresses.flatMap((address, j) => validateAddress(address, addressType, `${at}.addresses[${j}]`))),
      ...(hostname === undefined ? [] : invalidAll(`${at}.hostname`, hostname, dns1123Label(hostname))),
      ...(nodeName === undefined ? [] : invalidAll(`${at}.nodeName`, nodeName, dns1123Subdomain(nodeName))),
    ]
  })
}

/** Ports of slices and of Endpoints alike: names differ, protocols are known. */
export const validateEndpointPorts = (ports: readonly EndpointSlicePort[], path: string, needPort: boolean): Cause[] => {
  const names = new Set<string>()
  return ports.flatMap(({ name = '', protocol, port, appProtocol }, i) => {
    const at = `${path}[${i}]`
    const causes: Cause[] = names.has(name) ? [duplicate(`${at}.name`, name)] : []
    names.add(name)
    if (name !== '') causes.push(...invalidAll(`${at}.name`, name, dns1123Label(name)))
    if (!protocol) causes.push(required(`${at}.protocol`))
    else causes.push(...oneOf(`${at}.protocol`, protocol, PROTOCOLS))
    if (port !== undefined || needPort) causes.push(...invalidAll(`${at}.port`, port ?? 0, portNumber(port ?? 0)))
    if (appProtocol !== undefined) causes.push(...invalidAll(`${at}.appProtocol`, appProtocol, qualifiedName(appProtocol)))
    return causes
  })
}

const validateSlice = (slice: EndpointSlice): Cause[] => {
  const { addressType, ports = [] } = slice
  return [
    ...(addressType ? oneOf('addressType', addressType, ADDRESS_TYPES) : [required('addressType')]),
    ...validateEndpoints(slice),
    ...(ports.length > ENDPOINT_PORTS_MAX
      ? [tooMany('ports', ports.length, ENDPOINT_PORTS_MAX)]
      : validateEndpointPorts(ports, 'ports', false)),
  ]
}

/** `a,b,c + 2 more...`, as upstream's printers. */
export const shownList = (values: readonly string[]): string =>
  values.length <= SHOWN_MAX ? values.join(',') : `${values.slice(0, SHOWN_MAX).join(',')} + ${values.length - SHOWN_MAX} more...`

export const endpointSliceKind: Kind = {
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  singular: 'endpointslice',
  shortNames: [],
  namespaced: true,
  definition: 'io.k8s.api.discovery.v1.EndpointSlice',
  hasStatus: false,
  hasGeneration: true,
  setDefaults: object => setSliceDefaults(asSlice(object)),
  validate: object => [...validateObjectMeta(object.metadata, true, dns1123Subdomain), ...validateSlice(asSlice(object))],
  validateUpdate: (object, old) => [
    ...validateObjectMetaUpdate(object.metadata, old.metadata),
    ...(deepEqual(object['addressType'], old['addressType']) ? [] : [invalid('addressType', object['addressType'], IMMUTABLE)]),
  ],
  columns: [
    NAME_COLUMN,
    column('AddressType', 'Kind of the addresses.'),
    column('Ports', 'Ports of the endpoints.'),
    column('Endpoints', 'Addresses of the endpoints.'),
    AGE_COLUMN,
  ],
  row: (object, nowMs) => {
    const { addressType, endpoints, ports = [] } = asSlice(object)
    const numbers = ports.map(({ port }) => String(port ?? '*'))
    const addresses = endpoints.flatMap(each => each.addresses ?? [])
    return [
      nameOf(object),
      addressType,
      numbers.length === 0 ? UNSET : shownList(numbers),
      addresses.length === 0 ? UNSET : shownList(addresses),
      ageOf(object, nowMs),
    ]
  },
}
