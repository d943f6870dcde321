// The brake: when many nodes fall silent together, the fault is taken to be ours, and nobody touches anything on their account. It is
// recorded as a condition of the Namespace kube-system before any node is called Unknown, so every controller sees it in time.

import { parseTimestamp, timestamp } from '../base/clock.ts'
import { brakeCondition, CONTACT_BRAKE, contactState } from '../kinds/contact.ts'
import type { Condition } from '../kinds/meta.ts'
import type { Namespace } from '../kinds/namespace.ts'
import { withCondition } from './condition.ts'
import type { Action, View } from './controller.ts'
import { BRAKE_FRACTION, BRAKE_LINGER_MS, BRAKE_NODES_MIN } from './limits.ts'
import type { Judged } from './node-contact.ts'
import { isTainted } from './node-taints.ts'
import { eventAbout, patchStatus } from './reference.ts'

export const BRAKE_HOME = 'kube-system'

const homeOf = (view: View): Namespace | undefined => view.get<Namespace>('Namespace', '', BRAKE_HOME)

/** The recorded brake. Without a place to record it, it counts as pulled. */
export const isBraked = (view: View): boolean => {
  const home = homeOf(view)
  return !home || brakeCondition(home)?.status === 'True'
}

/** Milliseconds until pods may be replaced and nodes fenced again: 0 = now, infinite while the brake is on. */
export const brakePauseMs = (view: View, nowMs: number): number => {
  if (isBraked(view)) return Number.POSITIVE_INFINITY
  const released = brakeCondition(homeOf(view))
  if (!released) return 0
  const leftMs = parseTimestamp(released.lastTransitionTime ?? '') + BRAKE_LINGER_MS - nowMs
  // A stamp of the future is a clock that was set back.
  return leftMs > 0 && leftMs <= BRAKE_LINGER_MS ? leftMs : 0
}

export interface Brake {
  readonly isOn: boolean
  readonly note: string
}

/**
 * How many of the nodes that were in contact are not any more. Those that lost contact and are not judged yet count as well: otherwise
 * the first few of a mass failure would be acted on before the rest is noticed. Nodes that are silent by design or declared dead, and
 * those that were given up one by one before, are no part of it.
 */
export const brakeOf = (judged: readonly Judged[]): Brake => {
  const candidates = judged.filter(({ node, state, intervalMs }) => {
    if (state === 'Offline' || state === 'Dead' || isTainted(node)) return false
    return state !== 'undecided' || intervalMs === 0
  })
  // After a restart a node recorded as Unknown is lost until it calls: a brake outlives the server that pulled it.
  const isLost = ({ node, state, wasSeen }: Judged): boolean =>
    state === 'Unknown' || (state === 'undecided' && (wasSeen || contactState(node) === 'Unknown'))
  // Nodes this server has not heard yet are on their way back, or lost with the others: while somebody is to be given up they count as lost.
  const isUnheard = ({ state, wasSeen }: Judged): boolean => state === 'undecided' && !wasSeen
  const isDoubtful = candidates.some(({ state }) => state === 'Unknown')
  const lost = candidates.filter(one => isLost(one) || (isDoubtful && isUnheard(one))).length
  const isOn = lost >= BRAKE_NODES_MIN && lost > candidates.length * BRAKE_FRACTION
  return {
    isOn,
    note: isOn
      ? `${lost} of ${candidates.length} nodes fell silent together: nothing is changed on their account until contact returns`
      : 'contact with the nodes is as usual',
  }
}

/** Writes the brake down and tells of it; nothing when it is recorded so already. The note keeps the numbers of its beginning. */
export const recordBrake = (view: View, brake: Brake, nowMs: number): Action[] => {
  const home = homeOf(view)
  const recorded = home && brakeCondition(home)
  if (!home || (recorded?.status === 'True') === brake.isOn) return []
  const condition: Condition = {
    type: CONTACT_BRAKE,
    status: brake.isOn ? 'True' : 'False',
    reason: brake.isOn ? 'ManySilent' : 'ContactReturned',
    message: brake.note,
  }
  const conditions = withCondition(home.status?.conditions ?? [], condition, timestamp(nowMs))
  const event = brake.isOn
    ? ({ type: 'Warning', reason: 'ContactBrake', note: brake.note } as const)
    : ({ type: 'Normal', reason: 'ContactBrakeReleased', note: brake.note } as const)
  return [patchStatus(home, { ...home.status, conditions }), eventAbout(home, { ...event, source: 'node-controller', after: 0 })]
}
