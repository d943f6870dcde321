// ServiceAccount: who a pod is (k8s.io/api/core/v1).

import type { Kind } from './kind.ts'
import type { KubeObject, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1123Subdomain } from './names.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, nameOf } from './printing.ts'

export interface ServiceAccount {
  apiVersion: 'v1'
  kind: 'ServiceAccount'
  metadata: ObjectMeta
  secrets?: { name?: string; namespace?: string }[]
  imagePullSecrets?: { name?: string }[]
  automountServiceAccountToken?: boolean
  [field: string]: unknown
}

const secretsOf = (object: KubeObject): number => (object as unknown as ServiceAccount).secrets?.length ?? 0

export const serviceAccountKind: Kind = {
  group: '',
  version: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  singular: 'serviceaccount',
  shortNames: ['sa'],
  namespaced: true,
  definition: 'io.k8s.api.core.v1.ServiceAccount',
  hasStatus: false,
  hasGeneration: false,
  setDefaults: () => {},
  validate: object => validateObjectMeta(object.metadata, true, dns1123Subdomain),
  validateUpdate: (object, old) => validateObjectMetaUpdate(object.metadata, old.metadata),
  columns: [NAME_COLUMN, column('Secrets', 'Number of secrets the account may use.'), AGE_COLUMN],
  row: (object, nowMs) => [nameOf(object), secretsOf(object), ageOf(object, nowMs)],
}
