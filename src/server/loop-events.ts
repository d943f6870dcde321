// Events, coalesced and rate-limited like client-go's EventCorrelator: the same note again raises a count, many different notes of one
// reason become one, and a source that will not stop is cut off per object. Decides only; what to write is returned.

import type { Clock } from '../base/clock.ts'
import { timestamp } from '../base/clock.ts'
import type { Action } from '../controllers/controller.ts'
import type { KubeObject } from '../kinds/meta.ts'
import { EVENT_NOTES_MAX, EVENT_SAME_MS, EVENT_TOKEN_MS, EVENT_TOKENS_MAX, EVENTS_REMEMBERED_MAX } from './loop-limits.ts'

export type EventAction = Extract<Action, { readonly do: 'event' }>

export type EventWrite =
  | { readonly do: 'create'; readonly namespace: string; readonly object: KubeObject }
  | {
      readonly do: 'patch'
      readonly namespace: string
      readonly name: string
      readonly patch: Record<string, unknown>
      /** What to create when the Event has been cleaned up meanwhile. */
      readonly otherwise: KubeObject
    }

export interface EventRecorder {
  /** Undefined when it is one too many. */
  record(event: EventAction): EventWrite | undefined
}

interface Seen {
  readonly name: string
  readonly firstMs: number
  lastMs: number
  count: number
}

const NAME_LENGTH_MAX = 200

/** Remembers the entry as the one used last; above `EVENTS_REMEMBERED_MAX` the one not used for longest is forgotten. */
const keep = <V>(map: Map<string, V>, key: string, value: V): void => {
  map.delete(key)
  map.set(key, value)
  const oldest = map.size > EVENTS_REMEMBERED_MAX ? map.keys().next().value : undefined
  if (oldest !== undefined) map.delete(oldest)
}

export const createEventRecorder = (deps: { readonly clock: Pick<Clock, 'now' | 'mono'> }): EventRecorder => {
  const seen = new Map<string, Seen>()
  const notes = new Map<string, { readonly texts: Set<string>; lastMs: number }>()
  const tokens = new Map<string, { left: number; atMs: number }>()
  let sequence = 0

  const isGranted = (spender: string, nowMs: number): boolean => {
    const bucket = tokens.get(spender) ?? { left: EVENT_TOKENS_MAX, atMs: nowMs }
    const earned = (nowMs - bucket.atMs) / EVENT_TOKEN_MS
    const left = Math.min(EVENT_TOKENS_MAX, bucket.left + earned)
    keep(tokens, spender, { left: left >= 1 ? left - 1 : left, atMs: nowMs })
    return left >= 1
  }
  /** The note, or one word for many. */
  const combined = (group: string, note: string, nowMs: number): string => {
    const known = notes.get(group)
    const recent = known && nowMs - known.lastMs < EVENT_SAME_MS ? known : { texts: new Set<string>(), lastMs: nowMs }
    recent.lastMs = nowMs
    keep(notes, group, recent)
    if (recent.texts.has(note)) return note
    if (recent.texts.size >= EVENT_NOTES_MAX) return `(combined from similar events): ${note}`
    recent.texts.add(note)
    return note
  }
  return {
    record(event) {
      const nowMs = deps.clock.mono()
      const { regarding, type, reason, source } = event
      const spender = `${source} ${regarding.uid}`
      if (!isGranted(spender, nowMs)) return undefined
      const group = `${spender} ${type} ${reason}`
      const note = combined(group, event.note, nowMs)
      const key = note === event.note ? `${group} ${note}` : `${group} (combined)`
      const before = seen.get(key)
      const namespace = regarding.namespace ?? 'default'
      if (before && nowMs - before.lastMs < EVENT_SAME_MS) {
        keep(seen, key, before)
        before.lastMs = nowMs
        before.count++
        const now = timestamp(deps.clock.now())
        const fresh = eventObject(event, note, { ...before, namespace, now: deps.clock.now() })
        const patch = { count: before.count, lastTimestamp: now, message: note }
        return { do: 'patch', namespace, name: before.name, patch, otherwise: fresh }
      }
      const name = `${regarding.name.slice(0, NAME_LENGTH_MAX)}.${(deps.clock.now() * 1000 + (sequence++ % 1000)).toString(16)}`
      keep(seen, key, { name, firstMs: deps.clock.now(), lastMs: nowMs, count: 1 })
      const object = eventObject(event, note, { name, namespace, firstMs: deps.clock.now(), now: deps.clock.now(), count: 1 })
      return { do: 'create', namespace, object }
    },
  }
}

const eventObject = (
  event: EventAction,
  note: string,
  at: { readonly name: string; readonly namespace: string; readonly firstMs: number; readonly now: number; readonly count: number },
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name: at.name, namespace: at.namespace },
  involvedObject: event.regarding,
  reason: event.reason,
  message: note,
  source: { component: event.source },
  firstTimestamp: timestamp(at.firstMs),
  lastTimestamp: timestamp(at.now),
  count: at.count,
  type: event.type,
  reportingComponent: event.source,
  reportingInstance: '',
})
