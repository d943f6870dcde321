// GET /v1/status: the device in one answer, from memory.

import { timestamp } from '../base/clock.ts'
import type { FlooredClock } from '../base/clock-floor.ts'
import type { DeviceStatus } from '../kinds/device-shapes.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Contact } from './contact.ts'
import { WARNINGS_MAX } from './limits.ts'
import type { HoldsDesk } from './local-holds.ts'
import { devicePods } from './local-view.ts'
import type { DeviceState } from './machine.ts'
import type { AgentMemory } from './memory.ts'

export interface StatusDeps {
  readonly nodeName: string
  readonly version: string
  readonly pid: number
  readonly clock: Pick<FlooredClock, 'now' | 'mono' | 'complaint'>
  readonly runtime: Pick<Runtime, 'name' | 'version'>
  readonly state: DeviceState
  readonly memory: Pick<AgentMemory, 'held' | 'identity' | 'warnings'>
  readonly startedWallMs: number
  readonly contact: () => Contact | undefined
  readonly holds: Pick<HoldsDesk, 'list'>
}

const serverOf = ({ memory, clock, contact: found }: StatusDeps): DeviceStatus['server'] => {
  const contact = found()
  const { link } = contact ?? {}
  return {
    url: memory.identity?.server ?? '',
    joined: memory.identity !== undefined,
    connected: link?.connected ?? false,
    lastContactSeconds: link?.lastContactMs === undefined ? null : Math.max(0, Math.round((clock.mono() - link.lastContactMs) / 1000)),
    lastError: contact?.lastError ?? null,
    conflict: link?.conflict ?? null,
  }
}

export const deviceStatus = (deps: StatusDeps): DeviceStatus => {
  const { memory, state, clock } = deps
  const pods = devicePods(state)
  const head = memory.held?.head
  const complaint = clock.complaint()
  const network = state.network.error
  return {
    nodeName: deps.nodeName,
    version: deps.version,
    pid: deps.pid,
    startedAt: timestamp(deps.startedWallMs),
    server: serverOf(deps),
    head: head ? { epoch: head.epoch, generation: head.generation, sha256: head.sha256 } : null,
    runtime: { name: deps.runtime.name, version: deps.runtime.version },
    podCIDR: state.around?.podCIDR ?? '',
    pods: {
      total: pods.length,
      ready: pods.filter(pod => pod.status.conditions?.some(c => c.type === 'Ready' && c.status === 'True')).length,
    },
    holds: deps.holds.list(),
    clock: { now: timestamp(clock.now()), complaint: complaint ?? null },
    profile: deps.contact()?.uplink.uplink.profile ?? '',
    warnings: [...memory.warnings, ...(network === undefined ? [] : [`network: ${network}`])].slice(-WARNINGS_MAX),
  }
}
