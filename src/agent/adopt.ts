// The first step of a run: what the runtime found, what was remembered and what is desired become one record per pod. What runs is
// adopted with its pid; what died while no agent watched is due at once. DESIGN section 7, invariant 1; peers' offline-reboot complaints.

import { parseTimestamp } from '../base/clock.ts'
import type { Container, ContainerStatus } from '../kinds/pod.ts'
import type { ContainerInfo, SandboxInfo } from '../runtime/runtime.ts'
import type { Device } from './device.ts'
import { containerRecord, restoreContainer, takeExit, terminatedOf } from './observe.ts'
import { containerID, isRunning, type Now, newRecord, type PodMemory, type PodRecord } from './pod-record.ts'
import { startProbes } from './probe-schedule.ts'
import { restoreSilenced } from './silence.ts'
import { allContainers } from './stop.ts'

export interface Truth {
  readonly sandboxes: readonly SandboxInfo[]
  readonly containers: readonly ContainerInfo[]
}

/** Records of all pods the runtime, the memory or the disk know, whether desired or not. `folders`: uids that have folders on disk. */
export const adoptRecords = (
  truth: Truth,
  memories: ReadonlyMap<string, PodMemory>,
  folders: readonly string[],
): Map<string, PodRecord> => {
  const records = new Map<string, PodRecord>()
  const recordOf = (uid: string, namespace = '', name = ''): PodRecord => {
    const found = records.get(uid)
    if (found) return found
    const made = newRecord(uid, namespace, name)
    made.dirty = true
    records.set(uid, made)
    return made
  }
  for (const [uid, memory] of memories) {
    const record = recordOf(uid, memory.namespace, memory.name)
    record.address = memory.address
    record.status = memory.status
    restoreEnd(record)
  }
  for (const { uid, netns } of truth.sandboxes) {
    const record = recordOf(uid)
    record.sandbox = 'present'
    record.netns = netns
  }
  for (const info of truth.containers) {
    const state = containerRecord(recordOf(info.podUid), info.name, info.init)
    state.attempts = Math.max(state.attempts, info.attempt + 1)
    // Created and never started: the agent died in between. It is cleared away like an old attempt.
    if (info.state === 'created') state.stale.push(info)
    else if (state.current === undefined || state.current.attempt < info.attempt) {
      if (state.current) state.stale.push(state.current)
      state.current = info
    } else state.stale.push(info)
  }
  for (const uid of folders) recordOf(uid)
  return records
}

const restoreEnd = (record: PodRecord): void => {
  const { status } = record
  const started = status?.startTime === undefined ? Number.NaN : parseTimestamp(status.startTime)
  record.startedWallMs = Number.isNaN(started) ? undefined : started
  if (status?.phase !== 'Succeeded' && status?.phase !== 'Failed') return
  record.terminal = {
    phase: status.phase,
    ...(status.reason === undefined ? {} : { reason: status.reason }),
    ...(status.message === undefined ? {} : { message: status.message }),
  }
}

const adoptContainer = (
  record: PodRecord,
  container: Container,
  init: boolean,
  before: ContainerStatus | undefined,
  failures: number,
  device: Device,
  now: Now,
): void => {
  const state = containerRecord(record, container.name, init)
  if (before) restoreContainer(state, before, failures)
  const { current } = state
  if (!current) {
    // It ran when the agent was last here and there is no trace of it now: the device was off.
    if (before?.state?.running) {
      state.ended = lostEnd(before, now)
      state.stop = undefined
    }
    return
  }
  state.sandboxed = record.sandbox === 'present'
  const sameAsBefore = before?.containerID === containerID(device.runtimeName, current.id)
  if (current.state !== 'exited') {
    state.last = sameAsBefore ? state.last : (state.ended ?? state.last)
    state.ended = undefined
    const wasReady = sameAsBefore && before?.ready === true
    state.started = sameAsBefore && before?.started === true
    state.ready = wasReady
    state.runningSinceAtMs = now.monoMs - Math.max(0, now.wallMs - (current.startedAtMs ?? now.wallMs))
    startProbes(container, state, state.runningSinceAtMs, state.started)
    return
  }
  if (sameAsBefore && state.ended?.containerID === before?.containerID && before?.state?.terminated) return
  const known = state.ended
  takeExit(record, state, current, terminatedOf(current, device.runtimeName, now.wallMs, undefined), now, true)
  state.last = known && known.containerID !== state.ended?.containerID ? known : state.last
}

const lostEnd = (before: ContainerStatus, now: Now) => ({
  exitCode: 137,
  reason: 'ContainerStatusUnknown',
  message: 'The container could not be located when the agent looked: the device was off or its runtime was cleaned',
  startedAt: before.state?.running?.startedAt ?? '1970-01-01T00:00:00Z',
  finishedAt: `${new Date(now.wallMs).toISOString().slice(0, 19)}Z`,
  ...(before.containerID === undefined ? {} : { containerID: before.containerID }),
})

/** Once per run and desired pod: its containers' history, from the runtime first and the remembered status second. */
export const adoptPod = (record: PodRecord, memory: PodMemory | undefined, device: Device, now: Now): void => {
  const inits = new Set((record.pod?.spec.initContainers ?? []).map(c => c.name))
  const before = [...(memory?.status.containerStatuses ?? []), ...(memory?.status.initContainerStatuses ?? [])]
  for (const container of allContainers(record.pod)) {
    const status = before.find(s => s.name === container.name)
    adoptContainer(record, container, inits.has(container.name), status, memory?.failures[container.name] ?? 0, device, now)
    restoreSilenced(containerRecord(record, container.name, inits.has(container.name)), status?.state?.waiting?.reason)
  }
  for (const state of record.containers.values()) if (isRunning(state)) record.startedWallMs ??= state.current?.startedAtMs
}
