// Label selectors against labels (metav1.LabelSelector). An absent selector matches nothing, an empty one everything.

import type { LabelSelector, LabelSelectorRequirement } from '../kinds/meta.ts'

type Labels = Readonly<Record<string, string>> | undefined

const matchesRequirement = (requirement: LabelSelectorRequirement, labels: Labels): boolean => {
  const value = labels?.[requirement.key]
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && (requirement.values ?? []).includes(value)
    case 'NotIn':
      return value === undefined || !(requirement.values ?? []).includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    default:
      return false
  }
}

/** An unknown operator matches nothing: a rule that is not understood must not select. */
export const matchesSelector = (selector: LabelSelector | undefined, labels: Labels): boolean => {
  if (!selector) return false
  for (const key in selector.matchLabels) if (labels?.[key] !== selector.matchLabels[key]) return false
  return (selector.matchExpressions ?? []).every(requirement => matchesRequirement(requirement, labels))
}

/** True for a selector that selects everything; controllers refuse to act on one. */
export const isEmptySelector = (selector: LabelSelector | undefined): boolean =>
  !selector || (Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0)
