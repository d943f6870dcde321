// ControllerRevision: a remembered state of a controller's object, never changed (k8s.io/api/apps/v1).

import { deepEqual } from '../base/json.ts'
import type { Cause } from './causes.ts'
import { IMMUTABLE, invalid, nonNegative, required } from './causes.ts'
import type { Kind } from './kind.ts'
import type { KubeObject, ObjectMeta } from './meta.ts'
import { controllerOf } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1123Subdomain } from './names.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, NONE, nameOf } from './printing.ts'

export interface ControllerRevision {
  apiVersion: 'apps/v1'
  kind: 'ControllerRevision'
  metadata: ObjectMeta
  data?: Record<string, unknown>
  revision: number
  [field: string]: unknown
}

const asRevision = (object: KubeObject): ControllerRevision => object as unknown as ControllerRevision

const validateRevision = ({ data, revision }: ControllerRevision): Cause[] => [
  ...(data === undefined ? [required('data', 'data is mandatory')] : []),
  ...nonNegative('revision', revision),
]

/** `deployment.apps/web`, or `<none>` without a controller. */
const controllerText = (meta: ObjectMeta): string => {
  const owner = controllerOf(meta)
  if (!owner) return NONE
  const group = owner.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0]}` : ''
  return `${owner.kind.toLowerCase()}${group}/${owner.name}`
}

export const controllerRevisionKind: Kind = {
  group: 'apps',
  version: 'v1',
  kind: 'ControllerRevision',
  plural: 'controllerrevisions',
  singular: 'controllerrevision',
  shortNames: [],
  namespaced: true,
  definition: 'io.k8s.api.apps.v1.ControllerRevision',
  hasStatus: false,
  hasGeneration: false,
  setDefaults: object => {
    asRevision(object).revision ??= 0
  },
  validate: object => [...validateObjectMeta(object.metadata, true, dns1123Subdomain), ...validateRevision(asRevision(object))],
  validateUpdate: (object, old) => {
    const causes = validateObjectMetaUpdate(object.metadata, old.metadata)
    const [fresh, before] = [asRevision(object).data, asRevision(old).data]
    return deepEqual(fresh, before) ? causes : [...causes, invalid('data', fresh, IMMUTABLE)]
  },
  columns: [NAME_COLUMN, column('Controller', 'Controller of the object'), column('Revision', 'Revision of the data.'), AGE_COLUMN],
  row: (object, nowMs) => [nameOf(object), controllerText(object.metadata), asRevision(object).revision, ageOf(object, nowMs)],
}
