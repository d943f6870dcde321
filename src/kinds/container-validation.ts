// Rules of containers, the ordinary and the initial ones. Source: k8s pkg/apis/core/validation.

import type { Cause } from './causes.ts'
import { duplicate, forbidden, invalid, invalidAll, notSupported, oneOf, required } from './causes.ts'
import { validateEnv, validateEnvFrom } from './env-validation.ts'
import { dns1123Label, ipAddress, isIp, portName, portNumber } from './names.ts'
import type { Container, ContainerPort, PodSpec } from './pod.ts'
import { isRestartableInit } from './pod-lookup.ts'
import { validateProbes } from './probe-validation.ts'
import { validateResources } from './resource-validation.ts'
import { validateSecurityContext } from './security-validation.ts'
import { validateMounts } from './volume-validation.ts'

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never']
const PROTOCOLS = ['SCTP', 'TCP', 'UDP']

const validatePorts = (ports: readonly ContainerPort[], path: string): Cause[] => {
  const names = new Set<string>()
  return ports.flatMap((port, i) => {
    const at = `${path}[${i}]`
    const causes: Cause[] = []
    if (port.name) {
      const messages = portName(port.name)
      causes.push(...invalidAll(`${at}.name`, port.name, messages))
      if (messages.length === 0 && names.has(port.name)) causes.push(duplicate(`${at}.name`, port.name))
      names.add(port.name)
    }
    if (!port.containerPort) causes.push(required(`${at}.containerPort`))
    else causes.push(...invalidAll(`${at}.containerPort`, port.containerPort, portNumber(port.containerPort)))
    if (port.hostPort) causes.push(...invalidAll(`${at}.hostPort`, port.hostPort, portNumber(port.hostPort)))
    if (port.hostIP && !isIp(port.hostIP)) causes.push(...invalidAll(`${at}.hostIP`, port.hostIP, ipAddress(port.hostIP)))
    if (!port.protocol) causes.push(required(`${at}.protocol`))
    else causes.push(...oneOf(`${at}.protocol`, port.protocol, PROTOCOLS))
    return causes
  })
}

/** No two containers of a pod may want the same port of the host; on the host's network both numbers are one. */
const validateHostPorts = (containers: readonly Container[], hostNetwork: boolean, path: string): Cause[] => {
  const seen = new Set<string>()
  const causes: Cause[] = []
  for (const [i, container] of containers.entries()) {
    for (const [j, port] of (container.ports ?? []).entries()) {
      if (!port.hostPort) continue
      const at = `${path}[${i}].ports[${j}]`
      const identity = `${port.protocol ?? ''}/${port.hostIP ?? ''}/${port.hostPort}`
      if (seen.has(identity)) causes.push(duplicate(`${at}.hostPort`, identity))
      seen.add(identity)
      if (hostNetwork && port.hostPort !== port.containerPort) {
        causes.push(invalid(`${at}.containerPort`, port.containerPort, 'must match `hostPort` when `hostNetwork` is true'))
      }
    }
  }
  return causes
}

const validateTermination = ({ terminationMessagePolicy: policy }: Container, path: string): Cause[] => {
  if (policy === 'File' || policy === 'FallbackToLogsOnError') return []
  const detail = "must be 'File' or 'FallbackToLogsOnError'"
  return policy ? [invalid(path, policy, detail)] : [required(path, detail)]
}

interface Surroundings {
  readonly spec: PodSpec
  readonly volumes: ReadonlySet<string>
  /** Names taken so far in the whole pod. */
  readonly names: Set<string>
}

const validateContainer = (container: Container, { spec, volumes, names }: Surroundings, path: string): Cause[] => {
  const causes: Cause[] = []
  if (!container.name) causes.push(required(`${path}.name`))
  else causes.push(...invalidAll(`${path}.name`, container.name, dns1123Label(container.name)))
  if (names.has(container.name)) causes.push(duplicate(`${path}.name`, container.name))
  names.add(container.name)
  if (!container.image) causes.push(required(`${path}.image`))
  return [
    ...causes,
    ...validateProbes(container, spec.terminationGracePeriodSeconds, path),
    ...validateTermination(container, `${path}.terminationMessagePolicy`),
    ...validatePorts(container.ports ?? [], `${path}.ports`),
    ...validateEnv(container.env, `${path}.env`),
    ...validateEnvFrom(container.envFrom, `${path}.envFrom`),
    ...validateMounts(container, volumes, `${path}.volumeMounts`),
    ...(container.imagePullPolicy
      ? oneOf(`${path}.imagePullPolicy`, container.imagePullPolicy, PULL_POLICIES)
      : [required(`${path}.imagePullPolicy`)]),
    ...validateResources(container.resources, `${path}.resources`),
    ...validateSecurityContext(container.securityContext, spec.hostUsers, `${path}.securityContext`),
  ]
}

/** An init container that ends has nothing to be probed; one that stays (a sidecar) has. */
const validateInitOnly = (container: Container, path: string): Cause[] => {
  const causes: Cause[] = []
  if (container.restartPolicy !== undefined && container.restartPolicy !== 'Always') {
    causes.push(notSupported(`${path}.restartPolicy`, container.restartPolicy, ['Always']))
  }
  if (isRestartableInit(container)) return causes
  for (const part of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    if (container[part]) causes.push(forbidden(`${path}.${part}`, 'may not be set for init containers without restartPolicy=Always'))
  }
  return causes
}

/** All containers of a pod's spec. */
export const validateContainers = (spec: PodSpec, path: string): Cause[] => {
  const around: Surroundings = { spec, volumes: new Set((spec.volumes ?? []).map(each => each.name)), names: new Set() }
  const hostNetwork = spec.hostNetwork === true
  const causes: Cause[] = []
  if (spec.containers.length === 0) causes.push(required(`${path}.containers`))
  for (const [i, container] of spec.containers.entries()) {
    const at = `${path}.containers[${i}]`
    causes.push(...validateContainer(container, around, at))
    if (container.restartPolicy) causes.push(forbidden(`${at}.restartPolicy`, 'may not be set for non-init containers'))
  }
  causes.push(...validateHostPorts(spec.containers, hostNetwork, `${path}.containers`))
  for (const [i, container] of (spec.initContainers ?? []).entries()) {
    const at = `${path}.initContainers[${i}]`
    causes.push(...validateContainer(container, around, at), ...validateInitOnly(container, at))
  }
  return [...causes, ...validateHostPorts(spec.initContainers ?? [], hostNetwork, `${path}.initContainers`)]
}
