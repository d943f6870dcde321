// A node whose device holds what the server, restored from a backup, does not know: shown as a condition while it lasts, told once. What the
// device has not said yet changes nothing. See kinds/conflict.ts.

import { CONFLICT, conflictMessage, SERVER_RESTORED } from '../kinds/conflict.ts'
import type { Condition } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
import { findCondition, withCondition } from './condition.ts'
import type { Action, Contact } from './controller.ts'
import { eventAbout } from './reference.ts'

/** The node's conditions, with the one of a conflict as it should be. */
export const withConflict = (
  node: Node,
  conflict: Contact['conflict'],
  conditions: readonly Condition[],
  now: string,
): readonly Condition[] => {
  if (conflict === undefined) return conditions
  const old = findCondition(conditions, CONFLICT)
  if (conflict === null) return old ? conditions.filter(each => each !== old) : conditions
  const message = conflictMessage(node.metadata.name ?? '', conflict)
  return withCondition(conditions, { type: CONFLICT, status: 'True', reason: SERVER_RESTORED, message }, now)
}

/** An Event when the node came into a conflict, or into another one. */
export const conflictTold = (node: Node, conditions: readonly Condition[], source: string, after: number): Action[] => {
  const conflict = findCondition(conditions, CONFLICT)
  if (!conflict || conflict.message === findCondition(node.status?.conditions, CONFLICT)?.message) return []
  const note = `Node ${node.metadata.name}: ${conflict.message}`
  return [eventAbout(node, { type: 'Warning', reason: SERVER_RESTORED, note, source, after })]
}
