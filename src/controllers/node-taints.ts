// Taints that follow from a node's conditions, all NoSchedule, and the one that a fencing policy sets. Any other taint belongs to someone
// else and is left alone. Under the brake nothing is added on account of silence.

import { parseTimestamp, timestamp } from '../base/clock.ts'
import { FENCED, FENCED_AT, OUT_OF_SERVICE } from '../kinds/contact.ts'
import { durationOf, FENCE_AFTER } from '../kinds/disconnection.ts'
import type { Condition } from '../kinds/meta.ts'
import type { Node, Taint } from '../kinds/node.ts'
import { findCondition } from './condition.ts'
import { ACT_FIRST_CALL_MS, FENCE_EVERY_MS } from './limits.ts'
import type { Judged } from './node-contact.ts'

export const UNREACHABLE = 'node.kubernetes.io/unreachable'

type TaintRule = readonly [key: string, applies: (node: Node, ready: Condition | undefined) => boolean]

const holds =
  (type: string) =>
  (node: Node): boolean =>
    findCondition(node.status?.conditions, type)?.status === 'True'

const TAINTS: readonly TaintRule[] = [
  [UNREACHABLE, (_node, ready) => ready?.status === 'Unknown'],
  ['node.kubernetes.io/not-ready', (_node, ready) => ready?.status === 'False'],
  ['node.kubernetes.io/unschedulable', node => node.spec?.unschedulable === true],
  ['node.kubernetes.io/memory-pressure', holds('MemoryPressure')],
  ['node.kubernetes.io/disk-pressure', holds('DiskPressure')],
  ['node.kubernetes.io/pid-pressure', holds('PIDPressure')],
  ['node.kubernetes.io/network-unavailable', holds('NetworkUnavailable')],
]

export const isTainted = (node: Node): boolean => node.spec?.taints?.some(taint => taint.key === UNREACHABLE) ?? false

const isOwnFence = (taint: Taint): boolean => taint.key === OUT_OF_SERVICE && taint.value === FENCED

/** The node's taints as they should be: a policy's own declaration ends when the node calls, an operator's stays until he takes it back. */
export const taintsOf = ({ node, state }: Judged, { isBraked, fences }: { isBraked: boolean; fences: boolean }, nowMs: number): Taint[] => {
  const ready = findCondition(node.status?.conditions, 'Ready')
  const taints = (node.spec?.taints ?? []).filter(taint => !(state === 'Online' && isOwnFence(taint)))
  for (const [key, applies] of TAINTS) {
    const index = taints.findIndex(taint => taint.key === key && taint.effect === 'NoSchedule')
    const isWanted = applies(node, ready)
    if (index >= 0 && !isWanted) taints.splice(index, 1)
    else if (index < 0 && isWanted && !(isBraked && key === UNREACHABLE)) taints.push({ key, effect: 'NoSchedule' })
  }
  if (fences) taints.push({ key: OUT_OF_SERVICE, value: FENCED, effect: 'NoExecute', timeAdded: timestamp(nowMs) })
  return taints
}

/** Milliseconds until the node's fencing policy is due; undefined when it has none, or it is not Unknown. */
const fenceInMs = ({ node, state, silentMs, wasSeen }: Judged): number | undefined => {
  const afterMs = state === 'Unknown' ? durationOf(node, FENCE_AFTER) : undefined
  return afterMs === undefined ? undefined : Math.max(0, (wasSeen ? afterMs : Math.max(afterMs, ACT_FIRST_CALL_MS)) - silentMs)
}

/** Milliseconds until the last fencing lets another one follow. A stamp of the future is a clock that was set back: it says nothing. */
const paceMs = (judged: readonly Judged[], nowMs: number): number => {
  const stamps = judged.flatMap(({ node }) => node.metadata.annotations?.[FENCED_AT] ?? [])
  const waits = stamps.map(stamp => parseTimestamp(stamp) + FENCE_EVERY_MS - nowMs)
  return waits.reduce((longest, waitMs) => (waitMs > longest && waitMs <= FENCE_EVERY_MS ? waitMs : longest), 0)
}

export interface Fencing {
  /** The one node to be declared dead now. */
  readonly node: Node | undefined
  /** When to look again; infinite when no policy waits. */
  readonly nextMs: number
}

/** One node at a time, the longest silent first, never while `pausedMs` (brake) lasts. */
export const fencingOf = (judged: readonly Judged[], pausedMs: number, nowMs: number): Fencing => {
  const waiting = judged.flatMap(one => {
    const dueMs = fenceInMs(one)
    return dueMs === undefined ? [] : [{ one, dueMs }]
  })
  if (waiting.length === 0) return { node: undefined, nextMs: Number.POSITIVE_INFINITY }
  const heldMs = Math.max(pausedMs, paceMs(judged, nowMs))
  const due = waiting.filter(({ dueMs }) => dueMs === 0).sort((a, b) => b.one.silentMs - a.one.silentMs)
  const nextMs = Math.max(heldMs, Math.min(...waiting.map(({ dueMs }) => dueMs)))
  if (heldMs > 0 || due.length === 0) return { node: undefined, nextMs }
  return { node: due[0]!.one.node, nextMs: waiting.length > 1 ? FENCE_EVERY_MS : Number.POSITIVE_INFINITY }
}
