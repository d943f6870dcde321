// Nodes and contact, calmly. A silent device is Unknown, not dead: it gets a condition that says when it was last seen and a taint that
// keeps new pods away; nothing on it is evicted, replaced or deleted, ever. When many fall silent together even taints stay as they are.
// Source: DESIGN invariant 1. Upstream's NoExecute taints are left out on purpose.

import { timestamp } from '../base/clock.ts'
import { deepEqual } from '../base/json.ts'
import type { Condition } from '../kinds/meta.ts'
import type { Node, Taint } from '../kinds/node.ts'
import { findCondition, withCondition } from './condition.ts'
import type { Action, Controller, View } from './controller.ts'
import { BRAKE_FRACTION, BRAKE_NODES_MIN, NODE_BURST, NODE_FIRST_CALL_MS, NODE_GAP_MS, NODE_SILENT_MS } from './limits.ts'
import { eventAbout, isDeleting, patchStatus, uidOf } from './reference.ts'

const SOURCE = 'node-controller'
const UNREACHABLE = 'node.kubernetes.io/unreachable'
const SILENT_REASON = 'NodeStatusUnknown'
/** Keeps what the device said of itself before it fell silent: an unchanged report is not sent again, so it must be found here. */
const LAST_SEEN = 'ReadyWhenLastSeen'

/** One key for all nodes: the brake needs to see them together. */
const ALL = 'nodes'

export const nodeLifecycle: Controller = {
  name: 'node-lifecycle',
  gapMs: NODE_GAP_MS,
  initialKeys: [ALL],
  watches: [{ kind: 'Node', keys: () => [ALL] }],
  contactKeys: () => [ALL],
  reconcile(view, _key, nowMs) {
    const judged = view
      .list<Node>('Node')
      .filter(node => !isDeleting(node))
      .map(node => judge(view, node))
    const brake = brakeOf(judged)
    const actions: Action[] = []
    let changed = 0
    for (const one of judged) {
      if (changed === NODE_BURST) break
      const asked = act(one, brake.isOn, actions.length, nowMs)
      if (asked.length > 0) changed++
      actions.push(...asked)
    }
    if (brake.isOn && changed > 0) actions.push(...brakeEvent(view, brake.note))
    if (changed === NODE_BURST) return { actions, again: { afterMs: NODE_GAP_MS, why: 'more nodes changed than one run writes' } }
    const nextMs = judged.reduce((soonest, one) => Math.min(soonest, one.nextMs), Number.POSITIVE_INFINITY)
    if (!Number.isFinite(nextMs)) return { actions }
    return { actions, again: { afterMs: nextMs, why: 'a silent node is to be judged' } }
  },
}

interface Judged {
  readonly node: Node
  readonly state: 'connected' | 'silent' | 'undecided'
  readonly silentMs: number
  /** False when it never called since this server started: when it was last seen is not known. */
  readonly wasSeen: boolean
  /** Milliseconds until an undecided node is silent; infinite otherwise. */
  readonly nextMs: number
}

const judge = (view: View, node: Node): Judged => {
  const contact = view.contact(node.metadata.name ?? '')
  const wasSeen = contact !== undefined
  const never = Number.POSITIVE_INFINITY
  if (contact?.connected) return { node, state: 'connected', silentMs: 0, wasSeen, nextMs: never }
  const silentMs = contact ? contact.silentMs : view.uptimeMs
  const leftMs = (contact ? NODE_SILENT_MS : NODE_FIRST_CALL_MS) - silentMs
  return leftMs <= 0
    ? { node, state: 'silent', silentMs, wasSeen, nextMs: never }
    : { node, state: 'undecided', silentMs, wasSeen, nextMs: leftMs }
}

const isTainted = (node: Node): boolean => node.spec?.taints?.some(taint => taint.key === UNREACHABLE) ?? false

/**
 * How many of the nodes that were in contact are not any more. Those that lost contact and are not judged yet count as well:
 * otherwise the first few of a mass failure would be tainted before the rest is noticed.
 */
const brakeOf = (judged: readonly Judged[]): { readonly isOn: boolean; readonly note: string } => {
  const candidates = judged.filter(one => !isTainted(one.node))
  const lost = candidates.filter(one => one.state === 'silent' || (one.state === 'undecided' && one.wasSeen)).length
  const isOn = lost >= BRAKE_NODES_MIN && lost > candidates.length * BRAKE_FRACTION
  return {
    isOn,
    note: `${lost} of ${candidates.length} nodes fell silent together: nothing is changed on their account until contact returns`,
  }
}

const brakeEvent = (view: View, note: string): Action[] => {
  const home = view.get('Namespace', '', 'kube-system')
  return home ? [eventAbout(home, { type: 'Warning', reason: 'ContactBrake', note, source: SOURCE })] : []
}

/** Status first, taints in the run that follows: one object is written once a run. `position` is where its actions will stand. */
const act = (one: Judged, isBraked: boolean, position: number, nowMs: number): Action[] => {
  const { node } = one
  const conditions = conditionsOf(one, nowMs)
  if (!deepEqual(conditions, node.status?.conditions ?? [])) {
    const status = patchStatus(node, { ...node.status, conditions })
    const ready = findCondition(conditions, 'Ready')
    if (ready?.reason !== SILENT_REASON) return [status]
    const note = `Node ${node.metadata.name} is out of contact: ${ready.message}`
    return [status, eventAbout(node, { type: 'Warning', reason: 'NodeUnknown', note, source: SOURCE, after: position })]
  }
  const taints = taintsOf(node, isBraked)
  if (deepEqual(taints, node.spec?.taints ?? [])) return []
  const patch = { spec: { taints: taints.length > 0 ? taints : null } }
  return [
    {
      do: 'patch',
      kind: 'Node',
      key: node.metadata.name ?? '',
      uid: uidOf(node),
      resourceVersion: node.metadata.resourceVersion ?? '',
      patch,
    },
  ]
}

const conditionsOf = (one: Judged, nowMs: number): readonly Condition[] => {
  const conditions = one.node.status?.conditions ?? []
  const ready = findCondition(conditions, 'Ready')
  const kept = findCondition(conditions, LAST_SEEN)
  const isSilent = ready?.status === 'Unknown' && ready.reason === SILENT_REASON
  const now = timestamp(nowMs)
  if (one.state === 'connected') {
    const rest = conditions.filter(condition => condition !== kept)
    return isSilent && kept ? withCondition(rest, { ...kept, type: 'Ready' }, now) : rest
  }
  if (one.state === 'undecided' || isSilent) return conditions
  const silent: Condition = { type: 'Ready', status: 'Unknown', reason: SILENT_REASON, message: lastSeen(one, ready, nowMs) }
  const next = withCondition(conditions, silent, now)
  return ready ? withCondition(next, { ...ready, type: LAST_SEEN }, now) : next
}

const lastSeen = (one: Judged, ready: Condition | undefined, nowMs: number): string => {
  if (one.wasSeen) return `last seen ${timestamp(nowMs - one.silentMs)}`
  const stamp = ready?.lastHeartbeatTime ?? ready?.lastTransitionTime
  const listened = `not heard since this server started at ${timestamp(nowMs - one.silentMs)}`
  return stamp ? `last seen after ${stamp}; ${listened}` : `never seen; ${listened}`
}

type TaintRule = readonly [key: string, applies: (node: Node, ready: Condition | undefined) => boolean]

const holds =
  (type: string) =>
  (node: Node): boolean =>
    findCondition(node.status?.conditions, type)?.status === 'True'

/** The taints this controller owns, all NoSchedule; any other taint belongs to someone else and is left alone. */
const TAINTS: readonly TaintRule[] = [
  [UNREACHABLE, (_node, ready) => ready?.status === 'Unknown'],
  ['node.kubernetes.io/not-ready', (_node, ready) => ready?.status === 'False'],
  ['node.kubernetes.io/unschedulable', node => node.spec?.unschedulable === true],
  ['node.kubernetes.io/memory-pressure', holds('MemoryPressure')],
  ['node.kubernetes.io/disk-pressure', holds('DiskPressure')],
  ['node.kubernetes.io/pid-pressure', holds('PIDPressure')],
  ['node.kubernetes.io/network-unavailable', holds('NetworkUnavailable')],
]

const taintsOf = (node: Node, isBraked: boolean): readonly Taint[] => {
  const ready = findCondition(node.status?.conditions, 'Ready')
  const taints = [...(node.spec?.taints ?? [])]
  for (const [key, applies] of TAINTS) {
    const index = taints.findIndex(taint => taint.key === key && taint.effect === 'NoSchedule')
    const isWanted = applies(node, ready)
    if (index >= 0 && !isWanted) taints.splice(index, 1)
    else if (index < 0 && isWanted && !(isBraked && key === UNREACHABLE)) taints.push({ key, effect: 'NoSchedule' })
  }
  return taints
}
