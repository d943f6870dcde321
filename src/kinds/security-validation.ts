// Rules of security contexts, of a container and of a pod. Source: k8s pkg/apis/core/validation.

import type { Cause } from './causes.ts'
import { invalid, invalidAll, notSupported, oneOf, required } from './causes.ts'
import { SUBDOMAIN_LENGTH_MAX } from './limits.ts'
import { inclusiveRange } from './names.ts'
import type { PodSecurityContext, PodSpec, SecurityContext } from './pod.ts'

const ID_MAX = 2 ** 31 - 1
const SYSCTL = '([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?'
const SYSCTL_PATTERN = new RegExp(`^${SYSCTL}$`)

const validateId = (path: string, id: number | undefined): Cause[] =>
  id === undefined ? [] : invalidAll(path, id, inclusiveRange(id, 0, ID_MAX))

const validateSeccomp = (profile: SecurityContext['seccompProfile'], path: string): Cause[] => {
  if (!profile) return []
  if (!profile.type) return [required(`${path}.type`, 'type is required when seccompProfile is set')]
  if (profile.type === 'Localhost') {
    const file = profile.localhostProfile
    if (file === undefined) return [required(`${path}.localhostProfile`, 'must be set when seccomp type is Localhost')]
    if (file.startsWith('/')) return [invalid(`${path}.localhostProfile`, file, 'must be a relative path')]
    return file.split('/').includes('..') ? [invalid(`${path}.localhostProfile`, file, "must not contain '..'")] : []
  }
  if (profile.localhostProfile !== undefined) {
    return [invalid(`${path}.localhostProfile`, profile.localhostProfile, 'can only be set when seccomp type is Localhost')]
  }
  return ['RuntimeDefault', 'Unconfined'].includes(profile.type)
    ? []
    : [notSupported(`${path}.type`, profile.type, ['Localhost', 'RuntimeDefault', 'Unconfined'])]
}

/** One container's. `hostUsers` is the pod's. */
export const validateSecurityContext = (context: SecurityContext | undefined, hostUsers: boolean | undefined, path: string): Cause[] => {
  if (!context) return []
  const causes = [
    ...validateId(`${path}.runAsUser`, context.runAsUser),
    ...validateId(`${path}.runAsGroup`, context.runAsGroup),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
    ...oneOf(`${path}.procMount`, context.procMount, ['Default', 'Unmasked']),
  ]
  if (context.procMount === 'Unmasked' && hostUsers !== false) {
    causes.push(invalid(`${path}.procMount`, context.procMount, '`hostUsers` must be false to use `Unmasked`'))
  }
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged === true) {
      causes.push(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'))
    }
    if (context.capabilities?.add?.some(each => each === 'CAP_SYS_ADMIN')) {
      causes.push(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'))
    }
  }
  return causes
}

const validateSysctls = (sysctls: PodSecurityContext['sysctls'], path: string): Cause[] => {
  const seen = new Set<string>()
  return (sysctls ?? []).flatMap(({ name }, i) => {
    const at = `${path}[${i}].name`
    if (!name) return [required(at)]
    const causes =
      name.length <= SUBDOMAIN_LENGTH_MAX && SYSCTL_PATTERN.test(name)
        ? []
        : [invalid(at, name, `must have at most ${SUBDOMAIN_LENGTH_MAX} characters and match regex ^${SYSCTL}$`)]
    if (seen.has(name)) causes.push({ field: at, type: 'FieldValueDuplicate', detail: `Duplicate value: ${JSON.stringify(name)}` })
    seen.add(name)
    return causes
  })
}

/** The pod's, with the host namespaces it may not combine. */
export const validatePodSecurity = (spec: PodSpec, path: string): Cause[] => {
  const context = spec.securityContext ?? {}
  const at = `${path}.securityContext`
  const causes = [
    ...validateId(`${at}.fsGroup`, context.fsGroup),
    ...validateId(`${at}.runAsUser`, context.runAsUser),
    ...validateId(`${at}.runAsGroup`, context.runAsGroup),
    ...(context.supplementalGroups ?? []).flatMap((group, i) => validateId(`${at}.supplementalGroups[${i}]`, group)),
    ...validateSeccomp(context.seccompProfile, `${at}.seccompProfile`),
    ...oneOf(`${at}.fsGroupChangePolicy`, context.fsGroupChangePolicy, ['Always', 'OnRootMismatch']),
    ...validateSysctls(context.sysctls, `${at}.sysctls`),
  ]
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    causes.push(invalid(`${path}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'))
  }
  if (spec.hostUsers === false) {
    for (const host of ['hostNetwork', 'hostPID', 'hostIPC'] as const) {
      if (spec[host] !== true) continue
      causes.push({ field: `${path}.${host}`, type: 'FieldValueForbidden', detail: 'Forbidden: when `hostUsers` is false' })
    }
  }
  return causes
}
