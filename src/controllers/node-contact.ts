// What is known of one node's contact, and how its conditions say so: Online, Offline (silent by design), Unknown (silent beyond that),
// Dead (declared, and silent). Silence counts only while this server listened; connected always wins. Ready becomes Unknown for Unknown
// and Dead alone: an Offline node keeps the Ready it reported, so no client of Kubernetes takes anything from it.

import { timestamp } from '../base/clock.ts'
import type { ContactState } from '../kinds/contact.ts'
import { CONTACT, CONTACT_BRAKE, contactState, isDeclaredDead } from '../kinds/contact.ts'
import { ANNOUNCED_INTERVAL, CONTACT_INTERVAL, durationOf } from '../kinds/disconnection.ts'
import { humanDuration } from '../kinds/duration.ts'
import type { Condition } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
import { findCondition, withCondition } from './condition.ts'
import type { Contact, View } from './controller.ts'
import { ACT_FIRST_CALL_MS, CONTACT_INTERVAL_SLACK, NODE_FIRST_CALL_MS, NODE_SILENT_MS } from './limits.ts'

export const SILENT_REASON = 'NodeStatusUnknown'
/** Keeps what the device said of itself before it fell silent: an unchanged report is not sent again, so it must be found here. */
const LAST_SEEN = 'ReadyWhenLastSeen'

export interface Judged {
  readonly node: Node
  /** Undecided: silent for too short a time to say; what was recorded stands. */
  readonly state: ContactState | 'undecided'
  readonly silentMs: number
  /** False when it never called since this server started: when it was last seen is not known. */
  readonly wasSeen: boolean
  /** It calls only so often, as an operator says on its Node, or else the device itself; 0 = it stays connected. */
  readonly intervalMs: number
  /** What of that the device said. */
  readonly announcedMs: number
  readonly conflict: Contact['conflict']
  /** Milliseconds until the judgement changes if the silence goes on; infinite when it does not. */
  readonly nextMs: number
}

/** Milliseconds without a frame from this node, as far as this server can know: it cannot have been silent longer than we have listened. */
export const silenceOf = (view: View, node: string): number => {
  const contact = view.contact(node)
  if (!contact) return view.uptimeMs
  return contact.connected ? 0 : contact.silentMs
}

/**
 * Milliseconds of silence before a policy that asks for `afterMs` may act on this node. Never before all that fell silent with it would have
 * been noticed: the first of many must not be acted on as if it were the only one.
 */
export const actsAfterMs = (view: View, node: string, afterMs: number): number => {
  const contact = view.contact(node)
  return Math.max(afterMs, contact ? (contact.togetherMs ?? 0) : ACT_FIRST_CALL_MS)
}

const never = Number.POSITIVE_INFINITY

/** Recorded as silent already: a declaration of death need not wait. One that is in contact does not die of a blink. */
const isKnownSilent = (node: Node): boolean => {
  const recorded = contactState(node)
  return recorded !== undefined && recorded !== 'Online'
}

/** The bounds of each state in milliseconds of silence: undecided, then Offline where silence is declared, then Unknown. */
export const judge = (view: View, node: Node): Judged => {
  const name = node.metadata.name ?? ''
  const contact = view.contact(name)
  const wasSeen = contact !== undefined
  const announcedMs = contact ? (contact.contactIntervalMs ?? 0) : (durationOf(node, ANNOUNCED_INTERVAL) ?? 0)
  const intervalMs = durationOf(node, CONTACT_INTERVAL) ?? announcedMs
  const silentMs = silenceOf(view, name)
  const known = { node, silentMs, wasSeen, intervalMs, announcedMs, conflict: contact?.conflict }
  if (contact?.connected) return { ...known, state: 'Online', nextMs: never }
  const decidedMs = wasSeen ? NODE_SILENT_MS : NODE_FIRST_CALL_MS
  if (isDeclaredDead(node) && (silentMs >= decidedMs || isKnownSilent(node))) return { ...known, state: 'Dead', nextMs: never }
  const unknownMs = Math.max(decidedMs, intervalMs > 0 ? intervalMs * CONTACT_INTERVAL_SLACK + NODE_SILENT_MS : 0)
  if (silentMs >= unknownMs) return { ...known, state: 'Unknown', nextMs: never }
  if (silentMs >= decidedMs) return { ...known, state: 'Offline', nextMs: unknownMs - silentMs }
  return { ...known, state: 'undecided', nextMs: decidedMs - silentMs }
}

const MESSAGES: Readonly<Record<ContactState, (one: Judged, seen: string) => string>> = {
  Online: () => 'in contact',
  Offline: ({ intervalMs }, seen) => `${seen}; silent by design, it calls every ${humanDuration(intervalMs)}`,
  Unknown: (_, seen) => seen,
  Dead: (_, seen) => `${seen}; declared dead by the taint node.kubernetes.io/out-of-service`,
}
const STATUSES: Readonly<Record<ContactState, Condition['status']>> = {
  Online: 'True',
  Offline: 'False',
  Unknown: 'Unknown',
  Dead: 'False',
}

/** Written when the state changes and not again: heartbeats are no writes. */
const contactOf = (one: Judged, state: ContactState, ready: Condition | undefined, now: string, nowMs: number): Condition => {
  const seenAt = one.wasSeen && state !== 'Online' ? { lastHeartbeatTime: timestamp(nowMs - one.silentMs) } : {}
  return {
    type: CONTACT,
    status: STATUSES[state],
    reason: state,
    message: MESSAGES[state](one, lastSeen(one, ready, nowMs)),
    ...seenAt,
    lastTransitionTime: now,
  }
}

const BRAKED: Condition = {
  type: CONTACT_BRAKE,
  status: 'True',
  reason: 'ManySilent',
  message: 'fell silent together with many others: nothing on it is replaced, and its endpoints stay',
}

const lastSeen = (one: Judged, ready: Condition | undefined, nowMs: number): string => {
  if (one.wasSeen) return `last seen ${timestamp(nowMs - one.silentMs)}`
  const stamp = ready?.lastHeartbeatTime ?? ready?.lastTransitionTime
  const listened = `not heard since this server started at ${timestamp(nowMs - one.silentMs)}`
  return stamp ? `last seen after ${stamp}; ${listened}` : `never seen; ${listened}`
}

const withReady = (one: Judged, conditions: readonly Condition[], now: string, nowMs: number): readonly Condition[] => {
  const ready = findCondition(conditions, 'Ready')
  const kept = findCondition(conditions, LAST_SEEN)
  const isSilent = ready?.status === 'Unknown' && ready.reason === SILENT_REASON
  if (one.state === 'Online' || one.state === 'Offline') {
    const rest = kept ? conditions.filter(condition => condition !== kept) : conditions
    return isSilent && kept ? withCondition(rest, { ...kept, type: 'Ready' }, now) : rest
  }
  if (isSilent) return conditions
  const silent: Condition = { type: 'Ready', status: 'Unknown', reason: SILENT_REASON, message: lastSeen(one, ready, nowMs) }
  const next = withCondition(conditions, silent, now)
  return ready ? withCondition(next, { ...ready, type: LAST_SEEN }, now) : next
}

const replaced = (conditions: readonly Condition[], type: string, next: Condition | undefined): readonly Condition[] => {
  const old = findCondition(conditions, type)
  if (!old) return next ? [...conditions, next] : conditions
  return next ? conditions.map(each => (each === old ? next : each)) : conditions.filter(each => each !== old)
}

/** What the node's annotation should say of the device's own interval; null = nothing, undefined = as it says. */
export const announcementOf = ({ node, wasSeen, announcedMs }: Judged): string | null | undefined => {
  const stored = node.metadata.annotations?.[ANNOUNCED_INTERVAL]
  const wanted = announcedMs > 0 ? `${Math.ceil(announcedMs / 1000)}s` : undefined
  return !wasSeen || stored === wanted ? undefined : (wanted ?? null)
}

/** The node's conditions as they should be; `now` is `nowMs` as a stamp. An undecided node keeps what was recorded of it. */
export const conditionsOf = (one: Judged, isBraked: boolean, now: string, nowMs: number): readonly Condition[] => {
  const stored = one.node.status?.conditions ?? []
  const before = contactState(one.node)
  const isSteady = one.state === 'Online' && before === 'Online' && !stored.some(({ type }) => type === LAST_SEEN || type === CONTACT_BRAKE)
  if (one.state === 'undecided' || isSteady) return stored
  const ready = findCondition(stored, 'Ready')
  const conditions = withReady(one, stored, now, nowMs)
  const contacted = before === one.state ? conditions : replaced(conditions, CONTACT, contactOf(one, one.state, ready, now, nowMs))
  const hasBrake = findCondition(contacted, CONTACT_BRAKE) !== undefined
  const wantsBrake = isBraked && one.state === 'Unknown'
  if (hasBrake === wantsBrake) return contacted
  return replaced(contacted, CONTACT_BRAKE, wantsBrake ? { ...BRAKED, lastTransitionTime: now } : undefined)
}
