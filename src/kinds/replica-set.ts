// ReplicaSet: the types (k8s.io/api/apps/v1).

import type { Condition, LabelSelector, ObjectMeta } from './meta.ts'
import type { PodTemplateSpec } from './pod.ts'

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
