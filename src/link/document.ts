// The document: its bytes (canonical JSON, what a head's digest covers) and the check of bytes that came over the link. A document that
// is signed may still be malformed: names in it become paths on the device, so they are checked here once, for all who use them. PURE.

import { canonicalJson, isObject, jsonDepthWithin } from '../base/json.ts'
import type { Codec } from './codec.ts'
import { DOCUMENT_ITEMS_MAX, JSON_DEPTH_MAX } from './limits.ts'
import type { Document } from './messages.ts'

export const documentBytes = (codec: Codec, document: Document): Uint8Array => codec.encode(canonicalJson(document))

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/
const UID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
const CIDR = /^([0-9a-fA-F.:]{2,45}\/\d{1,3})?$/

const metadataFault = (object: Record<string, unknown>): string | undefined => {
  const metadata = object['metadata']
  if (!isObject(metadata)) return 'metadata'
  const { name, namespace, uid } = metadata
  if (typeof name !== 'string' || !NAME.test(name)) return 'metadata.name'
  if (typeof namespace !== 'string' || !NAME.test(namespace)) return 'metadata.namespace'
  // Only a pod's uid names anything on the device; ConfigMaps and Secrets need none.
  if (uid !== undefined && (typeof uid !== 'string' || !UID.test(uid))) return 'metadata.uid'
  return undefined
}

const podFault = (object: Record<string, unknown>): string | undefined => {
  const metadata = object['metadata']
  if (!isObject(metadata) || metadata['uid'] === undefined) return 'metadata.uid'
  const spec = object['spec']
  if (!isObject(spec)) return 'spec'
  const containers = spec['containers']
  if (!Array.isArray(containers)) return 'spec.containers'
  const init = spec['initContainers'] ?? []
  if (!Array.isArray(init)) return 'spec.initContainers'
  for (const container of [...containers, ...init] as unknown[])
    if (!isObject(container) || typeof container['name'] !== 'string' || !NAME.test(container['name'])) return 'spec.containers[].name'
  return undefined
}

const listFault = (value: Record<string, unknown>, field: string): string | undefined => {
  const items = value[field]
  if (!Array.isArray(items)) return field
  if (items.length > DOCUMENT_ITEMS_MAX) return `${field} (more than ${DOCUMENT_ITEMS_MAX})`
  for (const [i, item] of (items as unknown[]).entries()) {
    const fault = isObject(item) ? (metadataFault(item) ?? (field === 'pods' ? podFault(item) : undefined)) : ''
    if (fault !== undefined) return `${field}[${i}].${fault}`
  }
  return undefined
}

const faultOf = (value: Record<string, unknown>, device: string): string | undefined => {
  if (value['apiVersion'] !== 'heliopause.io/v1' || value['kind'] !== 'DeviceDocument') return 'kind'
  if (value['device'] !== device) return 'device'
  for (const field of ['podCIDR', 'clusterCIDR']) if (typeof value[field] !== 'string' || !CIDR.test(value[field])) return field
  return listFault(value, 'pods') ?? listFault(value, 'configMaps') ?? listFault(value, 'secrets')
}

/** The document in bytes whose digest has been checked, or the fault that makes it unusable for this device. */
export const parseDocument = (
  codec: Codec,
  bytes: Uint8Array,
  device: string,
): { readonly document: Document } | { readonly error: string } => {
  const text = codec.decode(bytes)
  if (text === undefined) return { error: 'read document: it is not UTF-8' }
  if (!jsonDepthWithin(text, JSON_DEPTH_MAX)) return { error: `read document: it is nested deeper than ${JSON_DEPTH_MAX}` }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return { error: 'read document: it is not JSON' }
  }
  if (!isObject(value)) return { error: 'read document: it is not an object' }
  const fault = faultOf(value, device)
  return fault === undefined ? { document: value as unknown as Document } : { error: `read document: ${fault} is not acceptable` }
}
