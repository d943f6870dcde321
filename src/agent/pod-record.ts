// What the device knows of one pod besides what is desired: the observed half of the reconciliation. Owned and changed by the
// machine only; plan and status read it. Times: `…AtMs` on the monotonic clock unless the name says wall.

import type { ContainerState, Pod, PodStatus } from '../kinds/pod.ts'
import type { ContainerInfo } from '../runtime/runtime.ts'
import type { ProbeRecord } from './probe-schedule.ts'

export interface Now {
  readonly wallMs: number
  readonly monoMs: number
}

export type Terminated = NonNullable<ContainerState['terminated']>
export interface Waiting {
  readonly reason: string
  readonly message?: string
}

export interface ContainerRecord {
  readonly name: string
  readonly init: boolean
  /** The newest attempt the runtime has. */
  current: ContainerInfo | undefined
  /** Older attempts still lying about. */
  stale: ContainerInfo[]
  /** How the newest attempt ended; undefined while it runs and before the first start. */
  ended: Terminated | undefined
  /** How the attempt before ended. */
  last: Terminated | undefined
  /** Starts so far: the next attempt's number. */
  attempts: number
  /** Ends counted for the backoff. */
  failures: number
  /** Not to be started before this; `backoffMs` is the delay it was set with. */
  notBeforeAtMs: number
  backoffMs: number
  /** It ended in a sandbox that is gone: an init container has to run again before the others do. */
  rerun: boolean
  /** It was started in the present sandbox. */
  sandboxed: boolean
  /** Set from asking for a stop until the exit; `restart` overrides the restart policy (the image changed). */
  stop: { readonly deadlineAtMs: number; readonly restart: boolean } | undefined
  /** An operator asked for its restart: why, for the event. */
  asked: string | undefined
  /** Startup probe passed (or there is none). */
  started: boolean
  ready: boolean
  runningSinceAtMs: number
  probes: { startup?: ProbeRecord; readiness?: ProbeRecord; liveness?: ProbeRecord }
}

export interface PodRecord {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** Last seen in a document; undefined for leftovers found on disk. */
  pod: Pod | undefined
  /** In the document now. */
  desired: boolean
  sandbox: 'absent' | 'present'
  netns: string | undefined
  /** Attached in this run of the agent. */
  attached: boolean
  address: string | undefined
  /** What was written to the volumes in this run of the agent. */
  volumesRevision: string | undefined
  /** Directories of the pod may exist. */
  dirty: boolean
  readonly containers: Map<string, ContainerRecord>
  startedWallMs: number | undefined
  /** The same on the monotonic clock: what activeDeadlineSeconds counts from. */
  activeSinceAtMs: number | undefined
  /** It will never run again. */
  terminal: { readonly phase: 'Succeeded' | 'Failed'; readonly reason?: string; readonly message?: string } | undefined
  /** Steps in flight, by slot. */
  readonly busy: Set<string>
  /** Exits told before the start they belong to, by container id. */
  readonly early: Map<string, { readonly info: ContainerInfo; readonly message: string | undefined }>
  /** Steps that failed, by slot. */
  readonly retry: Map<string, { failures: number; notBeforeAtMs: number; message: string }>
  /** Last computed; its transition times are carried on. */
  status: PodStatus | undefined
  /** Last notes told as events, by subject, so that each is told once. */
  readonly told: Map<string, string>
  wakeAtMs: number | undefined
}

/** What survives a restart of the agent; the rest is found in the runtime. */
export interface PodMemory {
  readonly namespace: string
  readonly name: string
  readonly address?: string
  readonly status: PodStatus
  readonly failures: Readonly<Record<string, number>>
}

export const newContainer = (name: string, init: boolean): ContainerRecord => ({
  name,
  init,
  current: undefined,
  stale: [],
  ended: undefined,
  last: undefined,
  attempts: 0,
  failures: 0,
  notBeforeAtMs: Number.NEGATIVE_INFINITY,
  backoffMs: 0,
  rerun: false,
  sandboxed: false,
  stop: undefined,
  asked: undefined,
  started: false,
  ready: false,
  runningSinceAtMs: 0,
  probes: {},
})

export const newRecord = (uid: string, namespace: string, name: string): PodRecord => ({
  uid,
  namespace,
  name,
  pod: undefined,
  desired: false,
  sandbox: 'absent',
  netns: undefined,
  attached: false,
  address: undefined,
  volumesRevision: undefined,
  dirty: false,
  containers: new Map(),
  startedWallMs: undefined,
  activeSinceAtMs: undefined,
  terminal: undefined,
  busy: new Set(),
  early: new Map(),
  retry: new Map(),
  status: undefined,
  told: new Map(),
  wakeAtMs: undefined,
})

export const isRunning = (container: ContainerRecord | undefined): boolean =>
  container?.current !== undefined && container.ended === undefined && container.current.state !== 'exited'

/** `crun://id`, as status.containerStatuses[].containerID. */
export const containerID = (runtimeName: string, id: string): string => `${runtimeName}://${id}`
