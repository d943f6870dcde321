// The door of the network: pod addresses on one device. Routed point-to-point veth pairs, one /32 a pod, no bridge; rule texts are
// compiled by pure functions beside this file. Everything made here outlives the agent. DESIGN section 3, reference: runtime facts.

import type { Exec } from '../base/exec.ts'
import type { Log } from '../base/log.ts'

export interface NetworkDeps {
  readonly exec: Exec
  readonly log: Log
  /** Tells several agents on one machine apart; the absolute data directory is a good one. Links and tables are named by its hash. */
  readonly instance: string
}

export interface NetworkConfig {
  /** The device's range, for example `10.42.3.0/24`; its first address belongs to the device itself. */
  readonly podCIDR: string
  /** The whole cluster's range: traffic inside it is not masqueraded. */
  readonly clusterCIDR: string
}

export interface PodAttachment {
  /** Pod uid. */
  readonly uid: string
  readonly netns: string
  readonly address: string
}

export interface Network {
  /** Prepares the device (forwarding, masquerade table). Idempotent; called again when the ranges change. */
  configure(config: NetworkConfig): Promise<void>
  /** Gives a sandbox its address, or finds that it has it already. */
  attach(attachment: PodAttachment): Promise<void>
  /** Removes the host side of a pod's link; the pod's side goes with its namespace. Not an error when there is none. */
  detach(uid: string): Promise<void>
  /** Removes everything of ours from the device (uninstall, tests). */
  remove(): Promise<void>
}

/** The lowest free address of the range, above the network and the device's own address, below broadcast; undefined when full. Pure. */
export type AllocateAddress = (podCIDR: string, used: ReadonlySet<string>) => string | undefined
