// Rules of probes and lifecycle hooks. Source: k8s pkg/apis/core/validation.

import type { Cause } from './causes.ts'
import { forbidden, invalid, invalidAll, nonNegative, notSupported, required } from './causes.ts'
import type { IntOrString } from './meta.ts'
import { headerName, portName, portNumber } from './names.ts'
import type { Container, LifecycleHandler, Probe } from './pod.ts'

export const validatePortRef = (port: IntOrString | undefined, path: string): Cause[] => {
  const given = port ?? 0
  return invalidAll(path, given, typeof given === 'number' ? portNumber(given) : portName(given))
}

const validateHttp = (http: NonNullable<Probe['httpGet']>, path: string): Cause[] => {
  const causes = http.path ? [] : [required(`${path}.path`)]
  causes.push(...validatePortRef(http.port, `${path}.port`))
  if (http.scheme !== 'HTTP' && http.scheme !== 'HTTPS') causes.push(notSupported(`${path}.scheme`, http.scheme ?? '', ['HTTP', 'HTTPS']))
  for (const header of http.httpHeaders ?? []) causes.push(...invalidAll(`${path}.httpHeaders`, header.name, headerName(header.name ?? '')))
  return causes
}

type Handler = { readonly [K in 'exec' | 'httpGet' | 'tcpSocket' | 'grpc']?: Probe[K] | undefined } & Pick<LifecycleHandler, 'sleep'>

/** Exactly one way to ask; the first one found is checked, further ones are refused. */
const validateHandler = (handler: Handler, grace: number | undefined, path: string): Cause[] => {
  const checks: [string, Cause[]][] = []
  if (handler.exec) checks.push(['exec', handler.exec.command?.length ? [] : [required(`${path}.exec.command`)]])
  if (handler.httpGet) checks.push(['httpGet', validateHttp(handler.httpGet, `${path}.httpGet`)])
  if (handler.tcpSocket) checks.push(['tcpSocket', validatePortRef(handler.tcpSocket.port, `${path}.tcpSocket.port`)])
  if (handler.grpc) checks.push(['grpc', invalidAll(`${path}.grpc.port`, handler.grpc.port, portNumber(handler.grpc.port))])
  if (handler.sleep) checks.push(['sleep', validateSleep(handler.sleep.seconds, grace, `${path}.sleep`)])
  const [first, ...others] = checks
  if (!first) return [required(path, 'must specify a handler type')]
  return [...first[1], ...others.map(([name]) => forbidden(`${path}.${name}`, 'may not specify more than 1 handler type'))]
}

const validateSleep = (seconds: number, grace: number | undefined, path: string): Cause[] =>
  grace === undefined || (seconds >= 0 && seconds <= grace)
    ? []
    : [invalid(path, seconds, `must be non-negative and less than terminationGracePeriodSeconds (${grace})`)]

const COUNTS = ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'] as const

const validateProbe = (probe: Probe | undefined, path: string): Cause[] => {
  if (!probe) return []
  const causes = validateHandler(probe, undefined, path)
  for (const count of COUNTS) causes.push(...nonNegative(`${path}.${count}`, probe[count]))
  const grace = probe.terminationGracePeriodSeconds
  if (grace !== undefined && grace <= 0) causes.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, 'must be greater than 0'))
  return causes
}

/** Liveness and startup probes succeed at once or not at all. */
const mustSucceedOnce = (probe: Probe | undefined, path: string): Cause[] =>
  probe?.successThreshold !== undefined && probe.successThreshold !== 1
    ? [invalid(`${path}.successThreshold`, probe.successThreshold, 'must be 1')]
    : []

/** All probes and hooks of one container. `grace` is the pod's terminationGracePeriodSeconds. */
export const validateProbes = (container: Container, grace: number | undefined, path: string): Cause[] => {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container
  const causes = [
    ...validateProbe(livenessProbe, `${path}.livenessProbe`),
    ...mustSucceedOnce(livenessProbe, `${path}.livenessProbe`),
    ...validateProbe(readinessProbe, `${path}.readinessProbe`),
    ...validateProbe(startupProbe, `${path}.startupProbe`),
    ...mustSucceedOnce(startupProbe, `${path}.startupProbe`),
  ]
  if (readinessProbe?.terminationGracePeriodSeconds !== undefined) {
    const at = `${path}.readinessProbe.terminationGracePeriodSeconds`
    causes.push(invalid(at, readinessProbe.terminationGracePeriodSeconds, 'must not be set for readinessProbes'))
  }
  for (const hook of ['postStart', 'preStop'] as const) {
    const handler = lifecycle?.[hook]
    if (handler) causes.push(...validateHandler(handler, grace, `${path}.lifecycle.${hook}`))
  }
  return causes
}
