// Namespace: a room of names (k8s.io/api/core/v1). Its finalizer `kubernetes` keeps it until everything in it is gone.

import type { Kind } from './kind.ts'
import type { Condition, KubeObject, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1123Label } from './names.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, nameOf } from './printing.ts'

export interface Namespace {
  apiVersion: 'v1'
  kind: 'Namespace'
  metadata: ObjectMeta
  spec?: { finalizers?: string[] }
  status?: { phase?: 'Active' | 'Terminating'; conditions?: Condition[] }
  [field: string]: unknown
}

/** The finalizer in spec.finalizers that namespace deletion removes at the end. */
export const NAMESPACE_FINALIZER = 'kubernetes'
/** Selectors over namespaces find them by name with this label. */
export const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name'

const asNamespace = (object: KubeObject): Namespace => object as unknown as Namespace

const setNamespaceDefaults = (namespace: Namespace): void => {
  namespace.spec ??= {}
  namespace.status ??= {}
  namespace.status.phase ??= 'Active'
  if (namespace.metadata.name) namespace.metadata.labels = { ...namespace.metadata.labels, [NAMESPACE_NAME_LABEL]: namespace.metadata.name }
}

export const namespaceKind: Kind = {
  group: '',
  version: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  singular: 'namespace',
  shortNames: ['ns'],
  namespaced: false,
  definition: 'io.k8s.api.core.v1.Namespace',
  hasStatus: true,
  hasGeneration: false,
  setDefaults: object => setNamespaceDefaults(asNamespace(object)),
  prepareCreate: object => {
    const namespace = asNamespace(object)
    const finalizers = namespace.spec?.finalizers ?? []
    namespace.spec = { finalizers: finalizers.includes(NAMESPACE_FINALIZER) ? finalizers : [...finalizers, NAMESPACE_FINALIZER] }
    namespace.status = { phase: 'Active' }
    setNamespaceDefaults(namespace)
  },
  prepareUpdate: (object, old) => {
    const namespace = asNamespace(object)
    namespace.spec = asNamespace(old).spec ?? {}
    object.status = old.status
  },
  validate: object => validateObjectMeta(object.metadata, false, dns1123Label),
  validateUpdate: (object, old) => validateObjectMetaUpdate(object.metadata, old.metadata),
  columns: [NAME_COLUMN, column('Status', 'The status of the namespace'), AGE_COLUMN],
  row: (object, nowMs) => [nameOf(object), asNamespace(object).status?.phase ?? '', ageOf(object, nowMs)],
  fields: object => ({ 'status.phase': asNamespace(object).status?.phase ?? '' }),
}
