// The scale subresource: a small object (autoscaling/v1 Scale) in front of three fields of a workload.

import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import { invalid as invalidValue } from '../kinds/causes.ts'
import type { Kind } from '../kinds/kind.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN } from '../kinds/printing.ts'
import type { Decodable } from './decode.ts'
import { invalid, noResource } from './refusal.ts'

export const SCALE: Decodable = { group: 'autoscaling', version: 'v1', kind: 'Scale', definition: 'io.k8s.api.autoscaling.v1.Scale' }

const numberAt = (object: KubeObject, path: string): number => {
  let value: unknown = object
  for (const part of path.split('.')) value = isObject(value) ? value[part] : undefined
  return typeof value === 'number' ? value : 0
}

/** How a Scale is printed. */
export const SCALE_TABLE: Pick<Kind, 'columns' | 'row'> = {
  columns: [
    NAME_COLUMN,
    column('Desired', 'Number of replicas asked for.', 'integer'),
    column('Available', 'Number of replicas there are.', 'integer'),
    AGE_COLUMN,
  ],
  row: (scale, nowMs) => [
    scale.metadata.name ?? '',
    numberAt(scale, 'spec.replicas'),
    numberAt(scale, 'status.replicas'),
    ageOf(scale, nowMs),
  ],
}

/** A copy of the object with one field set; only the objects on the way are copied. */
const withValueAt = (object: unknown, path: readonly string[], value: unknown): unknown => {
  const [head, ...rest] = path
  if (head === undefined) return value
  const copy = isObject(object) ? { ...object } : {}
  copy[head] = withValueAt(copy[head], rest, value)
  return copy
}

/** The Scale that stands for this object. */
export const toScale = (kind: Kind, object: KubeObject): KubeObject => {
  if (!kind.scale) throw noResource()
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata
  const replicas = numberAt(object, kind.scale.specReplicas)
  const selector = kind.scale.selector(object)
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    },
    spec: { replicas },
    status: { replicas: numberAt(object, kind.scale.statusReplicas), ...(selector === '' ? {} : { selector }) },
  }
}

/** The object with the replicas a Scale asks for; 422 for a negative number. The Scale's metadata.resourceVersion becomes the precondition. */
export const fromScale = (kind: Kind, object: KubeObject, scale: KubeObject): KubeObject => {
  if (!kind.scale) throw noResource()
  const replicas = numberAt(scale, 'spec.replicas')
  if (replicas < 0) {
    const causes = [invalidValue('spec.replicas', replicas, 'must be greater than or equal to 0')]
    throw invalid(SCALE, object.metadata.name ?? '', causes)
  }
  const scaled = withValueAt(object, kind.scale.specReplicas.split('.'), replicas) as KubeObject
  const { resourceVersion, uid } = scale.metadata
  const metadata = { ...object.metadata }
  if (resourceVersion) metadata.resourceVersion = resourceVersion
  else delete metadata.resourceVersion
  if (uid) metadata.uid = uid
  return { ...scaled, metadata }
}
