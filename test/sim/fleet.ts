// All nodes of a world: each is a Node object made through the verbs, as joining makes it, and a device that dials.

import type { Identity } from '../../src/api/api.ts'
import { kindByName } from '../../src/kinds/index.ts'
import { allocatePodCIDR } from '../../src/server/addresses.ts'
import { createSimDevice, type DeviceWatcher, type SimDevice } from './device.ts'
import type { Profile } from './profile.ts'
import { CLUSTER_CIDR, type SimServer } from './server.ts'
import type { World } from './world.ts'

const JOINER: Identity = { name: 'system:join', groups: ['system:masters'] }

export interface Fleet {
  readonly devices: ReadonlyMap<string, SimDevice>
  /** Joins one more device; it dials when its Node is durable. A server that is down or goes down leaves it unjoined. */
  add(): Promise<void>
}

export const createFleet = (deps: { world: World; server: SimServer; profile: Profile; watcher: DeviceWatcher }): Fleet => {
  const devices = new Map<string, SimDevice>()
  const taken = new Set<string>()
  return {
    devices,
    async add() {
      const { process } = deps.server
      if (!process) return
      const podCIDR = allocatePodCIDR(CLUSTER_CIDR, taken)
      taken.add(podCIDR)
      const name = `node-${String(taken.size).padStart(4, '0')}`
      const node = {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' } },
        spec: { podCIDR, podCIDRs: [podCIDR] },
      }
      await process.verbs.create(JOINER, { kind: kindByName('Node')!, namespace: '' }, node)
      const device = createSimDevice(deps, name)
      devices.set(name, device)
      device.startAgent()
    },
  }
}
