// Verbs only pods have: binding to a node, and eviction. Source: k8s pkg/registry/core/pod/storage.

import type { Clock } from '../base/clock.ts'
import { timestamp } from '../base/clock.ts'
import type { KubeObject } from '../base/object.ts'
import type { Kind } from '../kinds/kind.ts'
import type { Condition } from '../kinds/meta.ts'
import type { PodSpec, PodStatus } from '../kinds/pod.ts'
import type { DeleteOptions, WriteOptions } from './api.ts'
import { checkPreconditions } from './metadata.ts'
import { conflict } from './refusal.ts'
import type { Writer, Written } from './writer.ts'

export interface Bind {
  readonly namespace: string
  readonly name: string
  readonly node: string
  readonly preconditions?: DeleteOptions['preconditions']
  readonly annotations?: Readonly<Record<string, string>>
}

const BINDING = '/binding'

const scheduled = (conditions: readonly Condition[], nowMs: number): Condition[] => [
  ...conditions.filter(condition => condition.type !== 'PodScheduled'),
  { type: 'PodScheduled', status: 'True', lastTransitionTime: timestamp(nowMs) },
]

const bound = (kind: Kind, pod: KubeObject, bind: Bind, nowMs: number): KubeObject => {
  checkPreconditions(kind, pod.metadata, bind.preconditions)
  const spec = pod.spec as PodSpec
  const refuse = (why: string): Error => conflict({ group: '', plural: 'pods' }, bind.name, why, BINDING)
  if (pod.metadata.deletionTimestamp) throw refuse(`pod ${bind.name} is being deleted, cannot be assigned to a host`)
  if (spec.nodeName) throw refuse(`pod ${bind.name} is already assigned to node "${spec.nodeName}"`)
  if (spec.schedulingGates?.length) throw refuse(`pod ${bind.name} has non-empty .spec.schedulingGates`)
  const status = (pod.status ?? {}) as PodStatus
  const annotations = bind.annotations ? { annotations: { ...pod.metadata.annotations, ...bind.annotations } } : {}
  return {
    ...pod,
    metadata: { ...pod.metadata, ...annotations },
    spec: { ...spec, nodeName: bind.node },
    status: { ...status, conditions: scheduled(status.conditions ?? [], nowMs) },
  }
}

/** Sets spec.nodeName once. */
export const bindPod = (
  deps: { readonly writer: Writer; readonly clock: Pick<Clock, 'now'> },
  pods: Kind,
  bind: Bind,
  options: WriteOptions = {},
): Promise<Written> => deps.writer.modify(pods, bind.namespace, bind.name, pod => bound(pods, pod, bind, deps.clock.now()), options)
