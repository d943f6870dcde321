// What the device tells whoever asks it directly: the local API's answers and the logs, for the socket and for the link's streams alike.

import { type Clock, timestamp } from '../base/clock.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { DeviceStatus } from '../kinds/device-shapes.ts'
import type { LinkStream, LogOptions, StreamRequest } from '../link/link.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Contact } from './contact.ts'
import { containerLogPath } from './device.ts'
import type { Exits } from './exits.ts'
import type { ImageStore } from './images/images.ts'
import { WARNINGS_MAX } from './limits.ts'
import { openLocalApi } from './local-api.ts'
import { devicePods } from './local-view.ts'
import { createLogReader, type LogTarget } from './logs.ts'
import type { DeviceState } from './machine.ts'
import type { AgentMemory } from './memory.ts'
import { isRunning, type PodRecord } from './pod-record.ts'

export interface LocalSideDeps {
  readonly dir: string
  readonly nodeName: string
  readonly version: string
  readonly pid: number
  readonly clock: Clock
  readonly log: Log
  readonly runtime: Pick<Runtime, 'name' | 'version'>
  readonly images: Pick<ImageStore, 'list'>
  readonly state: DeviceState
  readonly memory: AgentMemory
  readonly exits: Pick<Exits, 'onExit'>
  readonly startedWallMs: number
  readonly contact: () => Contact | undefined
  readonly imagesChanged: () => void
}

export interface LocalSide {
  readonly onStream: (request: StreamRequest, stream: LinkStream) => void
  /** Ends all streams. */
  close(): Promise<void>
}

interface Asked {
  readonly namespace: string
  readonly pod: string
  readonly uid?: string
  readonly container: string
}

const findPod = (state: DeviceState, asked: Asked): PodRecord => {
  for (const record of state.pods.values())
    if (record.namespace === asked.namespace && record.name === asked.pod && (asked.uid === undefined || record.uid === asked.uid))
      return record
  throw new ApiError('NotFound', `pods "${asked.pod}" not found on this device`, { hint: 'see helio device pods' })
}

const targetOf = (state: DeviceState, asked: Asked, exits: Pick<Exits, 'onExit'>): LogTarget => {
  const record = findPod(state, asked)
  const names = [...(record.pod?.spec.containers ?? []), ...(record.pod?.spec.initContainers ?? [])].map(c => c.name)
  const main = record.pod?.spec.containers ?? []
  if (asked.container === '' && main.length > 1)
    throw new ApiError('BadRequest', `a container name must be specified for pod ${asked.pod}, choose one of: [${names.join(' ')}]`)
  const container = asked.container || (main[0]?.name ?? '')
  const found = record.containers.get(container)
  if (!names.includes(container) && !found) throw new ApiError('BadRequest', `container ${container} is not valid for pod ${asked.pod}`)
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

const statusOf = (deps: LocalSideDeps): DeviceStatus => {
  const { memory, state, clock } = deps
  const contact = deps.contact()
  const { link } = contact ?? {}
  const pods = devicePods(state)
  const head = memory.held?.head
  return {
    nodeName: deps.nodeName,
    version: deps.version,
    pid: deps.pid,
    startedAt: timestamp(deps.startedWallMs),
    server: {
      url: memory.identity?.server ?? '',
      joined: memory.identity !== undefined,
      connected: link?.connected ?? false,
      lastContactSeconds: link?.lastContactMs === undefined ? null : Math.max(0, Math.round((clock.mono() - link.lastContactMs) / 1000)),
      lastError: contact?.lastError ?? null,
      conflict: link?.conflict ?? null,
    },
    head: head ? { epoch: head.epoch, generation: head.generation, sha256: head.sha256 } : null,
    runtime: { name: deps.runtime.name, version: deps.runtime.version },
    podCIDR: state.around?.podCIDR ?? '',
    pods: {
      total: pods.length,
      ready: pods.filter(pod => pod.status.conditions?.some(c => c.type === 'Ready' && c.status === 'True')).length,
    },
    warnings: [...memory.warnings, ...(state.network.error === undefined ? [] : [`network: ${state.network.error}`])].slice(-WARNINGS_MAX),
  }
}

/** Opens the socket (a device without one still runs its pods) and answers the link's streams. */
export const openLocalSide = async (deps: LocalSideDeps): Promise<LocalSide> => {
  const { state, log } = deps
  const reader = createLogReader(() => deps.clock.now())
  const streams = new Set<AbortController>()
  const logs = (asked: Asked, options: LogOptions, write: (bytes: Uint8Array) => Promise<void>, signal: AbortSignal): Promise<void> =>
    reader.read(targetOf(state, asked, deps.exits), options, write, signal)
  const images = () => deps.images.list().map(({ id, names, sizeBytes, importedAt }) => ({ id, names, sizeBytes, importedAt }))
  const api = await openLocalApi({
    path: `${deps.dir}/agent.sock`,
    log,
    status: () => statusOf(deps),
    pods: () => devicePods(state),
    images,
    refreshImages: deps.imagesChanged,
    sync: () => deps.contact()?.link?.sync(),
    resume: () => deps.contact()?.link?.resume(),
    logs: async (asked, write, signal) => logs(asked, asked.options, write, signal),
  }).catch((error: unknown) => {
    log.error('local API is not available', {
      error: messageOf(error),
      hint: 'a socket path may have 107 characters: choose a shorter --data-dir',
    })
    return undefined
  })
  return {
    onStream(request, stream) {
      const gone = new AbortController()
      streams.add(gone)
      stream.onEnd = () => gone.abort()
      const ended = (error?: string): void => {
        streams.delete(gone)
        if (!gone.signal.aborted) stream.end(error)
      }
      Promise.resolve()
        .then(() => {
          if (request.do !== 'logs') throw new ApiError('BadRequest', `open stream: this device does not know ${request.do}`)
          return logs(request, request.options, bytes => stream.write(bytes), gone.signal)
        })
        .then(
          () => ended(),
          (error: unknown) => ended(messageOf(error)),
        )
    },
    async close() {
      for (const stream of streams) stream.abort()
      await api?.close()
    },
  }
}
