// Taking a pod down: stop what runs (sidecars after the others), then the sandbox, then the volumes. Pure. A pod that merely ended keeps
// its volumes until it is deleted. Source: k8s pod termination.

import { type Device, isSidecar } from './device.ts'
import type { Draft } from './draft.ts'
import { type ContainerRecord, isRunning, type Now, type PodRecord } from './pod-record.ts'
import { allContainers, graceMs, stopAction } from './stop.ts'

/** Stops what runs, sidecars after the others; true while something still runs. */
export const planStops = (
  record: PodRecord,
  device: Device,
  now: Now,
  draft: Draft,
  options: { readonly restart: boolean; readonly why: string },
): boolean => {
  const running = [...record.containers.values()].filter(isRunning)
  const sidecars = new Set(allContainers(record.pod).flatMap(c => (isSidecar(c) ? [c.name] : [])))
  const isLater = (state: ContainerRecord): boolean => state.init && sidecars.has(state.name)
  const first = running.filter(state => !isLater(state))
  for (const state of first.length > 0 ? first : running) {
    const action = stopAction(record, state, device, { graceMs: graceMs(record.pod), ...options }, now)
    if (action) draft.actions.push(action)
  }
  return running.length > 0
}

/** Fills the draft; `gone` when nothing of the pod is left. */
export const planTeardown = (record: PodRecord, device: Device, now: Now, draft: Draft): { readonly gone?: boolean } => {
  if (planStops(record, device, now, draft, { restart: false, why: '' })) return {}
  const left = [...record.containers.values()].some(c => c.current !== undefined || c.stale.length > 0)
  if (record.sandbox === 'present' || left) {
    draft.actions.push({ do: 'removeSandbox', uid: record.uid })
    return {}
  }
  if (record.desired && record.pod?.metadata.deletionTimestamp === undefined) return {}
  if (record.dirty) {
    draft.actions.push({ do: 'removeVolumes', uid: record.uid })
    return {}
  }
  return record.busy.size === 0 ? { gone: true } : {}
}
