// ReplicaSet: a number of equal pods. Types from k8s.io/api/apps/v1; rules from k8s pkg/apis/apps and pkg/registry/apps/replicaset.

import { deepEqual } from '../base/json.ts'
import { IMMUTABLE, invalid } from './causes.ts'
import type { Cell, Kind } from './kind.ts'
import type { Condition, KubeObject, LabelSelector, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1123Subdomain } from './names.ts'
import type { PodTemplateSpec } from './pod.ts'
import { setTemplateDefaults } from './pod-defaults.ts'
import { AGE_COLUMN, ageOf, column, containersAndImages, NAME_COLUMN, wideColumn } from './printing.ts'
import { labelSelectorText, selectorOf, selectorText } from './selector.ts'
import { validateCounts, validateWorkload } from './workload-validation.ts'

export interface ReplicaSetSpec {
  replicas?: number
  minReadySeconds?: number
  selector: LabelSelector
  template?: PodTemplateSpec
}

export interface ReplicaSetStatus {
  replicas: number
  fullyLabeledReplicas?: number
  readyReplicas?: number
  availableReplicas?: number
  terminatingReplicas?: number
  observedGeneration?: number
  conditions?: Condition[]
}

export interface ReplicaSet {
  apiVersion: 'apps/v1'
  kind: 'ReplicaSet'
  metadata: ObjectMeta
  spec: ReplicaSetSpec
  status?: ReplicaSetStatus
  [field: string]: unknown
}

const asReplicaSet = (object: KubeObject): ReplicaSet => object as unknown as ReplicaSet

const setReplicaSetDefaults = (set: ReplicaSet): void => {
  set.spec ??= {} as ReplicaSetSpec
  set.spec.replicas ??= 1
  setTemplateDefaults(set.spec.template)
  set.status ??= { replicas: 0 }
}

const replicaSetRow = (set: ReplicaSet, nowMs: number): Cell[] => [
  set.metadata.name ?? '',
  set.spec.replicas ?? 0,
  set.status?.replicas ?? 0,
  set.status?.readyReplicas ?? 0,
  ageOf(set, nowMs),
  ...containersAndImages(set.spec.template),
  labelSelectorText(set.spec.selector),
]

export const replicaSetKind: Kind = {
  group: 'apps',
  version: 'v1',
  kind: 'ReplicaSet',
  plural: 'replicasets',
  singular: 'replicaset',
  shortNames: ['rs'],
  categories: ['all'],
  namespaced: true,
  definition: 'io.k8s.api.apps.v1.ReplicaSet',
  hasStatus: true,
  hasGeneration: true,
  scale: {
    specReplicas: 'spec.replicas',
    statusReplicas: 'status.replicas',
    selector: object => selectorText(selectorOf(asReplicaSet(object).spec.selector ?? {})),
  },
  setDefaults: object => setReplicaSetDefaults(asReplicaSet(object)),
  prepareCreate: object => {
    object.status = { replicas: 0 }
  },
  prepareUpdate: (object, old) => {
    object.status = old.status
  },
  validate: object => [...validateObjectMeta(object.metadata, true, dns1123Subdomain), ...validateWorkload(asReplicaSet(object).spec)],
  validateUpdate: (object, old) => {
    const [fresh, before] = [asReplicaSet(object).spec.selector, asReplicaSet(old).spec.selector]
    const causes = validateObjectMetaUpdate(object.metadata, old.metadata)
    return deepEqual(fresh, before) ? causes : [...causes, invalid('spec.selector', fresh, IMMUTABLE)]
  },
  validateStatusUpdate: object =>
    validateCounts(object.status as Record<string, unknown>, ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas']),
  columns: [
    NAME_COLUMN,
    column('Desired', 'Number of desired pods.', 'integer'),
    column('Current', 'Number of pods that exist.', 'integer'),
    column('Ready', 'Number of pods that are ready.', 'integer'),
    AGE_COLUMN,
    wideColumn('Containers', 'Names of each container in the template.'),
    wideColumn('Images', 'Images referenced by each container in the template.'),
    wideColumn('Selector', 'Label selector of the pods.'),
  ],
  row: (object, nowMs) => replicaSetRow(asReplicaSet(object), nowMs),
  fields: object => ({ 'status.replicas': String(asReplicaSet(object).status?.replicas ?? 0) }),
}
