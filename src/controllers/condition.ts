// Conditions as values. A transition time moves only when the status does. Source: k8s API conventions, "Typical status properties".

import type { Condition } from '../kinds/meta.ts'

export const findCondition = (conditions: readonly Condition[] | undefined, type: string): Condition | undefined =>
  conditions?.find(condition => condition.type === type)

/** As upstream's deployment controller: a condition that changed goes to the end of the list. */
export const withConditionLast = (conditions: readonly Condition[], condition: Condition, now: string): Condition[] => {
  const { type } = condition
  const next = withCondition(conditions, condition, now)
  return [...next.filter(each => each.type !== type), ...next.filter(each => each.type === type)]
}

/** The list with this condition in place of the one of its type; the time of the last transition survives an unchanged status. */
export const withCondition = (conditions: readonly Condition[], condition: Condition, now: string): Condition[] => {
  const old = findCondition(conditions, condition.type)
  const lastTransitionTime = old?.status === condition.status ? (old.lastTransitionTime ?? now) : now
  const next = { ...condition, lastTransitionTime }
  return old ? conditions.map(other => (other === old ? next : other)) : [...conditions, next]
}
