// What may change in a pod that exists: images, a shorter deadline, more tolerations, fewer gates; in its status, no way back from an
// end that was final. Source: k8s pkg/apis/core/validation ValidatePodUpdate, ValidatePodStatusUpdate.

import { deepEqual, isObject } from '../base/json.ts'
import type { Cause } from './causes.ts'
import { forbidden, invalid, invalidAll, required } from './causes.ts'
import { validateObjectMetaUpdate } from './meta-validation.ts'
import { inclusiveRange } from './names.ts'
import type { Container, ContainerStatus, Pod, PodSpec, Toleration } from './pod.ts'
import { validateTolerations } from './scheduling-validation.ts'

const INT32_MAX = 2 ** 31 - 1
/** Changed paths listed in the refusal; further ones are left out. */
const CHANGES_MAX = 10

const MESSAGE =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,' +
  '`spec.tolerations` (only additions to existing tolerations),' +
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)'

const validateDeadline = (fresh: number | undefined, before: number | undefined): Cause[] => {
  const path = 'spec.activeDeadlineSeconds'
  if (fresh === undefined) {
    return before === undefined ? [] : [invalid(path, undefined, 'must not update from a positive integer to nil value')]
  }
  const causes = invalidAll(path, fresh, inclusiveRange(fresh, 0, INT32_MAX))
  if (causes.length > 0 || before === undefined || fresh <= before) return causes
  return [invalid(path, fresh, 'must be less than or equal to previous value')]
}

/** Existing tolerations stay, apart from how long they hold. */
const validateAddedTolerations = (fresh: readonly Toleration[], before: readonly Toleration[]): Cause[] => {
  const bare = ({ tolerationSeconds, ...rest }: Toleration): Omit<Toleration, 'tolerationSeconds'> => rest
  const kept = before.every(old => fresh.some(each => deepEqual(bare(each), bare(old))))
  if (!kept) return [forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds')]
  return validateTolerations(fresh, 'spec.tolerations')
}

const validateRemovedGates = (fresh: PodSpec['schedulingGates'], before: PodSpec['schedulingGates']): Cause[] => {
  const added = (fresh ?? []).find(gate => !before?.some(each => each.name === gate.name))
  const detail = `only deletion is allowed, but found new scheduling gate '${added?.name}'`
  return added ? [forbidden('spec.schedulingGates', detail)] : []
}

const validateImages = (fresh: readonly Container[], before: readonly Container[], path: string): Cause[] => {
  if (fresh.length !== before.length) return [forbidden(path, 'pod updates may not add or remove containers')]
  return fresh.flatMap((each, i) => (each.image ? [] : [required(`${path}[${i}].image`)]))
}

/** Paths at which two values differ, containers by position. */
const changedPaths = (fresh: unknown, before: unknown, path: string): string[] => {
  if (deepEqual(fresh, before)) return []
  if (Array.isArray(fresh) && Array.isArray(before) && fresh.length === before.length) {
    return fresh.flatMap((item: unknown, i) => changedPaths(item, before[i], `${path}[${i}]`))
  }
  if (!isObject(fresh) || !isObject(before)) return [path]
  const keys = [...new Set([...Object.keys(fresh), ...Object.keys(before)])]
  return keys.flatMap(key => changedPaths(fresh[key], before[key], `${path}.${key}`))
}

const withImages = (containers: readonly Container[], source: readonly Container[]): Container[] =>
  containers.map((each, i) => {
    const image = source[i]?.image
    return image === undefined ? each : { ...each, image }
  })

/** The new spec with everything that may change put back as it was. */
const mungedSpec = (fresh: PodSpec, before: PodSpec): PodSpec => {
  const munged: Partial<PodSpec> & Record<string, unknown> = { ...fresh }
  munged.containers = withImages(fresh.containers, before.containers)
  if (fresh.initContainers) munged.initContainers = withImages(fresh.initContainers, before.initContainers ?? [])
  for (const field of ['activeDeadlineSeconds', 'tolerations', 'schedulingGates'] as const) {
    if (before[field] === undefined) delete munged[field]
    else Object.assign(munged, { [field]: before[field] })
  }
  const grace = before.terminationGracePeriodSeconds
  if (grace !== undefined && grace < 0 && fresh.terminationGracePeriodSeconds === 1) munged.terminationGracePeriodSeconds = grace
  // Pods that wait behind a gate may still be steered.
  if (before.schedulingGates?.length) {
    for (const field of ['nodeSelector', 'affinity'] as const) {
      if (before[field] === undefined) delete munged[field]
      else Object.assign(munged, { [field]: before[field] })
    }
  }
  return munged as PodSpec
}

export const validatePodUpdate = (pod: Pod, old: Pod): Cause[] => {
  const [fresh, before] = [pod.spec, old.spec]
  const causes = validateObjectMetaUpdate(pod.metadata, old.metadata)
  const containers = [
    ...validateImages(fresh.containers, before.containers, 'spec.containers'),
    ...validateImages(fresh.initContainers ?? [], before.initContainers ?? [], 'spec.initContainers'),
  ]
  if (containers.some(each => each.type === 'FieldValueForbidden')) return [...causes, ...containers]
  causes.push(
    ...containers,
    ...validateDeadline(fresh.activeDeadlineSeconds, before.activeDeadlineSeconds),
    ...validateAddedTolerations(fresh.tolerations ?? [], before.tolerations ?? []),
    ...validateRemovedGates(fresh.schedulingGates, before.schedulingGates),
  )
  const changed = changedPaths(mungedSpec(fresh, before), before, 'spec')
  if (changed.length > 0) causes.push(forbidden('spec', `${MESSAGE}\nchanged: ${changed.slice(0, CHANGES_MAX).join(', ')}`))
  return causes
}

const validateStates = (fresh: readonly ContainerStatus[], before: readonly ContainerStatus[], policy: string, path: string): Cause[] => {
  if (policy === 'Always') return []
  return before.flatMap((old, i) => {
    const ended = old.state?.terminated
    if (!ended || (ended.exitCode !== 0 && policy === 'OnFailure')) return []
    const now = fresh.find(each => each.name === old.name)
    return now && !now.state?.terminated ? [forbidden(`${path}[${i}].state`, 'may not be transitioned to non-terminated state')] : []
  })
}

export const validatePodStatusUpdate = (pod: Pod, old: Pod): Cause[] => {
  const policy = old.spec.restartPolicy ?? 'Always'
  const causes = validateObjectMetaUpdate(pod.metadata, old.metadata)
  if (pod.spec.nodeName !== old.spec.nodeName) causes.push(forbidden('status.nodeName', 'may not be changed directly'))
  return [
    ...causes,
    ...validateStates(pod.status?.containerStatuses ?? [], old.status?.containerStatuses ?? [], policy, 'status.containerStatuses'),
  ]
}
