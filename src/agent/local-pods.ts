// The pods that somebody on the device names: found, or refused in words that say what there is.

import { ApiError } from '../base/errors.ts'
import { containerLogPath } from './device.ts'
import type { Exits } from './exits.ts'
import type { LogTarget } from './logs.ts'
import type { DeviceState } from './machine.ts'
import { isRunning, type PodRecord } from './pod-record.ts'

export interface AskedPod {
  readonly namespace: string
  readonly pod: string
  readonly uid?: string
}

/** The pod of this name; of two, the one that shall run. Throws NotFound. */
export const findPod = (state: Pick<DeviceState, 'pods'>, asked: AskedPod): PodRecord => {
  const found = [...state.pods.values()].filter(
    record => record.namespace === asked.namespace && record.name === asked.pod && (asked.uid === undefined || record.uid === asked.uid),
  )
  const record = found.find(each => each.desired) ?? found[0]
  if (record) return record
  const elsewhere = [...state.pods.values()].find(each => each.name === asked.pod)
  throw new ApiError('NotFound', `pods "${asked.pod}" not found on this device in namespace ${asked.namespace}`, {
    hint: elsewhere ? `there is one in another namespace: -n ${elsewhere.namespace}` : 'helio device pods lists them',
  })
}

/** Names of a pod's containers, the main ones first. */
export const containerNames = (record: PodRecord): string[] =>
  [...(record.pod?.spec.containers ?? []), ...(record.pod?.spec.initContainers ?? [])].map(c => c.name)

/** The container asked for; '' is the only one. Throws BadRequest. */
export const containerOf = (record: PodRecord, asked: string): string => {
  const names = containerNames(record)
  const main = record.pod?.spec.containers ?? []
  if (asked === '' && main.length > 1)
    throw new ApiError('BadRequest', `a container name must be specified for pod ${record.name}, choose one of: [${names.join(' ')}]`)
  const container = asked || (main[0]?.name ?? '')
  if (!names.includes(container) && !record.containers.has(container))
    throw new ApiError('BadRequest', `container ${container} is not valid for pod ${record.name}`, {
      hint: `it has: ${names.join(', ')}`,
    })
  return container
}

/** Where the logs of a container lie, and whether they still grow. */
export const logTargetOf = (
  state: DeviceState,
  asked: AskedPod & { readonly container: string },
  exits: Pick<Exits, 'onExit'>,
): LogTarget => {
  const record = findPod(state, asked)
  const container = containerOf(record, asked.container)
  const found = record.containers.get(container)
  const statuses = [...(record.status?.containerStatuses ?? []), ...(record.status?.initContainerStatuses ?? [])]
  const attempts = found?.attempts ?? 0
  const path = containerLogPath(state.device, record, container, 0)
  return {
    podName: asked.pod,
    container,
    dir: path.slice(0, path.lastIndexOf('/')),
    attempt: attempts > 0 ? attempts - 1 : undefined,
    waiting: statuses.find(s => s.name === container)?.state?.waiting?.reason,
    isRunning: () => found !== undefined && found.attempts === attempts && isRunning(found),
    onExit: exits.onExit,
  }
}
