// The device's own picture of itself, for the local API: made from the machine's state when asked.

import type { DeviceContainer, DevicePod } from '../kinds/device-shapes.ts'
import type { ContainerStatus, PodStatus } from '../kinds/pod.ts'
import { isSidecar } from './device.ts'
import type { DeviceState } from './machine.ts'
import { isRunning, type PodRecord } from './pod-record.ts'

const troubleOf = (status: ContainerStatus): string | undefined => {
  if (status.state?.waiting?.reason) return status.state.waiting.reason
  const { terminated } = status.state ?? {}
  return terminated ? (terminated.reason ?? `ExitCode:${terminated.exitCode}`) : undefined
}

/** Names of init containers that stay beside the others. */
const sidecarsOf = ({ pod }: PodRecord): ReadonlySet<string> =>
  new Set((pod?.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name))

/** kubectl's STATUS column. Source: k8s printers printPod. */
const summaryOf = (record: PodRecord, status: PodStatus): string => {
  const sidecars = sidecarsOf(record)
  if (!record.desired || record.pod?.metadata.deletionTimestamp !== undefined) return 'Terminating'
  const init = status.initContainerStatuses ?? []
  const waiting = init.findIndex(s => !(s.state?.terminated?.exitCode === 0 || (s.started === true && sidecars.has(s.name))))
  if (waiting >= 0 && status.phase === 'Pending') {
    const trouble = troubleOf(init[waiting] as ContainerStatus)
    return trouble && trouble !== 'PodInitializing' ? `Init:${trouble}` : `Init:${waiting}/${init.length}`
  }
  const troubles = (status.containerStatuses ?? []).flatMap(s => troubleOf(s) ?? [])
  if (status.reason) return status.reason
  return troubles[troubles.length - 1] ?? status.phase ?? 'Unknown'
}

const containersOf = (record: PodRecord, statuses: readonly ContainerStatus[]): DeviceContainer[] =>
  [...record.containers.values()].map(container => {
    const shown = statuses.find(s => s.name === container.name)?.state
    const running = isRunning(container)
    return {
      name: container.name,
      id: container.current?.id ?? '',
      state: running ? 'running' : shown?.terminated ? 'terminated' : 'waiting',
      pid: running ? (container.current?.pid ?? null) : null,
      logPath: container.current?.logPath ?? null,
    }
  })

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Sorted by namespace and name. */
export const devicePods = (state: DeviceState): DevicePod[] =>
  [...state.pods.values()]
    .map((record): DevicePod => {
      const status: PodStatus = record.status ?? { phase: 'Unknown' }
      const main = status.containerStatuses ?? []
      const sidecars = sidecarsOf(record)
      const lasting = [...main, ...(status.initContainerStatuses ?? []).filter(s => sidecars.has(s.name))]
      return {
        namespace: record.namespace,
        name: record.name,
        uid: record.uid,
        desired: record.desired,
        deleting: !record.desired || record.pod?.metadata.deletionTimestamp !== undefined,
        summary: summaryOf(record, status),
        ready: { ready: lasting.filter(s => s.ready).length, total: lasting.length },
        restarts: lasting.reduce((sum, s) => sum + s.restartCount, 0),
        status,
        containers: containersOf(record, [...main, ...(status.initContainerStatuses ?? [])]),
      }
    })
    .sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name) || compare(a.uid, b.uid))
