// Node selectors and tolerations. Source: k8s component-helpers scheduling/corev1 (nodeaffinity, helpers).

import type { Taint } from '../kinds/node.ts'
import type { NodeSelectorTerm, Toleration } from '../kinds/pod.ts'
import { matchesSelector, selectorOf } from '../kinds/selector.ts'
import type { Labels } from './needs.ts'

const NAME_FIELD = 'metadata.name'

/** All expressions and fields of a term hold; an empty term matches nothing. */
export const matchesTerm = (term: NodeSelectorTerm, name: string, labels: Labels): boolean => {
  const expressions = term.matchExpressions ?? []
  const fields = term.matchFields ?? []
  if (expressions.length === 0 && fields.length === 0) return false
  return (
    matchesSelector(selectorOf({ matchExpressions: expressions }), labels) &&
    matchesSelector(selectorOf({ matchExpressions: fields }), { [NAME_FIELD]: name })
  )
}

export const tolerates = (tolerations: readonly Toleration[], taint: Taint): boolean =>
  tolerations.some(toleration => {
    if (toleration.effect && toleration.effect !== taint.effect) return false
    if (toleration.key && toleration.key !== taint.key) return false
    if (toleration.operator === 'Exists') return true
    return Boolean(toleration.key) && (toleration.value ?? '') === (taint.value ?? '')
  })
