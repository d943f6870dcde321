// From a decoded object to the one that is stored: defaults, the kind's own preparation, validation. Pure but for clock and random
// of the stamps; the store is not touched. Order as upstream: defaults, prepare, validate.

import { deepEqual } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Kind } from '../kinds/kind.ts'
import { carryMeta, countGeneration } from './metadata.ts'
import { invalid } from './refusal.ts'

const refuseInvalid = (kind: Kind, object: KubeObject, causes: ReturnType<Kind['validate']>): void => {
  if (causes.length > 0) throw invalid(kind, object.metadata.name ?? '', causes)
}

/** A stamped new object, made ready in place; throws 422. */
export const prepareNew = (kind: Kind, object: KubeObject): void => {
  kind.setDefaults(object)
  kind.prepareCreate?.(object)
  refuseInvalid(kind, object, kind.validate(object))
}

/** The main resource: status stays the stored one. `object` is private and changed in place; `old` is frozen. */
export const prepareUpdated = (kind: Kind, object: KubeObject, old: KubeObject): void => {
  carryMeta(object.metadata, old.metadata)
  kind.setDefaults(object)
  if (kind.hasStatus) {
    if (old.status === undefined) delete object.status
    else object.status = old.status
  }
  kind.prepareUpdate?.(object, old)
  countGeneration(kind, object, old)
  refuseInvalid(kind, object, kind.validate(object))
  refuseInvalid(kind, object, kind.validateUpdate(object, old))
}

/** Labels of workloads stay as they are in a status write; annotations, and labels elsewhere, may come with it, as upstream. */
const statusMeta = (kind: Kind, object: KubeObject, old: KubeObject): KubeObject['metadata'] => {
  const meta = { ...old.metadata }
  const { annotations, labels } = object.metadata
  if (annotations) meta.annotations = annotations
  if (labels && kind.group !== 'apps') meta.labels = labels
  return meta
}

/** The status subresource: the stored object with the new status. Returns a new object that shares parts with both. */
export const prepareStatus = (kind: Kind, object: KubeObject, old: KubeObject): KubeObject => {
  const next: KubeObject = { ...old, metadata: statusMeta(kind, object, old) }
  if (object.status === undefined) delete next.status
  else next.status = object.status
  const metaChanged = !deepEqual(next.metadata, old.metadata)
  refuseInvalid(kind, next, [...(metaChanged ? kind.validate(next) : []), ...(kind.validateStatusUpdate?.(next, old) ?? [])])
  return next
}
