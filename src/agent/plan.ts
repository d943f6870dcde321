// What to do next for one pod: (desired or absent, observed, device, now) → actions. Pure and level-triggered: run it as often as you
// like; when the world is as desired it asks for nothing. DESIGN invariant 3; k8s pod lifecycle.

import type { Pod } from '../kinds/pod.ts'
import type { Action } from './action.ts'
import { type Device, hostnameOf, isSidecar, nameOf, namespaceOf, usesHostNetwork } from './device.ts'
import { type At, type Draft, newDraft, type World, wakeAt } from './draft.ts'
import { type ConfigProblem, isProblem } from './env.ts'
import { holdText } from './holds.ts'
import { isDone, planContainer, planProbes, planStale } from './plan-container.ts'
import { planHeld } from './plan-held.ts'
import { planTeardown } from './plan-teardown.ts'
import { isRunning, type Now, type PodRecord, type Waiting } from './pod-record.ts'
import { planSilent } from './silence.ts'
import { allContainers } from './stop.ts'
import type { PodLayout } from './volumes.ts'

export interface Plan {
  /** In order of preference; of one slot only the first is carried out. */
  readonly actions: readonly Action[]
  /** Why containers do not run, by name. */
  readonly waiting: ReadonlyMap<string, Waiting>
  /** Look again then (monotonic). */
  readonly wakeAtMs?: number
  /** The pod has reached its end. */
  readonly terminal?: NonNullable<PodRecord['terminal']>
  /** Nothing of the pod is left on the device. */
  readonly gone?: boolean
  /** Why the pod cannot be set up, told as an event. */
  readonly trouble?: { readonly reason: string; readonly message: string }
  /** Who holds it and since when. */
  readonly held?: string
  /** The server's silence keeps it stopped: why, for people. */
  readonly silenced?: string
}

/** `layout` is what the volumes shall hold, or what is missing for it; undefined when the pod is leaving. */
export const plan = (record: PodRecord, layout: PodLayout | ConfigProblem | undefined, world: World, now: Now): Plan => {
  const { pod } = record
  const draft = newDraft()
  const silent = world.silence !== undefined && world.silence.stopAtMs <= now.monoMs ? world.silence : undefined
  const terminal = record.terminal ?? (pod && record.desired && !world.hold && !silent ? terminalOf(pod, record, now, draft) : undefined)
  if (!pod || !record.desired || pod.metadata.deletionTimestamp !== undefined || terminal) {
    const { gone } = planTeardown(record, world.device, now, draft)
    return finish(draft, { ...(terminal ? { terminal } : {}), ...(gone ? { gone } : {}) })
  }
  if (world.hold) {
    planHeld({ pod, record, world, now, draft, ready: false }, world.hold)
    return finish(draft, { held: holdText(world.hold) })
  }
  if (silent) {
    planSilent({ pod, record, world, now, draft, ready: false }, silent)
    return finish(draft, { silenced: silent.text })
  }
  if (world.silence && world.silence.stopAtMs < Number.POSITIVE_INFINITY) wakeAt(draft, world.silence.stopAtMs)
  for (const { name } of allContainers(pod)) {
    const state = record.containers.get(name)
    if (!isRunning(state)) draft.waiting.set(name, { reason: 'ContainerCreating' })
  }
  const setup = planSetup(pod, record, layout, world)
  if (setup.action) draft.actions.push(setup.action)
  tellWhy(record, setup, draft)
  planContainers({ pod, record, world, now, draft, ready: setup.ready })
  return finish(draft, setup.trouble ? { trouble: setup.trouble } : {})
}

/** Containers that wait for the pod's set-up say what it waits for, where that is known. */
const tellWhy = (record: PodRecord, setup: Setup, draft: Draft): void => {
  if (setup.ready) return
  const message = setup.trouble?.message ?? [...record.retry.values()][0]?.message
  if (message === undefined) return
  for (const [name, waiting] of draft.waiting) draft.waiting.set(name, { ...waiting, message })
}

const finish = (draft: Draft, rest: Omit<Plan, 'actions' | 'waiting' | 'wakeAtMs'>): Plan => ({
  actions: draft.actions,
  waiting: draft.waiting,
  ...(draft.wakeAtMs === undefined ? {} : { wakeAtMs: draft.wakeAtMs }),
  ...rest,
})

interface Setup {
  readonly action?: Action
  readonly ready: boolean
  readonly trouble?: NonNullable<Plan['trouble']>
}

/** Volumes, sandbox, address, one step at a time. Running containers are not touched by any of it. */
const planSetup = (pod: Pod, record: PodRecord, layout: PodLayout | ConfigProblem | undefined, world: World): Setup => {
  const { uid } = record
  const own = !usesHostNetwork(pod, world.device)
  if (own && !world.networkReady && world.around.podCIDR !== '') return { ready: false }
  if (own && record.address === undefined) {
    const message = world.around.podCIDR === '' ? 'this device has no pod address range yet' : `no free address in ${world.around.podCIDR}`
    return { ready: false, trouble: { reason: 'FailedCreatePodSandBox', message } }
  }
  const problem = layout === undefined || isProblem(layout) ? (layout?.problem ?? '') : undefined
  const trouble = problem === undefined ? {} : { trouble: { reason: 'FailedMount', message: problem } }
  // What was set up once stays usable when its ConfigMap is deleted later: the files are still there.
  if (problem !== undefined && record.sandbox === 'absent') return { ready: false, ...trouble }
  if (layout && !isProblem(layout) && record.volumesRevision !== layout.revision)
    return { ready: false, action: { do: 'writeVolumes', uid, layout, fresh: record.sandbox === 'absent' } }
  if (record.sandbox === 'absent')
    return { ready: false, action: { do: 'createSandbox', uid, sandbox: sandboxSpec(pod, record, world.device) } }
  if (own && record.netns !== undefined && !record.attached && record.address !== undefined)
    return { ready: false, action: { do: 'attach', uid, netns: record.netns, address: record.address }, ...trouble }
  return { ready: true, ...trouble }
}

const sandboxSpec = (pod: Pod, record: PodRecord, device: Device) => ({
  uid: record.uid,
  namespace: namespaceOf(pod),
  name: nameOf(pod),
  hostname: hostnameOf(pod),
  hostNetwork: usesHostNetwork(pod, device),
  hostPID: pod.spec.hostPID === true,
  hostIPC: pod.spec.hostIPC === true,
  shareProcessNamespace: pod.spec.shareProcessNamespace === true,
  sysctls: Object.fromEntries((pod.spec.securityContext?.sysctls ?? []).map(s => [s.name, s.value])),
})

const policyOf = (pod: Pod): string => pod.spec.restartPolicy ?? 'Always'
const initPolicyOf = (pod: Pod): string => (policyOf(pod) === 'Never' ? 'Never' : 'OnFailure')

/** Init containers one after the other, then all others side by side; probes and old attempts last. */
const planContainers = (at: At): void => {
  const { pod } = at
  if (planInit(at)) for (const container of pod.spec.containers) planContainer(at, container, false, policyOf(pod))
  for (const container of allContainers(pod)) planProbes(at, container)
  planStale(at)
}

/** True when the main containers may run. */
const planInit = (at: At): boolean => {
  const { pod, record, draft } = at
  const initialized = isInitialized(pod, record)
  for (const container of pod.spec.initContainers ?? []) {
    const state = record.containers.get(container.name)
    const completed = state?.ended?.exitCode === 0 && !state.rerun
    if (isSidecar(container)) {
      planContainer(at, container, true, 'Always')
      if (initialized || (isRunning(state) && state?.started)) continue
    } else if (completed || initialized) {
      draft.waiting.delete(container.name)
      continue
    } else planContainer(at, container, true, initPolicyOf(pod))
    holdAfter(pod, draft, container.name)
    return false
  }
  return true
}

/** The containers that wait for an earlier one say so, as kubelet's do. */
const holdAfter = (pod: Pod, draft: Draft, name: string): void => {
  const all = allContainers(pod)
  for (const later of all.slice(all.findIndex(c => c.name === name) + 1))
    if (draft.waiting.has(later.name)) draft.waiting.set(later.name, { reason: 'PodInitializing' })
}

/** Every init container has done its part in this sandbox, or a main container was started in it already. */
export const isInitialized = (pod: Pod, record: PodRecord): boolean => {
  if (pod.spec.containers.some(c => record.containers.get(c.name)?.sandboxed)) return true
  return (pod.spec.initContainers ?? []).every(container => {
    const state = record.containers.get(container.name)
    return isSidecar(container) ? isRunning(state) && state?.started === true : state?.ended?.exitCode === 0 && !state.rerun
  })
}

/** Whether everything has ended for good, or ran longer than it may. */
const terminalOf = (pod: Pod, record: PodRecord, now: Now, draft: Draft): PodRecord['terminal'] => {
  if (pod.spec.activeDeadlineSeconds !== undefined && record.activeSinceAtMs !== undefined) {
    const endAtMs = record.activeSinceAtMs + pod.spec.activeDeadlineSeconds * 1000
    if (endAtMs <= now.monoMs)
      return { phase: 'Failed', reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' }
    wakeAt(draft, endAtMs)
  }
  const policy = policyOf(pod)
  if (policy === 'Always') return undefined
  const stateOf = (name: string) => record.containers.get(name)
  const failedInit = (pod.spec.initContainers ?? []).some(
    c => !isSidecar(c) && policy === 'Never' && isDone(stateOf(c.name), policy) && stateOf(c.name)?.ended?.exitCode !== 0,
  )
  if (failedInit) return { phase: 'Failed' }
  if (!pod.spec.containers.every(c => isDone(stateOf(c.name), policy))) return undefined
  return { phase: pod.spec.containers.every(c => stateOf(c.name)?.ended?.exitCode === 0) ? 'Succeeded' : 'Failed' }
}
