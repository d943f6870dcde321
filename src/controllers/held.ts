// Pods that are held at their device, as their workload shows them: they count, nobody replaces them, and whoever waits for them says so.

import { timestamp } from '../base/clock.ts'
import { HELD, holdOf, isHeld } from '../kinds/hold.ts'
import type { Condition } from '../kinds/meta.ts'
import type { Pod } from '../kinds/pod.ts'
import { findCondition, withCondition } from './condition.ts'
import { HELD_NAMES_MAX } from './limits.ts'

const messageOf = (held: readonly Pod[]): string => {
  const named = held.slice(0, HELD_NAMES_MAX).map(pod => `${pod.metadata.name} (${holdOf(pod)})`)
  const more = held.length > named.length ? `, and ${held.length - named.length} more` : ''
  return `held at their devices: ${named.join(', ')}${more}`
}

/** The conditions with HELD as these pods have it; without it when none is held. */
export const withHeld = (conditions: readonly Condition[], pods: readonly Pod[], nowMs: number): Condition[] => {
  const held = pods.filter(isHeld)
  return withHeldMessage(conditions, held.length === 0 ? undefined : messageOf(held), nowMs)
}

/** The conditions with HELD and this message; without it when there is none. */
export const withHeldMessage = (conditions: readonly Condition[], message: string | undefined, nowMs: number): Condition[] => {
  if (message === undefined) return conditions.filter(each => each.type !== HELD)
  return withCondition(conditions, { type: HELD, status: 'True', reason: 'PodsHeld', message }, timestamp(nowMs))
}

/** What one of these objects says of held pods, if any does. */
export const heldMessage = (objects: readonly { readonly status?: { readonly conditions?: readonly Condition[] } }[]): string | undefined =>
  objects.map(each => findCondition(each.status?.conditions, HELD)?.message).find(message => message !== undefined)
