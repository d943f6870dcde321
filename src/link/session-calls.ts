// When the device calls: after a connection that broke, by its contact interval, for a head that was found outside a session; and when a
// call is over. Part of the device's machine (session-device.ts).

import { backoffMs, jitteredMs } from '../base/backoff.ts'
import { judgeHead } from './head.ts'
import {
  CONTACT_INTERVAL_MS_MAX,
  CONTACT_INTERVAL_MS_MIN,
  CONTACT_LONG_MS,
  CONTACT_QUIET_MS,
  HERD_WINDOW_MS_MIN,
  RECONNECT_BASE_MS,
  REFUSED_BASE_MS,
  REFUSED_CAP_FACTOR,
} from './limits.ts'
import type { Head } from './messages.ts'
import { offerHead } from './session-desired.ts'
import { tellTerms } from './session-reports.ts'
import { type DeviceState, profileOf } from './session-state.ts'

/** When to dial after a connection or attempt that is over, from now. */
export const pauseMs = (s: DeviceState, longLived: boolean, planned: boolean): number => {
  const { random } = s.deps
  if (planned && s.contactMs !== undefined) return Math.floor(s.contactMs * 0.9) + random.int(Math.floor(s.contactMs * 0.2) + 1)
  if (longLived) return random.int(Math.max(s.herdWindowMs, HERD_WINDOW_MS_MIN) + 1)
  return jitteredMs({ baseMs: RECONNECT_BASE_MS, capMs: profileOf(s).reconnectCapMs }, s.attempt++, random)
}

/** The server has no node for this device: there is time. Nothing sooner than half of the pause, so that the bytes of a day are bounded. */
export const beRefused = (s: DeviceState): void => {
  if (s.phase.is !== 'waiting') return
  const policy = { baseMs: REFUSED_BASE_MS, capMs: profileOf(s).reconnectCapMs * REFUSED_CAP_FACTOR }
  const halfMs = Math.floor(backoffMs(policy, s.refusals++) / 2)
  s.phase = { is: 'waiting', dialAtMs: Math.max(s.nowMs + halfMs + s.deps.random.int(halfMs + 1), s.busyUntilMs) }
}

/** Only what is signed and newer counts. Without a session it is a reason to dial soon: the welcome has the head, or a newer one. */
export const retainedHead = (s: DeviceState, head: Head): void => {
  const { held } = s
  // Whoever keeps heads may repeat them for ever: what is plainly not newer costs no check of a signature.
  if (held && head.epoch === held.head.epoch && head.generation <= held.head.generation) return
  const { verdict } = judgeHead(s.deps.device, s.held?.head, head, s.deps.verify)
  if (verdict !== 'fetch' && verdict !== 'adopt') return
  if (s.phase.is === 'open') offerHead(s, head)
  else if (s.phase.is === 'waiting') {
    const spreadMs = s.deps.random.int(Math.max(s.herdWindowMs, HERD_WINDOW_MS_MIN) + 1)
    s.phase = { is: 'waiting', dialAtMs: Math.min(s.phase.dialAtMs, Math.max(s.nowMs + spreadMs, s.busyUntilMs)) }
  }
}

export const contactInterval = (s: DeviceState, ms: number | undefined): void => {
  s.contactMs = ms === undefined ? undefined : Math.min(CONTACT_INTERVAL_MS_MAX, Math.max(CONTACT_INTERVAL_MS_MIN, ms))
  tellTerms(s)
  if (s.phase.is === 'waiting') s.phase = { is: 'waiting', dialAtMs: Math.min(s.phase.dialAtMs, s.nowMs + (s.contactMs ?? 0)) }
}

/** When a device that calls only so often hangs up; infinite while there is something to say, or no interval. */
export const quietAtMs = (s: DeviceState): number => {
  if (s.contactMs === undefined || s.phase.is !== 'open' || s.mux.streams.size > 0) return Number.POSITIVE_INFINITY
  const { status, boxes, desired } = s
  const talking = status.inFlight ?? boxes.events.inFlight ?? boxes.telemetry.inFlight ?? desired.download ?? desired.unsaved
  const dueAtMs = Math.min(...Object.values(s.dueAtMs).filter(ms => ms !== undefined))
  const longAtMs = s.phase.sinceMs + CONTACT_LONG_MS
  if (talking !== undefined || s.statusHeld || dueAtMs <= s.nowMs + CONTACT_QUIET_MS) return longAtMs
  return Math.min(longAtMs, s.saidMs + CONTACT_QUIET_MS)
}
