// Deployment: moves pods from one template to the next by sizing ReplicaSets. Source: upstream pkg/controller/deployment.
// One run makes one step; the ReplicaSets' statuses bring the next. Each object is written at most once a run.

import { deepEqual } from '../base/json.ts'
import type { Deployment, DeploymentStatus } from '../kinds/deployment.ts'
import { isHeld } from '../kinds/hold.ts'
import type { Condition, KubeObject } from '../kinds/meta.ts'
import { controllerOf, keyOf, splitKey } from '../kinds/meta.ts'
import type { Pod } from '../kinds/pod.ts'
import { isPodTerminal } from '../kinds/pod.ts'
import type { ReplicaSet } from '../kinds/replica-set.ts'
import { isEmptySelector } from '../kinds/selector.ts'
import { claim, claimantKeys } from './claim.ts'
import { findCondition } from './condition.ts'
import type { Action, Controller, Result, View } from './controller.ts'
import type { Generations } from './deployment-revision.ts'
import {
  currentAnnotations,
  expiredSets,
  generationsOf,
  newReplicaSet,
  REVISION,
  revisionOf,
  sizeAnnotations,
} from './deployment-revision.ts'
import type { Sizes } from './deployment-size.ts'
import { DESIRED_REPLICAS, isRolling, nameOf, newSetSize, oldSetSizes, proportionalSizes, replicasOf } from './deployment-size.ts'
import { countedStatus, deadlineInMs, isRolledOut, rolloutStatus, startingConditions, withNewSet } from './deployment-status.ts'
import { heldMessage, withHeldMessage } from './held.ts'
import { REPLICA_GAP_MS } from './limits.ts'
import { asObject, eventAbout, isDeleting, patchStatus, uidOf } from './reference.ts'

const SOURCE = 'deployment-controller'

export const deployment: Controller = {
  name: 'deployment',
  gapMs: REPLICA_GAP_MS,
  watches: [
    { kind: 'Deployment', keys: object => [keyOf(object.metadata)] },
    { kind: 'ReplicaSet', keys: (set, old, view) => claimantKeys(view, 'Deployment', set, old) },
    { kind: 'Pod', keys: (pod, _old, view) => recreateKeys(view, pod) },
  ],
  reconcile(view, key, nowMs) {
    const { namespace, name } = splitKey(key)
    const found = view.get<Deployment>('Deployment', namespace, name)
    if (!found || isEmptySelector(found.spec.selector)) return { actions: [] }
    return reconcileDeployment(view, found, nowMs)
  },
}

/** Recreate waits for old pods to be gone or ended; nothing else needs to hear of pods. */
const recreateKeys = (view: View, pod: KubeObject): string[] => {
  const gone = !view.exists(uidOf(pod)) || isPodTerminal(pod as unknown as Pod)
  const setRef = gone ? controllerOf(pod.metadata) : undefined
  if (setRef?.kind !== 'ReplicaSet') return []
  const namespace = pod.metadata.namespace ?? ''
  const set = view.get<ReplicaSet>('ReplicaSet', namespace, setRef.name)
  const owner = set && controllerOf(set.metadata)
  const found = owner?.kind === 'Deployment' ? view.get<Deployment>('Deployment', namespace, owner.name) : undefined
  return found && !isRolling(found) ? [keyOf(found.metadata)] : []
}

/** What one run decides, before it becomes actions. */
interface Step {
  readonly sizes?: Sizes
  readonly create?: boolean
  readonly remove?: readonly ReplicaSet[]
  /** Progress is judged; false while paused or scaling, as upstream. */
  readonly judge: boolean
}

const reconcileDeployment = (view: View, found: Deployment, nowMs: number): Result => {
  const claimed = claim<ReplicaSet>(view, found, 'ReplicaSet')
  const generations = generationsOf(found, claimed.children)
  const held = heldMessage(claimed.children)
  const conditions = withHeldMessage(startingConditions(found, held !== undefined, nowMs), held, nowMs)
  const step = isDeleting(found) ? { judge: false } : stepOf(view, found, generations)
  const created = step.create ? newReplicaSet(found, generations) : undefined
  if (created) {
    const taken = view.get<ReplicaSet>('ReplicaSet', created.metadata.namespace ?? '', nameOf(created))
    if (taken) return collide(found, taken, claimed.actions)
  }
  const changes = created ? createSet(found, created) : resize(found, generations, step)
  const actions = [...changes, ...claimed.actions, ...removals(step.remove ?? [])]
  const revision = generations.current && currentRevision(found, generations)
  if (revision !== undefined && !isDeleting(found) && found.metadata.annotations?.[REVISION] !== revision) {
    const patch = { metadata: { annotations: { [REVISION]: revision } } }
    return { actions: [...actions, { do: 'patch', kind: 'Deployment', key: keyOf(found.metadata), uid: uidOf(found), patch }] }
  }
  const status = statusOf(found, generations, step, { conditions, created }, nowMs)
  if (!deepEqual(status, found.status ?? {})) actions.push(patchStatus(found, status))
  const afterMs = deadlineInMs(found, status, nowMs)
  return afterMs === undefined ? { actions } : { actions, again: { afterMs, why: 'the progress deadline' } }
}

const stepOf = (view: View, found: Deployment, generations: Generations): Step => {
  if (found.spec.paused || (isRolling(found) && isScaling(found, generations.all))) {
    const remove = found.spec.paused ? expiredSets(found, generations.old) : []
    return { sizes: scaleSizes(found, generations), remove, judge: false }
  }
  const next = isRolling(found) ? rollingStep(view, found, generations) : recreateStep(view, found, generations)
  const isQuiet = !next.create && (next.sizes?.size ?? 0) === 0
  return isQuiet && isRolledOut(found) ? { ...next, remove: expiredSets(found, generations.old) } : next
}

const activeSets = (sets: readonly ReplicaSet[]): ReplicaSet[] => sets.filter(set => replicasOf(set) > 0)

/** spec.replicas changed since the sets were last sized. */
const isScaling = (found: Deployment, sets: readonly ReplicaSet[]): boolean =>
  activeSets(sets).some(set => {
    const desired = set.metadata.annotations?.[DESIRED_REPLICAS]
    return desired !== undefined && Number(desired) !== replicasOf(found)
  })

/** Sizes for a new spec.replicas, without moving the rollout on. */
const scaleSizes = (found: Deployment, { current, old, all }: Generations): Sizes => {
  const active = activeSets(all)
  const only = active.length === 1 ? active[0] : active.length === 0 ? (current ?? old.at(-1)) : undefined
  if (only) return new Map([[nameOf(only), replicasOf(found)]])
  const desired = Number(current?.metadata.annotations?.[DESIRED_REPLICAS])
  const wanted = replicasOf(found)
  const saturated = current && replicasOf(current) === wanted && desired === wanted && current.status?.availableReplicas === wanted
  if (saturated) return new Map(activeSets(old).map(set => [nameOf(set), 0]))
  return isRolling(found) ? proportionalSizes(found, active) : new Map()
}

/** Pods of a set that are held at their device. */
const heldIn =
  (view: View) =>
  (set: ReplicaSet): number =>
    heldMessage([set]) === undefined
      ? 0
      : view.list<Pod>('Pod', { owner: uidOf(set) }).filter(pod => isHeld(pod) && !isDeleting(pod)).length

const rollingStep = (view: View, found: Deployment, { current, old, all }: Generations): Step => {
  if (!current) return { create: true, judge: true }
  const size = newSetSize(found, all, current)
  if (size !== replicasOf(current)) return { sizes: new Map([[nameOf(current), size]]), judge: true }
  return { sizes: oldSetSizes(found, old, current, heldIn(view)), judge: true }
}

const recreateStep = (view: View, found: Deployment, { current, old }: Generations): Step => {
  const active = activeSets(old)
  const held = heldIn(view)
  if (active.length > 0) return { sizes: new Map(active.map(set => [nameOf(set), Math.min(held(set), replicasOf(set))])), judge: true }
  const running = old.some(set => view.list<Pod>('Pod', { owner: uidOf(set) }).some(pod => !isPodTerminal(pod)))
  if (running) return { judge: true }
  if (!current) return { create: true, judge: true }
  const wanted = replicasOf(found)
  return replicasOf(current) === wanted ? { judge: true } : { sizes: new Map([[nameOf(current), wanted]]), judge: true }
}

/** The name is taken by another set: one that is going away is waited for, any other makes the next hash differ. */
const collide = (found: Deployment, taken: ReplicaSet, actions: readonly Action[]): Result => {
  if (isDeleting(taken)) return { actions }
  const status = { ...found.status, collisionCount: (found.status?.collisionCount ?? 0) + 1 }
  return { actions: [...actions, patchStatus(found, status)] }
}

const createSet = (found: Deployment, created: ReplicaSet): Action[] => {
  const note = `Scaled up replica set ${nameOf(created)} from 0 to ${replicasOf(created)}`
  const event = eventAbout(found, { type: 'Normal', reason: 'ScalingReplicaSet', note, source: SOURCE, after: 0 })
  return [{ do: 'create', object: asObject(created) }, ...(replicasOf(created) > 0 ? [event] : [])]
}

/** One patch per set that has to change: its size, what it says of the whole, and for the current one its revision. */
const resize = (found: Deployment, { current, all, revision }: Generations, step: Step): Action[] => {
  const actions: Action[] = []
  for (const set of all) {
    if (isDeleting(set) || isDeleting(found)) continue
    const size = step.sizes?.get(nameOf(set))
    const annotations = {
      ...(set === current ? currentAnnotations(found, set, revision) : set.metadata.annotations),
      ...(size === undefined ? {} : sizeAnnotations(found)),
    }
    const spec = {
      ...(size === undefined || size === replicasOf(set) ? {} : { replicas: size }),
      ...(set === current && (set.spec.minReadySeconds ?? 0) !== (found.spec.minReadySeconds ?? 0)
        ? { minReadySeconds: found.spec.minReadySeconds ?? 0 }
        : {}),
    }
    const isSame = deepEqual(annotations, set.metadata.annotations ?? {})
    if (isSame && Object.keys(spec).length === 0) continue
    const patch = { ...(isSame ? {} : { metadata: { annotations } }), ...(Object.keys(spec).length > 0 ? { spec } : {}) }
    const after = actions.length
    const resourceVersion = set.metadata.resourceVersion ?? ''
    actions.push({ do: 'patch', kind: 'ReplicaSet', key: keyOf(set.metadata), uid: uidOf(set), resourceVersion, patch })
    if (size === undefined || size === replicasOf(set)) continue
    const direction = size > replicasOf(set) ? 'up' : 'down'
    const note = `Scaled ${direction} replica set ${nameOf(set)} from ${replicasOf(set)} to ${size}`
    actions.push(eventAbout(found, { type: 'Normal', reason: 'ScalingReplicaSet', note, source: SOURCE, after }))
  }
  return actions
}

const removals = (sets: readonly ReplicaSet[]): Action[] =>
  sets.map(set => ({
    do: 'delete',
    kind: 'ReplicaSet',
    key: keyOf(set.metadata),
    uid: uidOf(set),
    resourceVersion: set.metadata.resourceVersion ?? '',
  }))

const currentRevision = (found: Deployment, { current, revision }: Generations): string =>
  currentAnnotations(found, current, revision)[REVISION] ?? String(current ? revisionOf(current) : revision)

const statusOf = (
  found: Deployment,
  { current, all }: Generations,
  step: Step,
  start: { readonly conditions: readonly Condition[]; readonly created: ReplicaSet | undefined },
  nowMs: number,
): DeploymentStatus => {
  const named = start.created ?? current
  const isNew = start.created !== undefined || (current !== undefined && !findCondition(start.conditions, 'Progressing'))
  const conditions =
    isNew && named && !isDeleting(found)
      ? withNewSet(found, start.conditions, start.created ? 'NewReplicaSetCreated' : 'FoundNewReplicaSet', nameOf(named), nowMs)
      : start.conditions
  const counted = countedStatus(found, all, current, conditions, nowMs)
  return step.judge ? rolloutStatus(found, counted, named, nowMs) : counted
}
