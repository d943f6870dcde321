// How a pod looks in a table. Source: k8s pkg/printers/internalversion printPod: the reason shown is the most telling one.

import { isSuperseded } from './disconnection.ts'
import { translateTimestampSince } from './duration.ts'
import { isHeld } from './hold.ts'
import type { Cell, Column } from './kind.ts'
import type { Container, ContainerState, ContainerStatus, Pod } from './pod.ts'
import { isPodReady, isPodTerminal } from './pod.ts'
import { isRestartableInit } from './pod-lookup.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, NONE, nameOf, wideColumn } from './printing.ts'

export const POD_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column('Ready', 'The aggregate readiness state of this pod for accepting traffic.'),
  column('Status', 'The aggregate status of the containers in this pod.'),
  column('Restarts', 'How often the containers of this pod were restarted, and when last.'),
  AGE_COLUMN,
  wideColumn('IP', 'Address of the pod.'),
  wideColumn('Node', 'Node the pod is bound to.'),
  wideColumn('Nominated Node', 'Node the pod may be bound to after preemption.'),
  wideColumn('Readiness Gates', 'Conditions that are true, of those the readiness gates name.'),
]

interface Tally {
  reason: string
  ready: number
  restarts: number
  /** Newest end of an earlier run, '' when there is none. RFC 3339 in UTC sorts as text. */
  lastRestart: string
}

const exitText = (terminated: NonNullable<ContainerState['terminated']>): string => {
  if (terminated.reason) return terminated.reason
  return terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`
}

const countRestarts = (tally: Tally, status: ContainerStatus): void => {
  tally.restarts += status.restartCount
  const finishedAt = status.lastState?.terminated?.finishedAt ?? ''
  if (finishedAt > tally.lastRestart) tally.lastRestart = finishedAt
}

const initReason = (status: ContainerStatus, position: number, total: number): string => {
  const { terminated, waiting } = status.state ?? {}
  if (terminated) return `Init:${exitText(terminated)}`
  if (waiting?.reason && waiting.reason !== 'PodInitializing') return `Init:${waiting.reason}`
  return `Init:${position}/${total}`
}

/** Walks the init containers; true while one of them holds the pod up. `sidecars` counts only those that stay. */
const tallyInit = (pod: Pod, tally: Tally, sidecars: Tally): boolean => {
  const containers = new Map<string, Container>((pod.spec.initContainers ?? []).map(each => [each.name, each]))
  for (const [i, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const restartable = isRestartableInit(containers.get(status.name))
    countRestarts(tally, status)
    if (restartable) countRestarts(sidecars, status)
    if (status.state?.terminated?.exitCode === 0) continue
    if (restartable && status.started === true) {
      if (status.ready) tally.ready++
      continue
    }
    tally.reason = initReason(status, i, containers.size)
    return true
  }
  return false
}

const tallyContainers = (pod: Pod, tally: Tally): void => {
  let running = false
  for (const status of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    countRestarts(tally, status)
    const { waiting, terminated, running: started } = status.state ?? {}
    if (waiting?.reason) tally.reason = waiting.reason
    else if (terminated) tally.reason = exitText(terminated)
    else if (status.ready && started) {
      running = true
      tally.ready++
    }
  }
  if (tally.reason === 'Completed' && running) tally.reason = isPodReady(pod) ? 'Running' : 'NotReady'
}

const isInitialized = (pod: Pod): boolean =>
  pod.status?.conditions?.some(each => each.type === 'Initialized' && each.status === 'True') ?? false

const summarize = (pod: Pod): Tally => {
  const { status } = pod
  const gated = status?.conditions?.some(each => each.type === 'PodScheduled' && each.reason === 'SchedulingGated')
  const tally: Tally = {
    reason: gated ? 'SchedulingGated' : status?.reason || (status?.phase ?? ''),
    ready: 0,
    restarts: 0,
    lastRestart: '',
  }
  const sidecars: Tally = { reason: '', ready: 0, restarts: 0, lastRestart: '' }
  const initializing = tallyInit(pod, tally, sidecars)
  if (!initializing || isInitialized(pod)) {
    tally.restarts = sidecars.restarts
    tally.lastRestart = sidecars.lastRestart
    tallyContainers(pod, tally)
  }
  if (isSuperseded(pod)) tally.reason = 'Superseded'
  if (isHeld(pod)) tally.reason = 'Held'
  if (pod.metadata.deletionTimestamp !== undefined) {
    if (status?.reason === 'NodeLost') tally.reason = 'Unknown'
    else if (!isPodTerminal(pod)) tally.reason = 'Terminating'
  }
  return tally
}

/** The word under STATUS: `Running`, `CrashLoopBackOff`, `Init:0/1`, `Terminating` … */
export const podReason = (pod: Pod): string => summarize(pod).reason

const gatesText = (pod: Pod): string => {
  const gates = pod.spec.readinessGates ?? []
  if (gates.length === 0) return NONE
  const met = gates.filter(gate => pod.status?.conditions?.some(each => each.type === gate.conditionType && each.status === 'True'))
  return `${met.length}/${gates.length}`
}

export const podRow = (pod: Pod, nowMs: number): Cell[] => {
  const tally = summarize(pod)
  const total = (pod.spec.containers?.length ?? 0) + (pod.spec.initContainers ?? []).filter(isRestartableInit).length
  const ago = tally.restarts > 0 && tally.lastRestart !== '' ? ` (${translateTimestampSince(tally.lastRestart, nowMs)} ago)` : ''
  return [
    nameOf(pod),
    `${tally.ready}/${total}`,
    tally.reason,
    `${tally.restarts}${ago}`,
    ageOf(pod, nowMs),
    pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? NONE,
    pod.spec.nodeName || NONE,
    pod.status?.nominatedNodeName || NONE,
    gatesText(pod),
  ]
}
