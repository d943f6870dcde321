// Who may do what. Groups decide: system:masters everything; any authenticated caller may look at discovery and versions; a device may
// read its own Node. Everything a device says goes over the link, where it can speak of itself only.

import { ApiError } from '../base/errors.ts'
import type { Identity } from '../base/pki.ts'
import type { Kind } from '../kinds/kind.ts'

export interface ResourceAttributes {
  readonly verb: string
  readonly kind: Pick<Kind, 'group' | 'plural' | 'kind'>
  readonly namespace: string
  readonly name: string
  readonly subresource: string
}

const MASTERS = 'system:masters'

export const isMaster = (identity: Identity): boolean => identity.groups.includes(MASTERS)

const ownNode = (identity: Identity, { verb, kind, name, subresource }: ResourceAttributes): boolean =>
  identity.node !== undefined && verb === 'get' && kind.group === '' && kind.kind === 'Node' && subresource === '' && name === identity.node

/** Throws 403 with upstream's sentence. */
export const authorizeResource = (identity: Identity, attributes: ResourceAttributes): void => {
  if (isMaster(identity) || ownNode(identity, attributes)) return
  const { verb, kind, namespace, name, subresource } = attributes
  const qualified = kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`
  const about = name === '' ? qualified : `${qualified} "${name}"`
  const resource = subresource === '' ? kind.plural : `${kind.plural}/${subresource}`
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`
  const why = `User "${identity.name}" cannot ${verb} resource "${resource}" in API group "${kind.group}" ${where}`
  throw new ApiError('Forbidden', `${about} is forbidden: ${why}`, {
    details: { ...(name === '' ? {} : { name }), ...(kind.group === '' ? {} : { group: kind.group }), kind: kind.plural },
  })
}

const OPEN_PATHS = /^\/(api|apis|openapi|version|healthz|livez|readyz)(\/|$)/

/** Paths that are not resources: discovery is open to whoever has a name, the rest to masters. */
export const authorizePath = (identity: Identity, method: string, path: string): void => {
  if (isMaster(identity) || (method === 'GET' && OPEN_PATHS.test(path))) return
  throw new ApiError('Forbidden', `forbidden: User "${identity.name}" cannot ${method.toLowerCase()} path "${path}"`, { details: {} })
}
