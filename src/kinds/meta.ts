// metav1: the parts every object shares. Names and shapes are Kubernetes v1.36 (k8s.io/apimachinery/pkg/apis/meta/v1).

import type { ObjectMeta, OwnerReference } from '../base/object.ts'

export type { KubeObject, ManagedFieldsEntry, ObjectMeta, OwnerReference } from '../base/object.ts'

export interface LabelSelectorRequirement {
  key: string
  operator: string
  values?: string[]
}

export interface LabelSelector {
  matchLabels?: Record<string, string>
  matchExpressions?: LabelSelectorRequirement[]
}

export interface Condition {
  type: string
  status: 'True' | 'False' | 'Unknown'
  reason?: string
  message?: string
  lastTransitionTime?: string
  lastUpdateTime?: string
  lastHeartbeatTime?: string
  lastProbeTime?: string
  observedGeneration?: number
}

export type IntOrString = number | string

/** `namespace/name`, or `name` for cluster-scoped objects: the key of work queues. */
export const keyOf = (meta: { namespace?: string | undefined; name?: string | undefined }): string =>
  meta.namespace ? `${meta.namespace}/${meta.name ?? ''}` : (meta.name ?? '')

/** The two halves of a key; `namespace` is '' for cluster-scoped objects. */
export const splitKey = (key: string): { namespace: string; name: string } => {
  const slash = key.indexOf('/')
  return slash < 0 ? { namespace: '', name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** The owner reference that has `controller: true`, if any. */
export const controllerOf = (meta: ObjectMeta): OwnerReference | undefined => meta.ownerReferences?.find(ref => ref.controller === true)
