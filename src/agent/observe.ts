// Takes what happened into a pod's record: steps that ended, containers that exited, what was found at start. Pure but for the record,
// which the machine owns. Every function returns the notes worth telling as events.

import { backoffMs } from '../base/backoff.ts'
import { timestamp } from '../base/clock.ts'
import type { Container, ContainerStatus } from '../kinds/pod.ts'
import type { ContainerInfo } from '../runtime/runtime.ts'
import type { Action, ActionResult } from './action.ts'
import { retryKeyOf, slotOf } from './action.ts'
import { isSidecar } from './device.ts'
import { MESSAGE_CHARS_MAX, SETUP_BACKOFF } from './limits.ts'
import { type ContainerRecord, containerID, isRunning, type Now, newContainer, type PodRecord, type Terminated } from './pod-record.ts'
import { probeOf, startProbes, takeAnswer } from './probe-schedule.ts'
import { failuresBefore, restartDelayMs } from './restart-policy.ts'
import { allContainers } from './stop.ts'

export interface Note {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly note: string
  readonly container?: string
}

const cut = (text: string): string => (text.length > MESSAGE_CHARS_MAX ? `${text.slice(0, MESSAGE_CHARS_MAX - 1)}…` : text)

export const containerRecord = (record: PodRecord, name: string, init: boolean): ContainerRecord => {
  const found = record.containers.get(name)
  if (found) return found
  const made = newContainer(name, init)
  record.containers.set(name, made)
  return made
}

/** metav1 terminated state of an exit. An exit nobody saw is 137, ContainerStatusUnknown: never a success. */
export const terminatedOf = (info: ContainerInfo, runtimeName: string, nowWallMs: number, message: string | undefined): Terminated => {
  const exit = info.exit ?? { exitCode: 137, oomKilled: false, finishedAtMs: nowWallMs, unknown: true }
  const startedAtMs = info.startedAtMs ?? exit.finishedAtMs
  const reason = exit.unknown ? 'ContainerStatusUnknown' : exit.oomKilled ? 'OOMKilled' : exit.exitCode === 0 ? 'Completed' : 'Error'
  const text = exit.unknown && !message ? 'The container could not be located when the agent looked' : message
  return {
    exitCode: exit.unknown ? 137 : exit.exitCode,
    reason,
    ...(text ? { message: text } : {}),
    startedAt: timestamp(startedAtMs),
    finishedAt: timestamp(Math.max(exit.finishedAtMs, startedAtMs)),
    containerID: containerID(runtimeName, info.id),
  }
}

/** The current attempt has ended; `atOnce` = it is due now (it died while no agent watched). */
export const takeExit = (
  record: PodRecord,
  state: ContainerRecord,
  info: ContainerInfo,
  ended: Terminated,
  now: Now,
  atOnce = false,
): void => {
  const ranMs =
    info.exit && info.startedAtMs !== undefined ? info.exit.finishedAtMs - info.startedAtMs : now.monoMs - state.runningSinceAtMs
  state.current = { ...info, state: 'exited' }
  state.ended = ended
  state.ready = false
  state.started = false
  state.probes = {}
  state.rerun = false
  state.asked = undefined
  // A new image is no failure: the slate is clean.
  const failures = state.stop?.restart ? 0 : failuresBefore(state.failures, ranMs)
  state.backoffMs = atOnce ? 0 : restartDelayMs(failures)
  state.notBeforeAtMs = now.monoMs + state.backoffMs
  // A power cut is no failure of the container: many of them must not make its next start wait.
  const counted = atOnce ? failures : failures + 1
  state.failures = state.stop?.restart ? 0 : counted
  record.told.delete(`waiting/${state.name}`)
}

export const exited = (
  record: PodRecord,
  info: ContainerInfo,
  runtimeName: string,
  now: Now,
  message: string | undefined,
): readonly Note[] => {
  const state = record.containers.get(info.name)
  if (!state || info.attempt > (state.current?.attempt ?? -1)) {
    // It ended before its start was reported: kept until then.
    record.early.set(info.id, { info, message })
    return []
  }
  state.stale = state.stale.map(old => (old.id === info.id ? { ...info, state: 'exited' } : old))
  if (state.current?.id !== info.id || state.ended) return []
  const ended = terminatedOf(info, runtimeName, now.wallMs, message)
  takeExit(record, state, info, ended, now)
  return ended.reason === 'OOMKilled'
    ? [{ type: 'Warning', reason: 'OOMKilling', note: `Container ${info.name} ran out of memory and was killed`, container: info.name }]
    : []
}

const started = (
  record: PodRecord,
  action: Extract<Action, { do: 'startContainer' }>,
  info: ContainerInfo,
  runtimeName: string,
  now: Now,
): Note[] => {
  const { spec } = action.start
  const state = containerRecord(record, action.name, spec.init)
  if (state.current) state.stale.push(state.current)
  state.last = state.ended ?? state.last
  state.ended = undefined
  state.current = { ...info, state: 'running' }
  state.attempts = spec.attempt + 1
  state.stop = undefined
  state.rerun = false
  state.sandboxed = true
  state.runningSinceAtMs = now.monoMs
  const container = allContainers(record.pod).find(c => c.name === action.name)
  if (container) startProbes(container, state, now.monoMs, false)
  else state.started = true
  const early = record.early.get(info.id)
  record.early.delete(info.id)
  const notes: Note[] = [{ type: 'Normal', reason: 'Started', note: `Started container ${action.name}`, container: action.name }]
  if (early) notes.push(...exited(record, early.info, runtimeName, now, early.message))
  else if (info.state === 'exited') notes.push(...exited(record, info, runtimeName, now, undefined))
  return notes
}

/** A start that failed is an attempt that ended with 128. Source: containerd's StartError. */
const notStarted = (record: PodRecord, action: Extract<Action, { do: 'startContainer' }>, message: string, now: Now): Note[] => {
  const state = containerRecord(record, action.name, action.start.spec.init)
  record.early.clear()
  if (state.current) state.stale.push(state.current)
  state.current = undefined
  state.last = state.ended ?? state.last
  const at = timestamp(now.wallMs)
  state.ended = { exitCode: 128, reason: 'StartError', message: cut(message), startedAt: '1970-01-01T00:00:00Z', finishedAt: at }
  state.attempts = action.start.spec.attempt + 1
  state.stop = undefined
  state.rerun = false
  state.backoffMs = restartDelayMs(state.failures)
  state.notBeforeAtMs = now.monoMs + state.backoffMs
  state.failures += 1
  return [{ type: 'Warning', reason: 'Failed', note: cut(`Error: ${message}`), container: action.name }]
}

const sandboxMade = (record: PodRecord, netns: string | undefined): void => {
  record.sandbox = 'present'
  record.netns = netns
  record.attached = false
  const sidecars = new Set(allContainers(record.pod).flatMap((c: Container) => (isSidecar(c) ? [c.name] : [])))
  for (const state of record.containers.values()) {
    state.sandboxed = false
    if (state.init && state.ended && !sidecars.has(state.name)) state.rerun = true
  }
}

const sandboxRemoved = (record: PodRecord): void => {
  record.sandbox = 'absent'
  record.netns = undefined
  record.attached = false
  for (const state of record.containers.values()) {
    state.current = undefined
    state.stale = []
    state.sandboxed = false
  }
}

const answered = (record: PodRecord, action: Extract<Action, { do: 'probe' }>, result: ActionResult, now: Now): Note[] => {
  const state = record.containers.get(action.name)
  const container = allContainers(record.pod).find(c => c.name === action.name)
  if (!state || !container || state.current?.id !== action.target.id || !isRunning(state)) return []
  const answer = result.answer ?? { ok: false, message: '' }
  takeAnswer(container, state, action.kind, answer, now.monoMs)
  const probe = state.probes[action.kind]
  const isNews = probe?.failures === 1 || probe?.failures === (probeOf(container, action.kind)?.failureThreshold || 3)
  if (answer.ok || !isNews) return []
  const what = `${action.kind[0]?.toUpperCase()}${action.kind.slice(1)}`
  return [{ type: 'Warning', reason: 'Unhealthy', note: cut(`${what} probe failed: ${answer.message}`), container: action.name }]
}

/** A step ended well. */
export const done = (record: PodRecord, action: Action, result: ActionResult, runtimeName: string, now: Now): readonly Note[] => {
  record.busy.delete(slotOf(action))
  record.retry.delete(retryKeyOf(action))
  switch (action.do) {
    case 'writeVolumes':
      record.volumesRevision = action.layout.revision
      return []
    case 'createSandbox':
      sandboxMade(record, result.netns)
      return []
    case 'attach':
      record.attached = true
      return []
    case 'startContainer':
      return result.container ? started(record, action, result.container, runtimeName, now) : []
    case 'stopContainer':
      return stopped(record, action, runtimeName, now)
    case 'removeContainer': {
      const state = record.containers.get(action.name)
      if (state) state.stale = state.stale.filter(old => old.id !== action.id)
      return []
    }
    case 'removeSandbox':
      sandboxRemoved(record)
      return []
    case 'removeVolumes':
      record.dirty = false
      record.volumesRevision = undefined
      return []
    case 'probe':
      return answered(record, action, result, now)
    case 'configureNetwork':
      return []
  }
}

/** The runtime says it has exited; if nobody told how, that stays unknown. */
const stopped = (record: PodRecord, action: Extract<Action, { do: 'stopContainer' }>, runtimeName: string, now: Now): readonly Note[] => {
  const state = record.containers.get(action.name)
  const old = state?.stale.find(s => s.id === action.id)
  if (old) return exited(record, { ...old, state: 'exited' }, runtimeName, now, undefined)
  return state?.current?.id === action.id && !state.ended ? exited(record, state.current, runtimeName, now, undefined) : []
}

/** A step failed: it is tried again after its backoff, except a start, which counts as an attempt. */
export const failed = (record: PodRecord, action: Action, message: string, now: Now): readonly Note[] => {
  record.busy.delete(slotOf(action))
  if (action.do === 'startContainer') return notStarted(record, action, message, now)
  if (action.do === 'probe') return answered(record, action, { answer: { ok: false, message } }, now)
  const failures = (record.retry.get(retryKeyOf(action))?.failures ?? 0) + 1
  record.retry.set(retryKeyOf(action), {
    failures,
    notBeforeAtMs: now.monoMs + backoffMs(SETUP_BACKOFF, failures - 1),
    message: cut(message),
  })
  if (action.do === 'stopContainer') {
    const state = record.containers.get(action.name)
    if (state?.current?.id === action.id) state.stop = undefined
  }
  const reasons: Partial<Record<Action['do'], string>> = {
    writeVolumes: 'FailedMount',
    createSandbox: 'FailedCreatePodSandBox',
    attach: 'FailedCreatePodSandBox',
    stopContainer: 'FailedKillPod',
    removeSandbox: 'FailedKillPod',
    removeVolumes: 'FailedKillPod',
  }
  return [{ type: 'Warning', reason: reasons[action.do] ?? 'Failed', note: cut(message) }]
}

/** Restores what a container's last status says, where the runtime knows nothing of it any more. */
export const restoreContainer = (state: ContainerRecord, status: ContainerStatus, failures: number): void => {
  state.attempts = Math.max(state.attempts, hasRun(status) ? status.restartCount + 1 : 0)
  state.failures = failures
  state.last = status.lastState?.terminated ?? state.last
  state.ended = status.state?.terminated ?? (status.state?.waiting ? status.lastState?.terminated : undefined)
}

export const hasRun = (status: ContainerStatus): boolean =>
  status.restartCount > 0 ||
  status.state?.running !== undefined ||
  status.state?.terminated !== undefined ||
  status.containerID !== undefined
