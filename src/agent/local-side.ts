// What the device tells whoever asks it directly: the local API on its socket, and the streams of the link.

import type { FlooredClock } from '../base/clock-floor.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Exec } from '../base/exec.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { LinkStream, LogOptions, StreamRequest } from '../link/link.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Contact } from './contact.ts'
import { diagnose } from './doctor.ts'
import { type DoctorDeps, doctorFacts, type Told } from './doctor-facts.ts'
import type { Exits } from './exits.ts'
import type { ImageStore } from './images/images.ts'
import { type LocalApi, type LocalApiDeps, openLocalApi } from './local-api.ts'
import { createHoldsDesk } from './local-holds.ts'
import { linkView, switchLink } from './local-link.ts'
import { logTargetOf } from './local-pods.ts'
import { type LocalLogs, localRoutes } from './local-routes.ts'
import { deviceStatus } from './local-status.ts'
import { syncNow } from './local-sync.ts'
import { takeTelemetry } from './local-telemetry.ts'
import { devicePods } from './local-view.ts'
import { createLogReader } from './logs.ts'
import type { DeviceState, Input } from './machine.ts'
import type { AgentMemory } from './memory.ts'
import { openPeerDesk, type SocketGroups } from './peer.ts'
import { createStreams } from './streams.ts'

export interface LocalSideDeps extends Pick<DoctorDeps, 'exec' | 'hostFacts' | 'pki'> {
  readonly dir: string
  readonly nodeName: string
  readonly version: string
  readonly pid: number
  readonly clock: FlooredClock
  readonly random: Random
  readonly log: Log
  readonly runtime: Pick<Runtime, 'name' | 'version' | 'exec' | 'losses' | 'isolatesNetwork'>
  readonly exec: Exec
  readonly images: Pick<ImageStore, 'list'>
  readonly state: DeviceState
  readonly memory: AgentMemory
  readonly exits: Pick<Exits, 'onExit'>
  readonly startedWallMs: number
  /** Who besides the agent's own user may use the socket; nobody when left out. */
  readonly socketGroups?: SocketGroups
  readonly contact: () => Contact | undefined
  /** The ways to the server, in their order: `ws`, `mqtt`. */
  readonly linkWays?: readonly string[]
  readonly imagesChanged: () => void
  readonly send: (input: Input) => void
}

export interface LocalSide {
  readonly onStream: (request: StreamRequest, stream: LinkStream) => void
  /** Ends all streams. */
  close(): Promise<void>
}

type ReadLogs = (
  asked: Omit<LocalLogs, 'options'>,
  options: LogOptions,
  write: (bytes: Uint8Array) => Promise<void>,
  signal: AbortSignal,
) => Promise<void>

/** A device without a socket still runs its pods. */
const openSocket = async (deps: LocalSideDeps, readLogs: ReadLogs, openExec: LocalApiDeps['openExec']): Promise<LocalApi | undefined> => {
  const { state, log, dir, contact } = deps
  const holds = createHoldsDesk({ ...deps, random: deps.random.fork('holds') })
  const status = () => deviceStatus({ ...deps, holds })
  const pods = () => devicePods(state)
  const link = () => linkView(deps)
  const routes = localRoutes({
    status,
    pods,
    images: () => deps.images.list().map(({ id, names, sizeBytes, importedAt }) => ({ id, names, sizeBytes, importedAt })),
    refreshImages: deps.imagesChanged,
    holds,
    link,
    findings: async signal => {
      const logs: Told['logs'] = (asked, options, write) => readLogs(asked, options, write, signal)
      return diagnose(await doctorFacts(deps, { status: status(), pods: pods(), link: link(), logs }))
    },
    switchLink: body => switchLink(deps, body),
    telemetry: body => takeTelemetry(deps, body),
    sync: signal => syncNow(deps, signal),
    acceptServer: () => contact()?.link?.resume(),
    logs: (asked, write, signal) => readLogs(asked, asked.options, write, signal),
  })
  try {
    const peers = openPeerDesk({ ...deps, random: deps.random.fork('peer'), groups: deps.socketGroups ?? {} })
    return await openLocalApi({ path: `${dir}/agent.sock`, log, peers, routes, openExec })
  } catch (error) {
    const tooLong = 'a socket path may have 107 characters: choose a shorter --data-dir'
    const hint = error instanceof ApiError && error.hint !== undefined ? error.hint : tooLong
    log.error('local API is not available', { error: messageOf(error), hint })
    return undefined
  }
}

/** Opens the socket and answers the link's streams. */
export const openLocalSide = async (deps: LocalSideDeps): Promise<LocalSide> => {
  const reader = createLogReader(() => deps.clock.now())
  const streams = createStreams({ ...deps, reader })
  const readLogs: ReadLogs = async (asked, options, write, signal) =>
    reader.read(logTargetOf(deps.state, asked, deps.exits), options, write, signal)
  const api = await openSocket(deps, readLogs, streams.openExec)
  return {
    onStream: streams.onStream,
    async close() {
      streams.close()
      await api?.close()
    },
  }
}
