// Rules of a pod's spec, of pods and of pod templates. Source: k8s pkg/apis/core/validation ValidatePodSpec, ValidatePod.

import type { Cause } from './causes.ts'
import { forbidden, invalid, invalidAll, notSupported, oneOf, required } from './causes.ts'
import { validateContainers } from './container-validation.ts'
import { dns1123Label, dns1123Subdomain, inclusiveRange, ipAddress, isIp, qualifiedName } from './names.ts'
import type { PodSpec } from './pod.ts'
import { validateScheduling } from './scheduling-validation.ts'
import { validatePodSecurity } from './security-validation.ts'
import { validateVolumes } from './volume-validation.ts'

const INT32_MAX = 2 ** 31 - 1
const RESTART_POLICIES = ['Always', 'OnFailure', 'Never']
const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']
const NAMESERVERS_MAX = 3
const SEARCHES_MAX = 32
const SEARCH_LENGTH_MAX = 2048

const mustBeOneOf = (path: string, value: string | undefined, supported: readonly string[]): Cause[] => {
  if (!value) return [required(path)]
  return supported.includes(value) ? [] : [notSupported(path, value, supported)]
}

const validateDnsConfig = ({ dnsConfig, dnsPolicy }: PodSpec, path: string): Cause[] => {
  if (dnsPolicy === 'None') {
    if (!dnsConfig) return [required(path, 'must provide `dnsConfig` when `dnsPolicy` is None')]
    if (!dnsConfig.nameservers?.length) {
      return [required(`${path}.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None')]
    }
  }
  const { nameservers = [], searches = [], options = [] } = dnsConfig ?? {}
  const causes: Cause[] = []
  if (nameservers.length > NAMESERVERS_MAX) {
    causes.push(invalid(`${path}.nameservers`, nameservers, `must not have more than ${NAMESERVERS_MAX} nameservers`))
  }
  for (const [i, ip] of nameservers.entries()) if (!isIp(ip)) causes.push(...invalidAll(`${path}.nameservers[${i}]`, ip, ipAddress(ip)))
  if (searches.length > SEARCHES_MAX) {
    causes.push(invalid(`${path}.searches`, searches, `must not have more than ${SEARCHES_MAX} search paths`))
  }
  if (searches.join(' ').length > SEARCH_LENGTH_MAX) {
    const detail = `must not have more than ${SEARCH_LENGTH_MAX} characters (including spaces) in the search list`
    causes.push(invalid(`${path}.searches`, searches, detail))
  }
  for (const [i, search] of searches.entries()) {
    const name = search.replace(/\.$/, '')
    if (search !== '.') causes.push(...invalidAll(`${path}.searches[${i}]`, name, dns1123Subdomain(name)))
  }
  for (const [i, option] of options.entries()) if (!option.name) causes.push(required(`${path}.options[${i}]`, 'must not be empty'))
  return causes
}

const validateHostAliases = (aliases: NonNullable<PodSpec['hostAliases']>, path: string): Cause[] =>
  aliases.flatMap((alias, i) => [
    ...(isIp(alias.ip ?? '') ? [] : invalidAll(`${path}[${i}].ip`, alias.ip, ipAddress(alias.ip ?? ''))),
    ...(alias.hostnames ?? []).flatMap((name, j) => invalidAll(`${path}[${i}].hostnames[${j}]`, name, dns1123Subdomain(name))),
  ])

/** Fields that hold a name of something else. */
const validateNames = (spec: PodSpec, path: string): Cause[] => {
  const causes: Cause[] = []
  for (const field of ['serviceAccountName', 'nodeName', 'priorityClassName', 'runtimeClassName'] as const) {
    const name = spec[field]
    if (name) causes.push(...invalidAll(`${path}.${field}`, name, dns1123Subdomain(name)))
  }
  for (const field of ['hostname', 'subdomain'] as const) {
    const name = spec[field]
    if (name) causes.push(...invalidAll(`${path}.${field}`, name, dns1123Label(name)))
  }
  for (const [i, { conditionType }] of (spec.readinessGates ?? []).entries()) {
    causes.push(...invalidAll(`${path}.readinessGates[${i}].conditionType`, conditionType, qualifiedName(conditionType ?? '')))
  }
  return causes
}

const validateDeadline = ({ activeDeadlineSeconds: seconds }: PodSpec, path: string): Cause[] =>
  seconds === undefined ? [] : invalidAll(path, seconds, inclusiveRange(seconds, 1, INT32_MAX))

/** A pod's or a template's spec, after defaults. */
export const validatePodSpec = (spec: PodSpec, path: string): Cause[] => [
  ...validateVolumes(spec.volumes, `${path}.volumes`),
  ...validateContainers(spec, path),
  ...mustBeOneOf(`${path}.restartPolicy`, spec.restartPolicy, RESTART_POLICIES),
  ...mustBeOneOf(`${path}.dnsPolicy`, spec.dnsPolicy, DNS_POLICIES),
  ...validatePodSecurity(spec, path),
  ...validateScheduling(spec, path),
  ...validateDnsConfig(spec, `${path}.dnsConfig`),
  ...validateNames(spec, path),
  ...validateDeadline(spec, `${path}.activeDeadlineSeconds`),
  ...validateHostAliases(spec.hostAliases ?? [], `${path}.hostAliases`),
  ...oneOf(`${path}.preemptionPolicy`, spec.preemptionPolicy, ['Never', 'PreemptLowerPriority']),
]

/** What only pods must keep, not the templates that are older than the rule. */
export const validatePodOnly = (spec: PodSpec): Cause[] => {
  // They come later, by a subresource of their own, which is not served.
  const causes = spec.ephemeralContainers?.length ? [forbidden('spec.ephemeralContainers', 'cannot be set on create')] : []
  for (const list of ['containers', 'initContainers'] as const) {
    for (const [i, { image = '' }] of (spec[list] ?? []).entries()) {
      if (image === image.trim()) continue
      causes.push(invalid(`spec.${list}[${i}].image`, image, 'must not have leading or trailing whitespace'))
    }
  }
  return causes
}
