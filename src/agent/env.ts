// A container's environment: image, then envFrom, then env in order, with $(VAR) expansion. Pure.
// Source: k8s core/v1 EnvVar, third_party/forked/golang/expansion; kubelet makeEnvironmentVariables.

import { isCIdentifier } from '../kinds/names.ts'
import type { Container, EnvVar, Pod } from '../kinds/pod.ts'
import { base64Text } from './base64.ts'
import { namespaceOf, type Surroundings } from './device.ts'
import { fieldValue, type PodFacts, resourceValue } from './field-ref.ts'

/** A variable could not be made; the text is fit for CreateContainerConfigError. */
export interface ConfigProblem {
  readonly problem: string
}

export const isProblem = <T extends object>(value: T | ConfigProblem): value is ConfigProblem => 'problem' in value

/** `$(VAR)` becomes its value when there is one, `$$` is a dollar sign, anything else stays. */
export const expand = (text: string, lookup: (name: string) => string | undefined): string =>
  text.replace(/\$(\$|\(([^()]*)\))/g, (whole: string, mark: string, name: string | undefined) =>
    mark === '$' ? '$' : (lookup(name ?? '') ?? whole),
  )

const fromSources = (pod: Pod, container: Container, around: Surroundings, into: Map<string, string>): ConfigProblem | undefined => {
  const namespace = namespaceOf(pod)
  for (const source of container.envFrom ?? []) {
    const [kind, ref] = source.secretRef ? (['secret', source.secretRef] as const) : (['configmap', source.configMapRef] as const)
    if (!ref) continue
    const name = ref.name ?? ''
    const found = kind === 'secret' ? around.secret(namespace, name) : around.configMap(namespace, name)
    if (!found) {
      if (ref.optional) continue
      return { problem: `${kind} "${name}" not found` }
    }
    for (const key of Object.keys(found.data ?? {}).sort()) {
      const variable = `${source.prefix ?? ''}${key}`
      const value = found.data?.[key] ?? ''
      if (isCIdentifier(variable) || /^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(variable))
        into.set(variable, kind === 'secret' ? base64Text(value) : value)
    }
  }
  return undefined
}

const valueFrom = (
  pod: Pod,
  container: Container,
  variable: EnvVar,
  around: Surroundings,
  facts: PodFacts,
): { value?: string } | ConfigProblem => {
  const from = variable.valueFrom ?? {}
  const namespace = namespaceOf(pod)
  const selector = from.configMapKeyRef ?? from.secretKeyRef
  if (selector) {
    const kind = from.configMapKeyRef ? 'configmap' : 'secret'
    const name = selector.name ?? ''
    const found = from.configMapKeyRef ? around.configMap(namespace, name) : around.secret(namespace, name)
    if (!found) return selector.optional ? {} : { problem: `${kind} "${name}" not found` }
    const value = found.data?.[selector.key]
    if (value === undefined) {
      const kindText = from.configMapKeyRef ? 'ConfigMap' : 'Secret'
      return selector.optional ? {} : { problem: `couldn't find key ${selector.key} in ${kindText} ${namespace}/${name}` }
    }
    return { value: from.configMapKeyRef ? value : base64Text(value) }
  }
  if (from.fieldRef) {
    const value = fieldValue(pod, from.fieldRef.fieldPath, facts)
    return value === undefined ? { problem: `unsupported fieldPath: ${from.fieldRef.fieldPath}` } : { value }
  }
  if (from.resourceFieldRef) {
    const value = resourceValue(pod, from.resourceFieldRef, container.name, facts)
    return value === undefined ? { problem: `unsupported container resource: ${from.resourceFieldRef.resource}` } : { value }
  }
  return {}
}

/** Variables by name, in the order they are given to the process. */
export const environment = (
  pod: Pod,
  container: Container,
  imageEnv: readonly string[],
  around: Surroundings,
  facts: PodFacts,
): { readonly own: ReadonlyMap<string, string>; readonly all: readonly string[] } | ConfigProblem => {
  const own = new Map<string, string>()
  const problem = fromSources(pod, container, around, own)
  if (problem) return problem
  for (const variable of container.env ?? []) {
    if (!variable.valueFrom) {
      own.set(
        variable.name,
        expand(variable.value ?? '', name => own.get(name)),
      )
      continue
    }
    const result = valueFrom(pod, container, variable, around, facts)
    if (isProblem(result)) return result
    if (result.value !== undefined) own.set(variable.name, result.value)
  }
  const all = new Map<string, string>()
  for (const entry of imageEnv) {
    const at = entry.indexOf('=')
    if (at > 0) all.set(entry.slice(0, at), entry.slice(at + 1))
  }
  for (const [name, value] of own) all.set(name, value)
  if (!all.has('PATH')) all.set('PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
  if (!all.has('HOSTNAME')) all.set('HOSTNAME', facts.hostname)
  return { own, all: [...all].map(([name, value]) => `${name}=${value}`) }
}
