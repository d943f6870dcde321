// Silence of the server, and the pods that ask to be stopped by it (annotation stop-after): only those, and only until there is contact
// again; everything else runs for ever. What is not known counts as long: the time a device was powered off may have been any, so such a
// pod does not start after a reboot before the server was heard; a pod found running by an agent that does not know when its forerunner
// last heard the server gets a short while. The promise is to whoever runs a replacement elsewhere. Pure. DESIGN invariant 1.

import { durationOf, STOP_AFTER } from '../kinds/disconnection.ts'
import type { Pod } from '../kinds/pod.ts'
import type { At } from './draft.ts'
import { unfinished } from './holds.ts'
import { SILENCE_PATIENCE_MS } from './limits.ts'
import { planStale } from './plan-container.ts'
import { planStops } from './plan-teardown.ts'
import { type ContainerRecord, isRunning } from './pod-record.ts'
import { durationText } from './restart-policy.ts'

/** Reason of the pod's status and of its containers' waiting while it is stopped. */
export const DISCONNECTED_STOP = 'DisconnectedStop'

export interface ContactState {
  readonly connected: boolean
  /** The server was last heard then (monotonic); before it is not known. */
  readonly sinceAtMs: number
  /** No pod is left running for longer than this after `sinceAtMs`, however long it asks for. */
  readonly patienceMs: number
  /** A quiet link was found broken then: no pod is stopped at once for it, though the server was last heard long before. */
  readonly noticedAtMs?: number
}

/** What a machine believes that was told nothing: nobody is stopped. */
export const IN_CONTACT: ContactState = { connected: true, sinceAtMs: 0, patienceMs: Number.POSITIVE_INFINITY }

export interface Silence {
  /** The pod stops then (monotonic); Infinity while there is contact. */
  readonly stopAtMs: number
  /** For people. */
  readonly text: string
}

/**
 * Undefined for a pod that does not ask for it. `runs`: some of it runs, so the server was heard since the device was switched on, though the
 * agent that heard it may have ended before that was on disk.
 */
export const silenceOf = (pod: Pod | undefined, contact: ContactState, runs: boolean): Silence | undefined => {
  const afterMs = durationOf(pod, STOP_AFTER)
  if (afterMs === undefined) return undefined
  const patienceMs = runs ? Math.max(contact.patienceMs, SILENCE_PATIENCE_MS) : contact.patienceMs
  const noticedAtMs = contact.noticedAtMs ?? Number.NEGATIVE_INFINITY
  const stopAtMs = contact.connected
    ? Number.POSITIVE_INFINITY
    : Math.max(contact.sinceAtMs + Math.min(afterMs, patienceMs), noticedAtMs + Math.min(afterMs, SILENCE_PATIENCE_MS))
  const text =
    patienceMs < 0
      ? `not started since the device was switched on without contact with the server; stop-after is ${durationText(afterMs)}`
      : `stopped after ${durationText(Math.min(afterMs, patienceMs))} without contact with the server`
  return { stopAtMs, text }
}

/** Fills the draft: what runs is stopped as at its end and starts again on contact; sandbox, address and volumes stay. */
export const planSilent = (at: At, { text }: Silence): void => {
  const { record, world, now, draft } = at
  const open = unfinished(record)
  planStops(record, world.device, now, draft, { restart: true, why: `Stopping container: ${text}` })
  for (const name of open)
    if (!isRunning(record.containers.get(name))) draft.waiting.set(name, { reason: DISCONNECTED_STOP, message: text })
  planStale(at)
}

/** A container that a silence stopped under an earlier agent had not finished: it runs again when there is contact. */
export const restoreSilenced = (state: ContainerRecord, waitingReason: string | undefined): void => {
  if (waitingReason !== DISCONNECTED_STOP || isRunning(state)) return
  state.rerun = state.ended !== undefined
  state.notBeforeAtMs = Number.NEGATIVE_INFINITY
  state.failures = 0
}
