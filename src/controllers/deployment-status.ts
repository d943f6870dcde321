// Status of a Deployment: counts, Available, Progressing. `kubectl rollout status` reads exactly these. Source: upstream progress.go, sync.go.

import { parseTimestamp, timestamp } from '../base/clock.ts'
import type { Deployment, DeploymentStatus } from '../kinds/deployment.ts'
import type { Condition } from '../kinds/meta.ts'
import type { ReplicaSet } from '../kinds/replica-set.ts'
import { findCondition, withConditionLast } from './condition.ts'
import { fencesOf, nameOf, replicasOf, sizeSum } from './deployment-size.ts'
import { isDeleting } from './reference.ts'

/** "No deadline" on the wire. */
const NO_DEADLINE = 2_147_483_647
const DEADLINE_DEFAULT_SECONDS = 600

export const deadlineSeconds = (deployment: Deployment): number | undefined => {
  const seconds = deployment.spec.progressDeadlineSeconds ?? DEADLINE_DEFAULT_SECONDS
  return seconds === NO_DEADLINE ? undefined : seconds
}

const PODS_HELD = 'PodsHeld'
/** Reasons that holds do not change: nothing is under way. */
const SETTLED = ['NewReplicaSetAvailable', 'DeploymentPaused', PODS_HELD]

const progressing = (status: Condition['status'], reason: string, message: string): Condition => ({
  type: 'Progressing',
  status,
  reason,
  message,
})

const sum = (sets: readonly ReplicaSet[], field: 'replicas' | 'availableReplicas' | 'readyReplicas' | 'terminatingReplicas'): number =>
  sets.reduce((total, set) => total + (set.status?.[field] ?? 0), 0)

/** Same status and reason: the condition stays as it is, with its old message and times. */
const setCondition = (conditions: readonly Condition[], condition: Condition, nowMs: number): readonly Condition[] => {
  const old = findCondition(conditions, condition.type)
  if (old?.status === condition.status && old.reason === condition.reason) return conditions
  const now = timestamp(nowMs)
  return withConditionLast(conditions, { ...condition, lastUpdateTime: now }, now)
}

/** The counts and the Available condition; `conditions` are those to start from. */
export const countedStatus = (
  deployment: Deployment,
  sets: readonly ReplicaSet[],
  current: ReplicaSet | undefined,
  conditions: readonly Condition[],
  nowMs: number,
): DeploymentStatus => {
  const available = sum(sets, 'availableReplicas')
  const unavailable = Math.max(0, sizeSum(sets) - available)
  const numbers = {
    replicas: sum(sets, 'replicas'),
    updatedReplicas: current?.status?.replicas ?? 0,
    readyReplicas: sum(sets, 'readyReplicas'),
    availableReplicas: available,
    unavailableReplicas: unavailable,
    terminatingReplicas: sum(sets, 'terminatingReplicas'),
  }
  const enough = available >= replicasOf(deployment) - fencesOf(deployment).unavailable
  const condition: Condition = enough
    ? { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', message: 'Deployment has minimum availability.' }
    : {
        type: 'Available',
        status: 'False',
        reason: 'MinimumReplicasUnavailable',
        message: 'Deployment does not have minimum availability.',
      }
  const collisions = deployment.status?.collisionCount
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    ...Object.fromEntries(Object.entries(numbers).filter(([, count]) => count > 0)),
    conditions: [...setCondition(conditions, condition, nowMs)],
    ...(collisions === undefined ? {} : { collisionCount: collisions }),
  }
}

const isComplete = (deployment: Deployment, status: DeploymentStatus): boolean => {
  const wanted = replicasOf(deployment)
  return (
    (status.updatedReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted &&
    (status.availableReplicas ?? 0) === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  )
}

/** The rollout is done and the status says so already. */
export const isRolledOut = (deployment: Deployment): boolean => isComplete(deployment, deployment.status ?? {})

const oldReplicas = (status: DeploymentStatus): number => (status.replicas ?? 0) - (status.updatedReplicas ?? 0)

const hasProgressed = (before: DeploymentStatus, after: DeploymentStatus): boolean =>
  (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
  oldReplicas(after) < oldReplicas(before) ||
  (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
  (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)

/** When the deadline passes (wall ms); undefined when nothing is being waited for. */
const deadlineAt = (deployment: Deployment, conditions: readonly Condition[] | undefined): number | undefined => {
  const seconds = deadlineSeconds(deployment)
  const condition = findCondition(conditions, 'Progressing')
  if (seconds === undefined || !condition || SETTLED.includes(condition.reason ?? '')) return undefined
  const from = parseTimestamp(condition.lastUpdateTime ?? '')
  return Number.isNaN(from) ? undefined : from + seconds * 1000
}

/** The status with the Progressing condition brought up to date. */
export const rolloutStatus = (
  deployment: Deployment,
  counted: DeploymentStatus,
  current: ReplicaSet | undefined,
  nowMs: number,
): DeploymentStatus => {
  const conditions = counted.conditions ?? []
  if (deadlineSeconds(deployment) === undefined) return { ...counted, conditions: conditions.filter(c => c.type !== 'Progressing') }
  const now = timestamp(nowMs)
  const old = findCondition(conditions, 'Progressing')
  const settled = (counted.replicas ?? 0) === (counted.updatedReplicas ?? 0) && old?.reason === 'NewReplicaSetAvailable'
  if (settled) return counted
  const subject = current ? `ReplicaSet "${nameOf(current)}"` : `Deployment "${nameOf(deployment)}"`
  if (isComplete(deployment, counted)) {
    const done = progressing('True', 'NewReplicaSetAvailable', `${subject} has successfully progressed.`)
    return { ...counted, conditions: [...setCondition(conditions, done, nowMs)] }
  }
  if (hasProgressed(deployment.status ?? {}, counted)) {
    const moving = progressing('True', 'ReplicaSetUpdated', `${subject} is progressing.`)
    return { ...counted, conditions: withConditionLast(conditions, { ...moving, lastUpdateTime: now }, now) }
  }
  const deadline = deadlineAt(deployment, conditions)
  if (deadline === undefined || deadline >= nowMs) return counted
  const late = progressing('False', 'ProgressDeadlineExceeded', `${subject} has timed out progressing.`)
  return { ...counted, conditions: [...setCondition(conditions, late, nowMs)] }
}

/** Milliseconds until the progress deadline has to be looked at; undefined when there is nothing to wait for. */
export const deadlineInMs = (deployment: Deployment, status: DeploymentStatus, nowMs: number): number | undefined => {
  const deadline = deadlineAt(deployment, status.conditions)
  const condition = findCondition(status.conditions, 'Progressing')
  if (deadline === undefined || deployment.spec.paused || condition?.reason === 'ProgressDeadlineExceeded' || isDeleting(deployment))
    return undefined
  return isComplete(deployment, status) ? undefined : Math.max(0, deadline - nowMs) + 1000
}

/** Conditions at the start of a run: pausing and resuming stop and restart the deadline, and so do holds while a rollout is under way. */
export const startingConditions = (deployment: Deployment, isHeld: boolean, nowMs: number): readonly Condition[] => {
  const conditions = deployment.status?.conditions ?? []
  if (deadlineSeconds(deployment) === undefined) return conditions
  const reason = findCondition(conditions, 'Progressing')?.reason
  if (reason === 'ProgressDeadlineExceeded') return conditions
  const isPaused = reason === 'DeploymentPaused'
  if (deployment.spec.paused && !isPaused)
    return setCondition(conditions, progressing('Unknown', 'DeploymentPaused', 'Deployment is paused'), nowMs)
  if (!deployment.spec.paused && isPaused)
    return setCondition(conditions, progressing('Unknown', 'DeploymentResumed', 'Deployment is resumed'), nowMs)
  if (isHeld && reason !== undefined && !SETTLED.includes(reason))
    return setCondition(conditions, progressing('Unknown', PODS_HELD, 'the rollout waits for pods that are held at their devices'), nowMs)
  if (!isHeld && reason === PODS_HELD)
    return setCondition(conditions, progressing('Unknown', 'HoldsLifted', 'no pod is held any more'), nowMs)
  return conditions
}

/** Conditions after a ReplicaSet for the template was asked for, or found. */
export const withNewSet = (
  deployment: Deployment,
  conditions: readonly Condition[],
  reason: 'NewReplicaSetCreated' | 'FoundNewReplicaSet',
  setName: string,
  nowMs: number,
): readonly Condition[] => {
  if (deadlineSeconds(deployment) === undefined) return conditions
  const text = reason === 'NewReplicaSetCreated' ? `Created new replica set "${setName}"` : `Found new replica set "${setName}"`
  return setCondition(conditions, progressing('True', reason, text), nowMs)
}
