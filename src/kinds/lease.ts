// Lease: who holds something, renewed again and again (k8s.io/api/coordination/v1).

import type { Cause } from './causes.ts'
import { invalid, positive } from './causes.ts'
import type { Kind } from './kind.ts'
import type { KubeObject, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1123Subdomain } from './names.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, nameOf } from './printing.ts'

export interface LeaseSpec {
  holderIdentity?: string
  leaseDurationSeconds?: number
  acquireTime?: string
  renewTime?: string
  leaseTransitions?: number
  strategy?: string
  preferredHolder?: string
}

export interface Lease {
  apiVersion: 'coordination.k8s.io/v1'
  kind: 'Lease'
  metadata: ObjectMeta
  spec?: LeaseSpec
  [field: string]: unknown
}

const asLease = (object: KubeObject): Lease => object as unknown as Lease

const validateLease = (spec: LeaseSpec): Cause[] => {
  const causes = positive('spec.leaseDurationSeconds', spec.leaseDurationSeconds).map(each => ({
    ...each,
    detail: each.detail.replace('greater than zero', 'greater than 0'),
  }))
  const { leaseTransitions = 0 } = spec
  if (leaseTransitions < 0) causes.push(invalid('spec.leaseTransitions', leaseTransitions, 'must be greater than or equal to 0'))
  return causes
}

export const leaseKind: Kind = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  singular: 'lease',
  shortNames: [],
  namespaced: true,
  definition: 'io.k8s.api.coordination.v1.Lease',
  hasStatus: false,
  hasGeneration: false,
  lazy: true,
  setDefaults: object => {
    asLease(object).spec ??= {}
  },
  validate: object => [...validateObjectMeta(object.metadata, true, dns1123Subdomain), ...validateLease(asLease(object).spec ?? {})],
  validateUpdate: (object, old) => validateObjectMetaUpdate(object.metadata, old.metadata),
  columns: [NAME_COLUMN, column('Holder', 'Identity of the holder.'), AGE_COLUMN],
  row: (object, nowMs) => [nameOf(object), asLease(object).spec?.holderIdentity ?? '', ageOf(object, nowMs)],
}
