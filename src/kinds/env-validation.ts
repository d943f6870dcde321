// Rules of environment variables and of references into the pod itself (downward API). Source: k8s pkg/apis/core/validation.

import type { Cause } from './causes.ts'
import { invalid, invalidAll, notSupported, required } from './causes.ts'
import { configKey, envName, qualifiedName } from './names.ts'
import type { EnvFromSource, EnvVar, EnvVarSource, KeySelector } from './pod.ts'
import { quantityMillis } from './quantity.ts'

/** What `fieldRef` may name in an environment variable, and in a volume. */
export const ENV_FIELD_PATHS: readonly string[] = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
]
export const VOLUME_FIELD_PATHS: readonly string[] = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
]

const RESOURCE_NAMES = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
]

const UNKNOWN_SUBSCRIPT = 'does not support subscript'

/** `metadata.labels['key']` names one label or annotation. */
const validateSubscript = (path: string, fieldPath: string, base: string, key: string): Cause[] => {
  if (base === 'metadata.annotations') return invalidAll(path, key, qualifiedName(key.toLowerCase()))
  if (base === 'metadata.labels') return invalidAll(path, key, qualifiedName(key))
  return [invalid(path, fieldPath, UNKNOWN_SUBSCRIPT)]
}

export const validateFieldRef = (ref: NonNullable<EnvVarSource['fieldRef']>, supported: readonly string[], path: string): Cause[] => {
  if (!ref.apiVersion) return [required(`${path}.apiVersion`)]
  if (!ref.fieldPath) return [required(`${path}.fieldPath`)]
  const subscript = /^(.+)\['([^']*)'\]$/.exec(ref.fieldPath)
  if (subscript) return validateSubscript(`${path}.fieldPath`, ref.fieldPath, subscript[1] ?? '', subscript[2] ?? '')
  if (supported.includes(ref.fieldPath)) return []
  const known = [...ENV_FIELD_PATHS, ...VOLUME_FIELD_PATHS].includes(ref.fieldPath)
  return known
    ? [notSupported(`${path}.fieldPath`, ref.fieldPath, supported)]
    : [invalid(`${path}.fieldPath`, ref.fieldPath, `error converting fieldPath: field label not supported: ${ref.fieldPath}`)]
}

/** Divisors upstream allows, in thousandths. */
const DIVISORS: Readonly<Record<string, readonly number[]>> = {
  cpu: [1, 1000],
  bytes: [1, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18, 1024, 1024 ** 2, 1024 ** 3, 1024 ** 4, 1024 ** 5, 1024 ** 6].map(each => each * 1000),
}

const validateDivisor = (resource: string, divisor: string, path: string): Cause[] => {
  const millis = quantityMillis(divisor)
  if (millis === 0) return []
  const cpu = resource.endsWith('.cpu')
  if ((cpu ? DIVISORS['cpu'] : DIVISORS['bytes'])?.includes(millis)) return []
  const allowed = cpu
    ? "only divisor's values 1m and 1 are supported with the cpu resource"
    : "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource"
  return [invalid(path, divisor, allowed)]
}

/** In a volume the container must be named; in a variable it is the variable's own. */
export const validateResourceRef = (ref: NonNullable<EnvVarSource['resourceFieldRef']>, inVolume: boolean, path: string): Cause[] => {
  if (inVolume && !ref.containerName) return [required(`${path}.containerName`)]
  if (!ref.resource) return [required(`${path}.resource`)]
  const huge = /^(limits|requests)\.hugepages-/.test(ref.resource)
  if (!huge && !RESOURCE_NAMES.includes(ref.resource)) return [notSupported(`${path}.resource`, ref.resource, RESOURCE_NAMES)]
  return ref.divisor === undefined ? [] : validateDivisor(ref.resource, ref.divisor, `${path}.divisor`)
}

const validateKeySelector = (selector: KeySelector, path: string): Cause[] => [
  ...(selector.name ? [] : [required(`${path}.name`)]),
  ...(selector.key ? invalidAll(`${path}.key`, selector.key, configKey(selector.key)) : [required(`${path}.key`)]),
]

const validateValueFrom = (env: EnvVar, source: EnvVarSource, path: string): Cause[] => {
  const causes: Cause[] = []
  if (source.fieldRef) causes.push(...validateFieldRef(source.fieldRef, ENV_FIELD_PATHS, `${path}.fieldRef`))
  if (source.resourceFieldRef) causes.push(...validateResourceRef(source.resourceFieldRef, false, `${path}.resourceFieldRef`))
  if (source.configMapKeyRef) causes.push(...validateKeySelector(source.configMapKeyRef, `${path}.configMapKeyRef`))
  if (source.secretKeyRef) causes.push(...validateKeySelector(source.secretKeyRef, `${path}.secretKeyRef`))
  const count = [source.fieldRef, source.resourceFieldRef, source.configMapKeyRef, source.secretKeyRef].filter(Boolean).length
  if (count === 0) {
    causes.push(invalid(path, '', 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`'))
  } else if (env.value) causes.push(invalid(path, '', 'may not be specified when `value` is not empty'))
  else if (count > 1) causes.push(invalid(path, '', 'may not have more than one field specified at a time'))
  return causes
}

export const validateEnv = (vars: readonly EnvVar[] | undefined, path: string): Cause[] =>
  (vars ?? []).flatMap((env, i) => [
    ...(env.name ? invalidAll(`${path}[${i}].name`, env.name, envName(env.name)) : [required(`${path}[${i}].name`)]),
    ...(env.valueFrom ? validateValueFrom(env, env.valueFrom, `${path}[${i}].valueFrom`) : []),
  ])

export const validateEnvFrom = (sources: readonly EnvFromSource[] | undefined, path: string): Cause[] =>
  (sources ?? []).flatMap((source, i) => {
    const at = `${path}[${i}]`
    const causes = source.prefix ? invalidAll(`${at}.prefix`, source.prefix, envName(source.prefix)) : []
    if (source.configMapRef && !source.configMapRef.name) causes.push(required(`${at}.configMapRef.name`))
    if (source.secretRef && !source.secretRef.name) causes.push(required(`${at}.secretRef.name`))
    if (!source.configMapRef && !source.secretRef) causes.push(invalid(path, '', 'must specify one of: `configMapRef` or `secretRef`'))
    if (source.configMapRef && source.secretRef) causes.push(invalid(path, '', 'may not have more than one field specified at a time'))
    return causes
  })
