// Nodes and contact, calmly. A silent device is Unknown, not dead: it gets conditions that say when it was last seen and a taint that
// keeps new pods away; what happens to its pods is the policy of their workload. When many fall silent together even taints stay as
// they are. Source: DESIGN invariant 1. Upstream's NoExecute taints are left out on purpose.

import { timestamp } from '../base/clock.ts'
import { deepEqual } from '../base/json.ts'
import { brakeCondition, FENCED_AT } from '../kinds/contact.ts'
import { ANNOUNCED_INTERVAL } from '../kinds/disconnection.ts'
import type { Condition, KubeObject } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
import { findCondition } from './condition.ts'
import { BRAKE_HOME, brakeOf, brakePauseMs, recordBrake } from './contact-brake.ts'
import type { Action, Controller } from './controller.ts'
import { NODE_BURST, NODE_GAP_MS } from './limits.ts'
import { conflictTold, withConflict } from './node-conflict.ts'
import type { Judged } from './node-contact.ts'
import { announcementOf, conditionsOf, judge, SILENT_REASON } from './node-contact.ts'
import { fencingOf, taintsOf } from './node-taints.ts'
import { eventAbout, isDeleting, patchStatus, uidOf } from './reference.ts'

const SOURCE = 'node-controller'

/** One key for all nodes: the brake needs to see them together. */
const ALL = 'nodes'

export const nodeLifecycle: Controller = {
  name: 'node-lifecycle',
  gapMs: NODE_GAP_MS,
  initialKeys: [ALL],
  watches: [
    { kind: 'Node', keys: () => [ALL] },
    { kind: 'Namespace', keys: brakeKeys },
  ],
  contactKeys: () => [ALL],
  reconcile(view, _key, nowMs) {
    const judged = view
      .list<Node>('Node')
      .filter(node => !isDeleting(node))
      .map(node => judge(view, node))
    const brake = brakeOf(judged)
    const recorded = recordBrake(view, brake, nowMs)
    // First the brake is known to all, then a node may be called Unknown: the record brings the next run.
    if (brake.isOn && recorded.length > 0) return { actions: recorded }
    const fencing = fencingOf(judged, brakePauseMs(view, nowMs), nowMs)
    const actions: Action[] = [...recorded]
    const now = timestamp(nowMs)
    let changed = 0
    for (const one of judged) {
      if (changed === NODE_BURST) break
      const asked = act(one, { now, isBraked: brake.isOn, fences: one.node === fencing.node, position: actions.length }, nowMs)
      if (asked.length > 0) changed++
      actions.push(...asked)
    }
    if (changed === NODE_BURST) return { actions, again: { afterMs: NODE_GAP_MS, why: 'more nodes changed than one run writes' } }
    const nextMs = judged.reduce((soonest, one) => Math.min(soonest, one.nextMs), fencing.nextMs)
    if (!Number.isFinite(nextMs)) return { actions }
    return { actions, again: { afterMs: nextMs, why: 'a silent node is to be judged' } }
  },
}

function brakeKeys(namespace: KubeObject, old: KubeObject | undefined): string[] {
  if (namespace.metadata.name !== BRAKE_HOME) return []
  return brakeCondition(namespace)?.status === brakeCondition(old)?.status ? [] : [ALL]
}

interface Circumstances {
  /** The time as a stamp: one for all nodes. */
  readonly now: string
  readonly isBraked: boolean
  readonly fences: boolean
  /** Where the actions will stand in the result. */
  readonly position: number
}

/** Status first, taints in the run that follows: one object is written once a run. */
const act = (one: Judged, circumstances: Circumstances, nowMs: number): Action[] => {
  const { node } = one
  const { now, isBraked } = circumstances
  const conditions = withConflict(node, one.conflict, conditionsOf(one, isBraked, now, nowMs), now)
  if (!deepEqual(conditions, node.status?.conditions ?? []))
    return [patchStatus(node, { ...node.status, conditions }), ...told(one, conditions, circumstances.position)]
  const taints = taintsOf(one, circumstances, nowMs)
  const announced = announcementOf(one)
  const isTaintsSame = deepEqual(taints, node.spec?.taints ?? [])
  if (isTaintsSame && announced === undefined) return []
  const { fences } = circumstances
  const annotations = { ...(announced === undefined ? {} : { [ANNOUNCED_INTERVAL]: announced }), ...(fences ? { [FENCED_AT]: now } : {}) }
  const note = `Node ${node.metadata.name} was declared dead by its fencing policy: its pods are removed and replaced`
  const fenced = eventAbout(node, { type: 'Warning', reason: 'NodeFenced', note, source: SOURCE, after: circumstances.position })
  return [
    {
      do: 'patch',
      kind: 'Node',
      key: node.metadata.name ?? '',
      uid: uidOf(node),
      resourceVersion: node.metadata.resourceVersion ?? '',
      patch: {
        ...(Object.keys(annotations).length > 0 ? { metadata: { annotations } } : {}),
        ...(isTaintsSame ? {} : { spec: { taints: taints.length > 0 ? taints : null } }),
      },
    },
    ...(fences ? [fenced] : []),
  ]
}

/** Events when the node has just become Unknown or Dead, and of a conflict. */
const told = ({ node }: Judged, conditions: readonly Condition[], after: number): Action[] => {
  const ready = findCondition(conditions, 'Ready')
  const conflict = conflictTold(node, conditions, SOURCE, after)
  const isNews = ready?.reason === SILENT_REASON && findCondition(node.status?.conditions, 'Ready')?.reason !== SILENT_REASON
  if (!isNews) return conflict
  const note = `Node ${node.metadata.name} is out of contact: ${ready.message}`
  return [eventAbout(node, { type: 'Warning', reason: 'NodeUnknown', note, source: SOURCE, after }), ...conflict]
}
