// What to do next for one container of a pod that shall run: start, restart after its backoff, stop because its image changed or a probe
// says so, probe. Pure. Source: kubelet computePodActions.

import type { Container } from '../kinds/pod.ts'
import { startPlan } from './container-spec.ts'
import { podText } from './device.ts'
import { type At, wakeAt } from './draft.ts'
import { type ContainerRecord, isRunning } from './pod-record.ts'
import { dueProbes, fatalProbe, probeOf } from './probe-schedule.ts'
import { durationText, shouldRestart } from './restart-policy.ts'
import { graceMs, stopAction, targetOf } from './stop.ts'

/** `policy`: the restart policy that holds for this container. */
export const planContainer = (at: At, container: Container, init: boolean, policy: string): void => {
  const { pod, record, world, now, draft } = at
  const state = record.containers.get(container.name)
  if (state && isRunning(state)) {
    planRunning(at, container, state)
    return
  }
  if (state && isDone(state, policy)) {
    draft.waiting.delete(container.name)
    return
  }
  if (state && state.notBeforeAtMs > now.monoMs) {
    wakeAt(draft, state.notBeforeAtMs)
    const message = `back-off ${durationText(state.backoffMs)} restarting failed container=${container.name} pod=${podText(pod)}`
    draft.waiting.set(container.name, { reason: 'CrashLoopBackOff', message })
    return
  }
  const attempt = state?.attempts ?? 0
  const next = startPlan(pod, container, { init, attempt, address: record.address }, world.device, world.around)
  if ('waiting' in next) {
    draft.waiting.set(container.name, next.waiting)
    return
  }
  if (!at.ready) return
  const handler = container.lifecycle?.postStart
  draft.actions.push({
    do: 'startContainer',
    uid: record.uid,
    name: container.name,
    start: next,
    graceMs: graceMs(pod),
    ...(handler ? { postStart: { handler, target: targetOf(record, container.name, '', world.device) } } : {}),
  })
}

/** It has ended and will not run again in this sandbox. */
export const isDone = (state: ContainerRecord | undefined, policy: string): boolean =>
  state?.ended !== undefined && !state.rerun && state.stop?.restart !== true && !shouldRestart(policy, state.ended.exitCode)

const planRunning = (at: At, container: Container, state: ContainerRecord): void => {
  const { pod, record, world, now, draft } = at
  const fatal = fatalProbe(state)
  const restart = state.asked !== undefined || (container.image !== undefined && state.current?.image !== container.image)
  if ((!fatal && !restart) || state.stop) return
  const probeGrace = fatal && probeOf(container, fatal)?.terminationGracePeriodSeconds
  const grace = probeGrace === undefined ? graceMs(pod) : probeGrace * 1000
  const why = fatal
    ? `Container ${container.name} failed ${fatal} probe, will be restarted`
    : (state.asked ?? `Container ${container.name} definition changed`)
  const action = stopAction(record, state, world.device, { graceMs: grace, restart, why }, now)
  if (action) draft.actions.push(action)
}

export const planProbes = (at: At, container: Container): void => {
  const { record, world, now, draft } = at
  const state = record.containers.get(container.name)
  if (!state?.current || !isRunning(state) || state.stop) return
  const target = targetOf(record, container.name, state.current.id, world.device)
  const { due, nextAtMs } = dueProbes(state, now.monoMs)
  wakeAt(draft, nextAtMs)
  for (const kind of due) {
    const probe = probeOf(container, kind)
    if (probe) draft.actions.push({ do: 'probe', uid: record.uid, name: container.name, kind, probe, target })
  }
}

/** Older attempts, left by an agent that ended between two steps, or by the last restart. */
export const planStale = (at: At): void => {
  for (const state of at.record.containers.values()) {
    for (const old of state.stale) {
      if (old.state === 'exited') at.draft.actions.push({ do: 'removeContainer', uid: at.record.uid, name: state.name, id: old.id })
      else
        at.draft.actions.push({
          do: 'stopContainer',
          uid: at.record.uid,
          name: state.name,
          id: old.id,
          graceMs: 0,
          restart: false,
          why: '',
        })
    }
  }
}
