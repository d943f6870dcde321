// The PodStatus of what was observed. Pure; the previous status gives the transition times and what the runtime has forgotten.
// Source: kubelet generateAPIPodStatus, getPhase, status.GeneratePodReadyCondition; k8s qos.

import { timestamp } from '../base/clock.ts'
import type { Condition } from '../kinds/meta.ts'
import type { Container, ContainerState, ContainerStatus, Pod, PodStatus } from '../kinds/pod.ts'
import { quantityBytes, quantityMillis } from '../kinds/quantity.ts'
import { type Device, isSidecar, usesHostNetwork } from './device.ts'
import { isInitialized, type Plan } from './plan.ts'
import { type ContainerRecord, containerID, isRunning, type Now, type PodRecord, type Waiting } from './pod-record.ts'
import { DISCONNECTED_STOP } from './silence.ts'

type Phase = NonNullable<PodStatus['phase']>

/** BestEffort, Burstable or Guaranteed, from requests and limits of cpu and memory. */
export const qosClass = (pod: Pod): string => {
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]
  const amount = (resource: string, written: string | undefined): number =>
    resource === 'cpu' ? quantityMillis(written) : quantityBytes(written)
  const cells = all.flatMap(container =>
    ['cpu', 'memory'].map(resource => {
      const limit = amount(resource, container.resources?.limits?.[resource])
      const request = container.resources?.requests?.[resource]
      return { limit, request: request === undefined ? limit : amount(resource, request) }
    }),
  )
  if (cells.every(cell => cell.limit === 0 && cell.request === 0)) return 'BestEffort'
  return cells.every(cell => cell.limit > 0 && cell.limit === cell.request) ? 'Guaranteed' : 'Burstable'
}

const stateOf = (record: ContainerRecord | undefined, waiting: Waiting | undefined): ContainerState => {
  if (record && isRunning(record)) return { running: { startedAt: timestamp(record.current?.startedAtMs ?? 0) } }
  if (record?.ended && waiting === undefined) return { terminated: record.ended }
  return { waiting: waiting ?? { reason: 'ContainerCreating' } }
}

const containerStatus = (container: Container, at: StatusInput): ContainerStatus => {
  const { record, plan, device } = at
  const state = record.containers.get(container.name)
  const before = [...(record.status?.containerStatuses ?? []), ...(record.status?.initContainerStatuses ?? [])].find(
    s => s.name === container.name,
  )
  const shown = stateOf(state, plan.waiting.get(container.name))
  const last = shown.waiting && state?.ended ? state.ended : state?.last
  const current = state?.current
  const running = isRunning(state)
  const done = state?.init && state.ended?.exitCode === 0 && !state.rerun && !isSidecar(container)
  return {
    name: container.name,
    state: shown,
    lastState: last ? { terminated: last } : {},
    ready: state?.init && !isSidecar(container) ? done === true : running && state?.ready === true && !state.stop,
    restartCount: Math.max(0, (state?.attempts ?? 0) - 1),
    image: current?.image ?? container.image ?? '',
    imageID: current?.imageID ?? before?.imageID ?? '',
    ...(current
      ? { containerID: containerID(device.runtimeName, current.id) }
      : before?.containerID
        ? { containerID: before.containerID }
        : {}),
    started: running && state?.started === true,
  }
}

/** The phase while the pod has not reached its end. Source: kubelet getPhase. */
const livePhase = (pod: Pod, record: PodRecord, statuses: readonly ContainerStatus[]): Phase => {
  if (!isInitialized(pod, record)) return 'Pending'
  // A container that ran before and waits to run again counts as a pod that runs.
  return statuses.some(s => s.state?.waiting && !s.lastState?.terminated) ? 'Pending' : 'Running'
}

export interface StatusInput {
  readonly record: PodRecord
  readonly plan: Plan
  readonly device: Device
  readonly now: Now
}

const condition = (
  type: string,
  problem: { readonly reason: string; readonly message?: string } | undefined,
  at: StatusInput,
  observedGeneration: number | undefined,
): Condition => {
  const status = problem ? 'False' : 'True'
  const before = at.record.status?.conditions?.find(c => c.type === type)
  const since = before?.status === status ? before.lastTransitionTime : undefined
  return {
    type,
    status,
    ...(problem ?? {}),
    lastTransitionTime: since ?? timestamp(at.now.wallMs),
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
  }
}

const unready = (what: string, statuses: readonly ContainerStatus[]): string | undefined => {
  const names = statuses.filter(s => !s.ready).map(s => s.name)
  return names.length === 0 ? undefined : `containers with ${what} status: [${names.join(' ')}]`
}

const unreadiness = ({ held, silenced }: Plan, message: string): { readonly reason: string; readonly message: string } =>
  silenced !== undefined
    ? { reason: DISCONNECTED_STOP, message: silenced }
    : held === undefined
      ? { reason: 'ContainersNotReady', message }
      : { reason: 'Held', message: held }

const conditions = (
  pod: Pod,
  at: StatusInput,
  phase: Phase,
  init: readonly ContainerStatus[],
  main: readonly ContainerStatus[],
): Condition[] => {
  const over = phase === 'Succeeded' || phase === 'Failed'
  const completed = { reason: phase === 'Failed' ? 'PodFailed' : 'PodCompleted' }
  const sidecars = init.filter(s => pod.spec.initContainers?.some(c => c.name === s.name && isSidecar(c)))
  const notReady = unready('unready', [...sidecars, ...main])
  const notInitialized = isInitialized(pod, at.record) || phase === 'Succeeded' ? undefined : unready('incomplete', init)
  const containersReady = over ? completed : notReady === undefined ? undefined : unreadiness(at.plan, notReady)
  const gates = (pod.spec.readinessGates ?? []).map(gate => gate.conditionType)
  const gated =
    gates.length > 0
      ? { reason: 'ReadinessGatesNotReady', message: `corresponding condition of pod readiness gate "${gates[0]}" does not exist.` }
      : undefined
  const generation = pod.metadata.generation
  return [
    condition('PodReadyToStartContainers', at.record.sandbox === 'present' ? undefined : { reason: 'SandboxNotReady' }, at, generation),
    condition('Initialized', notInitialized ? { reason: 'ContainersNotInitialized', message: notInitialized } : undefined, at, generation),
    condition('Ready', containersReady ?? gated, at, generation),
    condition('ContainersReady', containersReady, at, generation),
    condition('PodScheduled', undefined, at, generation),
  ]
}

/** The complete status of a desired pod. */
export const podStatus = (pod: Pod, at: StatusInput): PodStatus => {
  const { record, plan, device, now } = at
  const init = (pod.spec.initContainers ?? []).map(container => containerStatus(container, at))
  const main = pod.spec.containers.map(container => containerStatus(container, at))
  const phase = plan.terminal?.phase ?? livePhase(pod, record, main)
  const podIP = usesHostNetwork(pod, device) ? device.hostIPs[0] : record.address
  const generation = pod.metadata.generation
  const { reason, message } = plan.silenced === undefined ? (plan.terminal ?? {}) : { reason: DISCONNECTED_STOP, message: plan.silenced }
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    phase,
    conditions: conditions(pod, at, phase, init, main),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(device.hostIPs[0] === undefined ? {} : { hostIP: device.hostIPs[0], hostIPs: device.hostIPs.map(ip => ({ ip })) }),
    ...(podIP === undefined || record.sandbox === 'absent' ? addressBefore(record) : { podIP, podIPs: [{ ip: podIP }] }),
    startTime: timestamp(record.startedWallMs ?? now.wallMs),
    ...(init.length > 0 ? { initContainerStatuses: init } : {}),
    containerStatuses: main,
    qosClass: qosClass(pod),
  }
}

const addressBefore = (record: PodRecord): Pick<PodStatus, 'podIP' | 'podIPs'> => {
  const { podIP, podIPs } = record.status ?? {}
  return podIP === undefined || podIPs === undefined ? {} : { podIP, podIPs }
}
