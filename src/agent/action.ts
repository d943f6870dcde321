// What the device machine asks its shell to do. Plain JSON: can be logged, compared, replayed. At most one per (uid, slot) is in
// flight; the shell answers each with `done` or `failed`. CONVENTIONS 3.

import type { LifecycleHandler, Probe } from '../kinds/pod.ts'
import type { NetworkConfig } from '../network/network.ts'
import type { ContainerInfo, SandboxSpec } from '../runtime/runtime.ts'
import type { StartPlan } from './container-spec.ts'
import type { ProbeKind } from './probe-schedule.ts'
import type { PodLayout } from './volumes.ts'

/** How a handler inside a container is reached. */
export interface HandlerTarget {
  readonly id: string
  /** Where httpGet and tcpSocket go when they name no host. */
  readonly host: string
  /** Named ports of the container. */
  readonly ports: Readonly<Record<string, number>>
}

export type Action =
  | { readonly do: 'configureNetwork'; readonly config: NetworkConfig }
  /** `fresh`: nothing of the pod runs, so what an earlier boot left may be replaced. */
  | { readonly do: 'writeVolumes'; readonly uid: string; readonly layout: PodLayout; readonly fresh: boolean }
  | { readonly do: 'createSandbox'; readonly uid: string; readonly sandbox: SandboxSpec }
  | { readonly do: 'attach'; readonly uid: string; readonly netns: string; readonly address: string }
  | {
      readonly do: 'startContainer'
      readonly uid: string
      readonly name: string
      readonly start: StartPlan
      /** `target.id` is empty: the container has none yet. */
      readonly postStart?: { readonly handler: LifecycleHandler; readonly target: HandlerTarget }
      readonly graceMs: number
    }
  | {
      readonly do: 'stopContainer'
      readonly uid: string
      readonly name: string
      readonly id: string
      readonly graceMs: number
      /** It starts again afterwards, whatever the restart policy (its image changed). */
      readonly restart: boolean
      /** For the event; '' = the pod is going. */
      readonly why: string
      readonly preStop?: { readonly handler: LifecycleHandler; readonly target: HandlerTarget }
    }
  | { readonly do: 'removeContainer'; readonly uid: string; readonly name: string; readonly id: string }
  /** Detaches the network, then removes the sandbox with everything in it. */
  | { readonly do: 'removeSandbox'; readonly uid: string }
  /** Removes the pod's volumes and /etc files. */
  | { readonly do: 'removeVolumes'; readonly uid: string }
  | {
      readonly do: 'probe'
      readonly uid: string
      readonly name: string
      readonly kind: ProbeKind
      readonly probe: Probe
      readonly target: HandlerTarget
    }

/** What a step brought back, where it brings something: the sandbox's namespace, the started container, the probe's answer. */
export interface ActionResult {
  readonly netns?: string
  readonly container?: ContainerInfo
  readonly answer?: { readonly ok: boolean; readonly message: string }
}

/** The uid an action belongs to; '' is the device itself. */
export const uidOf = (action: Action): string => ('uid' in action ? action.uid : '')

/** Failures are counted for each step apart: a volume that cannot be written does not hold up the removal. */
export const retryKeyOf = (action: Action): string => `${action.do}/${slotOf(action)}`

/** Steps of one slot never overlap. Structure is one at a time; stops and probes go beside it. */
export const slotOf = (action: Action): string => {
  switch (action.do) {
    case 'stopContainer':
      return `${action.graceMs <= 0 ? 'kill' : 'stop'}/${action.id}`
    case 'probe':
      return `probe/${action.name}/${action.kind}`
    case 'configureNetwork':
      return 'network'
    default:
      return 'pod'
  }
}
