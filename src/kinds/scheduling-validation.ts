// Rules of what steers a pod to a node: selector, affinity, tolerations, spread. Source: k8s pkg/apis/core/validation.

import type { Cause } from './causes.ts'
import { duplicate, forbidden, invalid, invalidAll, notSupported, oneOf, required } from './causes.ts'
import type { LabelSelector } from './meta.ts'
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from './names.ts'
import type { Affinity, NodeSelectorTerm, PodAffinityTerm, PodSpec, Toleration } from './pod.ts'
import { validateLabelSelector, validateLabels } from './selector.ts'

type Expression = NonNullable<NodeSelectorTerm['matchExpressions']>[number]

const validateExpression = ({ key, operator, values = [] }: Expression, path: string): Cause[] => {
  const causes: Cause[] = []
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length === 0) causes.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"))
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values.length > 0) causes.push(forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
  } else if (operator === 'Gt' || operator === 'Lt') {
    if (values.length !== 1) causes.push(required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
  } else causes.push(invalid(`${path}.operator`, operator, 'not a valid selector operator'))
  return [...causes, ...invalidAll(`${path}.key`, key, qualifiedName(key ?? ''))]
}

const validateField = ({ key, operator, values = [] }: Expression, path: string): Cause[] => {
  const causes: Cause[] = []
  if (operator === 'In' || operator === 'NotIn') {
    const detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
    if (values.length !== 1) causes.push(required(`${path}.values`, detail))
  } else causes.push(invalid(`${path}.operator`, operator, 'not a valid selector operator'))
  if (key !== 'metadata.name') return [...causes, invalid(`${path}.key`, key, 'not a valid field selector key')]
  return [...causes, ...values.flatMap((name, i) => invalidAll(`${path}.values[${i}]`, name, dns1123Subdomain(name)))]
}

const validateNodeTerm = (term: NodeSelectorTerm, path: string): Cause[] => [
  ...(term.matchExpressions ?? []).flatMap((each, i) => validateExpression(each, `${path}.matchExpressions[${i}]`)),
  ...(term.matchFields ?? []).flatMap((each, i) => validateField(each, `${path}.matchFields[${i}]`)),
]

const validateWeight = (weight: number, path: string): Cause[] =>
  weight >= 1 && weight <= 100 ? [] : [invalid(`${path}.weight`, weight, 'must be in the range 1-100')]

const REQUIRED = 'requiredDuringSchedulingIgnoredDuringExecution'
const PREFERRED = 'preferredDuringSchedulingIgnoredDuringExecution'

const validateNodeAffinity = (affinity: NonNullable<Affinity['nodeAffinity']>, path: string): Cause[] => {
  const terms = affinity[REQUIRED]?.nodeSelectorTerms
  const causes = (terms ?? []).flatMap((term, i) => validateNodeTerm(term, `${path}.${REQUIRED}.nodeSelectorTerms[${i}]`))
  if (affinity[REQUIRED] && !terms?.length) {
    causes.push(required(`${path}.${REQUIRED}.nodeSelectorTerms`, 'must have at least one node selector term'))
  }
  for (const [i, { weight, preference }] of (affinity[PREFERRED] ?? []).entries()) {
    const at = `${path}.${PREFERRED}[${i}]`
    causes.push(...validateWeight(weight, at), ...validateNodeTerm(preference ?? {}, `${at}.preference`))
  }
  return causes
}

const validatePodTerm = (term: PodAffinityTerm, path: string): Cause[] => [
  ...validateLabelSelector(term.labelSelector, `${path}.labelSelector`),
  ...validateLabelSelector(term.namespaceSelector, `${path}.namespaceSelector`),
  ...(term.namespaces ?? []).flatMap(name => invalidAll(`${path}.namespace`, name, dns1123Label(name))),
  ...(term.topologyKey ? [] : [required(`${path}.topologyKey`, 'can not be empty')]),
  ...invalidAll(`${path}.topologyKey`, term.topologyKey, qualifiedName(term.topologyKey ?? '')),
]

const validatePodAffinity = (affinity: NonNullable<Affinity['podAffinity']>, path: string): Cause[] => [
  ...(affinity[REQUIRED] ?? []).flatMap((term, i) => validatePodTerm(term, `${path}.${REQUIRED}[${i}]`)),
  ...(affinity[PREFERRED] ?? []).flatMap(({ weight, podAffinityTerm }, i) => [
    ...validateWeight(weight, `${path}.${PREFERRED}[${i}]`),
    ...validatePodTerm(podAffinityTerm ?? { topologyKey: '' }, `${path}.${PREFERRED}[${i}].podAffinityTerm`),
  ]),
]

const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute']

const validateToleration = (toleration: Toleration, path: string): Cause[] => {
  const { key, operator = '', value = '', effect = '', tolerationSeconds } = toleration
  const causes = key ? invalidAll(`${path}.key`, key, qualifiedName(key)) : []
  if (!key && operator !== 'Exists') {
    const detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
    causes.push(invalid(`${path}.operator`, operator, detail))
  }
  if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
    causes.push(invalid(`${path}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
  }
  if (operator === 'Equal' || operator === '') {
    const messages = labelValue(value)
    if (messages.length > 0) causes.push(invalid(`${path}.operator`, value, messages.join(';')))
  } else if (operator !== 'Exists') causes.push(notSupported(`${path}.operator`, operator, ['Equal', 'Exists']))
  else if (value !== '') causes.push(invalid(`${path}.operator`, toleration, "value must be empty when `operator` is 'Exists'"))
  return [...causes, ...(effect === '' ? [] : oneOf(`${path}.effect`, effect, EFFECTS))]
}

export const validateTolerations = (tolerations: readonly Toleration[] | undefined, path: string): Cause[] =>
  (tolerations ?? []).flatMap((each, i) => validateToleration(each, `${path}[${i}]`))

interface SpreadConstraint {
  readonly maxSkew?: number
  readonly topologyKey?: string
  readonly whenUnsatisfiable?: string
  readonly labelSelector?: LabelSelector
  readonly minDomains?: number
}

const validateSpread = (constraints: readonly SpreadConstraint[], path: string): Cause[] => {
  const seen = new Set<string>()
  return constraints.flatMap((constraint, i) => {
    const { maxSkew = 0, topologyKey = '', whenUnsatisfiable = '', minDomains, labelSelector } = constraint
    const at = `${path}[${i}]`
    const causes = maxSkew > 0 ? [] : [invalid(`${at}.maxSkew`, maxSkew, 'must be greater than zero')]
    if (topologyKey === '') causes.push(required(`${at}.topologyKey`, 'can not be empty'))
    else causes.push(...invalidAll(`${at}.topologyKey`, topologyKey, qualifiedName(topologyKey)))
    causes.push(...oneOf(`${at}.whenUnsatisfiable`, whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway']))
    const pair = `{${topologyKey}, ${whenUnsatisfiable}}`
    if (seen.has(pair)) causes.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair))
    seen.add(pair)
    if (minDomains !== undefined && minDomains <= 0) causes.push(invalid(`${at}.minDomains`, minDomains, 'must be greater than zero'))
    return [...causes, ...validateLabelSelector(labelSelector, `${at}.labelSelector`)]
  })
}

const validateGates = (spec: PodSpec, path: string): Cause[] => {
  const seen = new Set<string>()
  const causes = (spec.schedulingGates ?? []).flatMap(({ name }, i) => {
    const at = `${path}.schedulingGates[${i}]`
    const found = invalidAll(at, name, qualifiedName(name ?? ''))
    if (seen.has(name)) found.push(duplicate(`${at}.name`, name))
    seen.add(name)
    return found
  })
  if (seen.size > 0 && spec.nodeName) {
    causes.push(forbidden(`${path}.nodeName`, 'cannot be set until all schedulingGates have been cleared'))
  }
  return causes
}

/** Everything the scheduler reads. */
export const validateScheduling = (spec: PodSpec, path: string): Cause[] => {
  const { nodeAffinity, podAffinity, podAntiAffinity } = spec.affinity ?? {}
  return [
    ...validateLabels(spec.nodeSelector, `${path}.nodeSelector`),
    ...(nodeAffinity ? validateNodeAffinity(nodeAffinity, `${path}.affinity.nodeAffinity`) : []),
    ...(podAffinity ? validatePodAffinity(podAffinity, `${path}.affinity.podAffinity`) : []),
    ...(podAntiAffinity ? validatePodAffinity(podAntiAffinity, `${path}.affinity.podAntiAffinity`) : []),
    ...validateTolerations(spec.tolerations, `${path}.tolerations`),
    ...validateSpread(spec.topologySpreadConstraints ?? [], `${path}.topologySpreadConstraints`),
    ...validateGates(spec, path),
  ]
}
