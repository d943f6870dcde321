// Looks at the machine now and then and reports the node's status when it changed; a changed address goes to the machine as well.
// Nothing is watched and no look comes sooner than minutes unless something happened. DESIGN invariants 6 and 7.

import type { Cancel, Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { HostFacts } from '../base/host-facts.ts'
import { deepEqual, isObject } from '../base/json.ts'
import type { Log } from '../base/log.ts'
import type { NodeStatus } from '../kinds/node.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Device } from './device.ts'
import type { ImageStore } from './images/images.ts'
import { NODE_STATUS_EVERY_MS } from './limits.ts'
import type { DeviceState } from './machine.ts'
import type { AgentMemory } from './memory.ts'
import { nodeStatus, shortages } from './node-status.ts'

export interface NodeReportDeps {
  readonly clock: Pick<Clock, 'now' | 'after'>
  readonly log: Log
  readonly nodeName: string
  readonly version: string
  readonly runtime: Pick<Runtime, 'version'>
  readonly images: Pick<ImageStore, 'list'>
  readonly hostFacts: () => HostFacts
  readonly memory: Pick<AgentMemory, 'fact' | 'saveFact'>
  readonly state: Pick<DeviceState, 'device' | 'network'>
  readonly report: (status: NodeStatus) => void
  readonly changed: (device: Device) => void
}

export interface NodeReport {
  /** Looks now. */
  look(): void
  /** What this machine is short of, one line each. */
  shortages(): readonly string[]
  close(): void
}

export const reportNode = (deps: NodeReportDeps): NodeReport => {
  const remembered = deps.memory.fact('node')
  const held: { last: NodeStatus | undefined; host: HostFacts | undefined; cancel: Cancel | undefined } = {
    host: undefined,
    last: isObject(remembered) ? (remembered as NodeStatus) : undefined,
    cancel: undefined,
  }
  const look = (): void => {
    held.cancel?.()
    held.cancel = deps.clock.after(NODE_STATUS_EVERY_MS, look)
    try {
      say(deps.hostFacts())
    } catch (error) {
      // What the machine does not tell now it tells next time; pods do not depend on it.
      deps.log.error('look at the machine', { error: messageOf(error) })
    }
  }
  const say = (host: HostFacts): void => {
    held.host = host
    const { device, network } = deps.state
    if (!deepEqual(device.hostIPs, host.addresses)) deps.changed({ ...device, hostIPs: host.addresses })
    const facts = {
      nodeName: deps.nodeName,
      host,
      runtimeVersion: deps.runtime.version,
      version: deps.version,
      images: deps.images.list(),
      networkError: network.error,
    }
    const status = nodeStatus(facts, held.last, deps.clock.now())
    deps.report(status)
    if (deepEqual(status, held.last)) return
    held.last = status
    deps.memory.saveFact('node', status).catch((error: unknown) => deps.log.error('remember node', { error: messageOf(error) }))
  }
  look()
  return { look, shortages: () => (held.host ? shortages(held.host) : []), close: () => held.cancel?.() }
}
