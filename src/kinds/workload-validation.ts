// Rules that workloads with a selector and a pod template share (ReplicaSet, Deployment). Source: k8s pkg/apis/apps/validation.

import type { Cause } from './causes.ts'
import { forbidden, invalid, nonNegative, notSupported, required } from './causes.ts'
import type { LabelSelector } from './meta.ts'
import { validateTemplateMeta } from './meta-validation.ts'
import type { PodTemplateSpec } from './pod.ts'
import { validatePodSpec } from './pod-validation.ts'
import { isEmptySelector, matchesLabels, validateLabelSelector } from './selector.ts'

const validateTemplate = (template: PodTemplateSpec, selector: LabelSelector | undefined, path: string): Cause[] => {
  const causes: Cause[] = []
  const labels = template.metadata?.labels
  if (selector && !isEmptySelector(selector) && !matchesLabels(selector, labels)) {
    causes.push(invalid(`${path}.metadata.labels`, labels ?? null, '`selector` does not match template `labels`'))
  }
  causes.push(...validateTemplateMeta(template.metadata, path), ...validatePodSpec(template.spec, `${path}.spec`))
  if (template.spec.restartPolicy !== 'Always') {
    causes.push(notSupported(`${path}.spec.restartPolicy`, template.spec.restartPolicy ?? '', ['Always']))
  }
  if (template.spec.activeDeadlineSeconds !== undefined) {
    causes.push(forbidden(`${path}.spec.activeDeadlineSeconds`, 'activeDeadlineSeconds in ReplicaSet is not Supported'))
  }
  return causes
}

interface Workload {
  readonly replicas?: number
  readonly minReadySeconds?: number
  readonly selector?: LabelSelector
  readonly template?: PodTemplateSpec
}

/** replicas, minReadySeconds, selector, template. */
export const validateWorkload = (spec: Workload): Cause[] => {
  const causes = [...nonNegative('spec.replicas', spec.replicas), ...nonNegative('spec.minReadySeconds', spec.minReadySeconds)]
  if (!spec.selector) causes.push(required('spec.selector'))
  else {
    causes.push(...validateLabelSelector(spec.selector, 'spec.selector'))
    if (isEmptySelector(spec.selector)) causes.push(invalid('spec.selector', spec.selector, 'empty selector is invalid for deployment'))
  }
  if (!spec.template) causes.push(required('spec.template'))
  else causes.push(...validateTemplate(spec.template, spec.selector, 'spec.template'))
  return causes
}

/** Counts of a status: none negative, none above `status.replicas`. */
export const validateCounts = (status: Readonly<Record<string, unknown>>, counts: readonly string[]): Cause[] => {
  const total = typeof status['replicas'] === 'number' ? status['replicas'] : 0
  const causes = nonNegative('status.replicas', total)
  for (const count of counts) {
    const value = status[count]
    if (typeof value !== 'number') continue
    causes.push(...nonNegative(`status.${count}`, value))
    if (value > total) causes.push(invalid(`status.${count}`, value, 'cannot be greater than status.replicas'))
  }
  return causes
}
