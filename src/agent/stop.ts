// Stopping one container: how long it gets, which hook runs first, and where handlers inside it are reached. Pure.
// Source: k8s pod termination, Container lifecycle hooks.

import type { Container, Pod } from '../kinds/pod.ts'
import type { Action, HandlerTarget } from './action.ts'
import { type Device, usesHostNetwork } from './device.ts'
import { GRACE_SECONDS_DEFAULT } from './limits.ts'
import type { ContainerRecord, Now, PodRecord } from './pod-record.ts'

/** What a pod's containers get between SIGTERM and SIGKILL. */
export const graceMs = (pod: Pod | undefined): number =>
  (pod?.metadata.deletionGracePeriodSeconds ?? pod?.spec.terminationGracePeriodSeconds ?? GRACE_SECONDS_DEFAULT) * 1000

/** All containers of a pod, init containers first. */
export const allContainers = (pod: Pod | undefined): readonly Container[] =>
  pod ? [...(pod.spec.initContainers ?? []), ...pod.spec.containers] : []

const portsOf = (container: Container | undefined): Record<string, number> =>
  Object.fromEntries((container?.ports ?? []).flatMap(port => (port.name ? [[port.name, port.containerPort]] : [])))

/** Where handlers of a container go; `id` names it in the runtime. */
export const targetOf = (record: PodRecord, name: string, id: string, device: Device): HandlerTarget => {
  const host = record.pod && usesHostNetwork(record.pod, device) ? device.hostIPs[0] : record.address
  return { id, host: host ?? '127.0.0.1', ports: portsOf(allContainers(record.pod).find(c => c.name === name)) }
}

/** Stops one container; undefined while it is being stopped with no more grace than this already. */
export const stopAction = (
  record: PodRecord,
  state: ContainerRecord,
  device: Device,
  options: { readonly graceMs: number; readonly restart: boolean; readonly why: string },
  now: Now,
): Action | undefined => {
  const id = state.current?.id
  if (id === undefined || (state.stop && state.stop.deadlineAtMs <= now.monoMs + options.graceMs)) return undefined
  const handler = allContainers(record.pod).find(c => c.name === state.name)?.lifecycle?.preStop
  const withHook = handler !== undefined && options.graceMs > 0 && !state.stop
  return {
    do: 'stopContainer',
    uid: record.uid,
    name: state.name,
    id,
    ...options,
    ...(withHook ? { preStop: { handler, target: targetOf(record, state.name, id, device) } } : {}),
  }
}
