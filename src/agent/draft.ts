// A plan in the making, shared by the plan files: what one run of plan() sees and what it has decided so far.

import type { Pod } from '../kinds/pod.ts'
import type { Action } from './action.ts'
import type { Device, Surroundings } from './device.ts'
import type { Hold } from './holds.ts'
import type { Now, PodRecord, Waiting } from './pod-record.ts'
import type { Silence } from './silence.ts'

export interface World {
  readonly device: Device
  readonly around: Surroundings
  /** The device's network is configured. */
  readonly networkReady: boolean
  /** An operator holds this pod: nothing of it runs. */
  readonly hold?: Hold | undefined
  /** The pod asks to be stopped when the server is silent for too long. */
  readonly silence?: Silence | undefined
}

export interface Draft {
  readonly actions: Action[]
  /** Why containers do not run, by name. */
  readonly waiting: Map<string, Waiting>
  /** Look again then (monotonic). */
  wakeAtMs: number | undefined
}

export const newDraft = (): Draft => ({ actions: [], waiting: new Map(), wakeAtMs: undefined })

export const wakeAt = (draft: Draft, atMs: number | undefined): void => {
  if (atMs !== undefined) draft.wakeAtMs = Math.min(draft.wakeAtMs ?? atMs, atMs)
}

/** One pod that shall run, as the container planners see it. */
export interface At {
  readonly pod: Pod
  readonly record: PodRecord
  readonly world: World
  readonly now: Now
  readonly draft: Draft
  /** Volumes, sandbox and address are there: containers may start. */
  readonly ready: boolean
}
