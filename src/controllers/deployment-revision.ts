// Revisions of a Deployment: which ReplicaSet carries the current template, what its annotations say, which old ones may go.
// Going back is not a mode: the old template returns, its ReplicaSet is found by equality and gets the newest revision number.

import { canonicalJson } from '../base/json.ts'
import type { Deployment } from '../kinds/deployment.ts'
import type { PodTemplateSpec } from '../kinds/pod.ts'
import type { ReplicaSet } from '../kinds/replica-set.ts'
import { DESIRED_REPLICAS, fencesOf, MAX_REPLICAS, nameOf, newSetSize, replicasOf } from './deployment-size.ts'
import { REVISION_HISTORY_BYTES_MAX } from './limits.ts'
import { templateHash } from './name.ts'
import { controllerReference, isDeleting } from './reference.ts'

export const REVISION = 'deployment.kubernetes.io/revision'
export const TEMPLATE_HASH = 'pod-template-hash'
const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history'
const HISTORY_LIMIT_DEFAULT = 10
/** What a Deployment keeps to itself. */
const NOT_COPIED = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  'deprecated.deployment.rollback.to',
])

type Annotations = Readonly<Record<string, string>>

/** A template as text, without the hash label: equal text, equal template. */
const templateText = (template: PodTemplateSpec | undefined): string => {
  const { [TEMPLATE_HASH]: _hash, ...labels } = template?.metadata?.labels ?? {}
  const annotations = template?.metadata?.annotations ?? {}
  return canonicalJson({ labels, annotations, spec: template?.spec ?? {} })
}

export const revisionOf = (set: ReplicaSet): number => Number(set.metadata.annotations?.[REVISION] ?? 0) || 0

/** Oldest first; creation times have whole seconds, so revision and name break ties. */
const byAge = (a: ReplicaSet, b: ReplicaSet): number => {
  const [left, right] = [a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? '']
  if (left !== right) return left < right ? -1 : 1
  return revisionOf(a) - revisionOf(b) || (nameOf(a) < nameOf(b) ? -1 : 1)
}

export interface Generations {
  /** The set with the Deployment's template, if it exists. */
  readonly current: ReplicaSet | undefined
  /** All others, oldest first. */
  readonly old: readonly ReplicaSet[]
  /** All, oldest first. */
  readonly all: readonly ReplicaSet[]
  /** The number the current set should have. */
  readonly revision: number
}

const hashOf = (deployment: Deployment): string =>
  templateHash(`${templateText(deployment.spec.template)}/${deployment.status?.collisionCount ?? 0}`)

export const generationsOf = (deployment: Deployment, sets: readonly ReplicaSet[]): Generations => {
  const all = [...sets].sort(byAge)
  const text = templateText(deployment.spec.template)
  const name = `${nameOf(deployment)}-${hashOf(deployment)}`
  const alive = all.filter(set => !isDeleting(set))
  // By name as well: should a default ever change what is stored, the set made for this template stays the set of this template.
  const current = alive.find(set => templateText(set.spec.template) === text) ?? alive.find(set => nameOf(set) === name)
  const old = all.filter(set => set !== current)
  return { current, old, all, revision: old.reduce((most, set) => Math.max(most, revisionOf(set)), 0) + 1 }
}

/** The annotations of the current set: the Deployment's, its revision, and the numbers it had before. */
export const currentAnnotations = (deployment: Deployment, set: ReplicaSet | undefined, revision: number): Record<string, string> => {
  const annotations: Record<string, string> = { ...set?.metadata.annotations }
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {})) if (!NOT_COPIED.has(key)) annotations[key] = value
  const before = set ? revisionOf(set) : 0
  if (before >= revision) return annotations
  annotations[REVISION] = String(revision)
  if (before > 0) {
    const history = [...(annotations[REVISION_HISTORY]?.split(',') ?? []), String(before)]
    while (history.join(',').length > REVISION_HISTORY_BYTES_MAX) history.shift()
    annotations[REVISION_HISTORY] = history.join(',')
  }
  return annotations
}

/** What a set says of the size it is part of; kubectl and proportional scaling read it. */
export const sizeAnnotations = (deployment: Deployment): Annotations => ({
  [DESIRED_REPLICAS]: String(replicasOf(deployment)),
  [MAX_REPLICAS]: String(replicasOf(deployment) + fencesOf(deployment).surge),
})

/** The ReplicaSet for the Deployment's template, named by the template's hash. */
export const newReplicaSet = (deployment: Deployment, generations: Generations): ReplicaSet => {
  const template = deployment.spec.template
  const hash = hashOf(deployment)
  const labels = { ...template.metadata?.labels, [TEMPLATE_HASH]: hash }
  const annotations = { ...currentAnnotations(deployment, undefined, generations.revision), ...sizeAnnotations(deployment) }
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${nameOf(deployment)}-${hash}`,
      namespace: deployment.metadata.namespace ?? '',
      labels,
      annotations,
      ownerReferences: [controllerReference(deployment)],
    },
    spec: {
      replicas: newSetSize(deployment, generations.all, undefined),
      minReadySeconds: deployment.spec.minReadySeconds ?? 0,
      selector: { ...deployment.spec.selector, matchLabels: { ...deployment.spec.selector.matchLabels, [TEMPLATE_HASH]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  }
}

/** Old sets beyond the history limit, lowest revision first, that are empty and known to be so. */
export const expiredSets = (deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] => {
  const alive = old.filter(set => !isDeleting(set)).sort((a, b) => revisionOf(a) - revisionOf(b) || byAge(a, b))
  const surplus = alive.length - (deployment.spec.revisionHistoryLimit ?? HISTORY_LIMIT_DEFAULT)
  return alive
    .slice(0, Math.max(0, surplus))
    .filter(
      set =>
        (set.status?.replicas ?? 0) === 0 &&
        replicasOf(set) === 0 &&
        (set.metadata.generation ?? 0) <= (set.status?.observedGeneration ?? 0),
    )
}
