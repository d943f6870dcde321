// What a pod gets when its manifest is silent. Source: k8s pkg/apis/core/v1/defaults.go. Not here, on purpose: the tolerations of 300 s for
// not-ready and unreachable nodes. Upstream adds them at admission, and they evict pods from a node that is only silent; here losing
// contact never moves work unless the workload says so (invariant 1, calm).

import type { Container, LifecycleHandler, Pod, PodSpec, PodTemplateSpec, Probe, Volume } from './pod.ts'
import { allContainers } from './pod-lookup.ts'

const DEFAULT_MODE = 420

/** `latest`, spelled out or not, is pulled each time; a digest or another tag is not. */
export const defaultPullPolicy = (image: string): string => {
  if (image.includes('@')) return 'IfNotPresent'
  const tag = image.slice(image.lastIndexOf('/') + 1).split(':')[1]
  return tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent'
}

const setHttpDefaults = (http: NonNullable<Probe['httpGet']> | undefined): void => {
  if (!http) return
  http.path ||= '/'
  http.scheme ||= 'HTTP'
}

const setProbeDefaults = (probe: Probe | undefined): void => {
  if (!probe) return
  setHttpDefaults(probe.httpGet)
  if (probe.grpc) probe.grpc.service ??= ''
  probe.timeoutSeconds ||= 1
  probe.periodSeconds ||= 10
  probe.successThreshold ||= 1
  probe.failureThreshold ||= 3
}

const setHandlerDefaults = (handler: LifecycleHandler | undefined): void => setHttpDefaults(handler?.httpGet)

/** A limit without a request is also the request. */
const setResourceDefaults = (container: Container): void => {
  const resources = container.resources ?? {}
  for (const [name, limit] of Object.entries(resources.limits ?? {})) {
    resources.requests ??= {}
    resources.requests[name] ??= limit
  }
}

const setContainerDefaults = (container: Container): void => {
  container.resources ??= {}
  container.imagePullPolicy ||= defaultPullPolicy(container.image ?? '')
  container.terminationMessagePath ||= '/dev/termination-log'
  container.terminationMessagePolicy ||= 'File'
  for (const port of container.ports ?? []) port.protocol ||= 'TCP'
  for (const env of container.env ?? []) {
    if (env.valueFrom?.fieldRef) env.valueFrom.fieldRef.apiVersion ||= 'v1'
    if (env.valueFrom?.resourceFieldRef) env.valueFrom.resourceFieldRef.divisor ||= '0'
  }
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) setProbeDefaults(probe)
  setHandlerDefaults(container.lifecycle?.postStart)
  setHandlerDefaults(container.lifecycle?.preStop)
}

/** A volume with a name only is an emptyDir. */
const hasSource = (volume: Volume): boolean => Object.keys(volume).some(key => key !== 'name' && volume[key] !== undefined)

interface DownwardItem {
  fieldRef?: { apiVersion?: string; fieldPath: string }
  resourceFieldRef?: { divisor?: string } | undefined
}

const setItemDefaults = (items: readonly DownwardItem[]): void => {
  for (const item of items) {
    if (item.fieldRef) item.fieldRef.apiVersion ||= 'v1'
    if (item.resourceFieldRef) item.resourceFieldRef.divisor ||= '0'
  }
}

const setProjectedDefaults = (volume: NonNullable<Volume['projected']>): void => {
  volume.defaultMode ??= DEFAULT_MODE
  for (const source of volume.sources ?? []) {
    const token = source['serviceAccountToken'] as { expirationSeconds?: number } | undefined
    if (token) token.expirationSeconds ??= 3600
    const downward = source['downwardAPI'] as { items?: DownwardItem[] } | undefined
    setItemDefaults(downward?.items ?? [])
  }
}

const setVolumeDefaults = (volume: Volume): void => {
  if (!hasSource(volume)) volume.emptyDir = {}
  if (volume.configMap) volume.configMap.defaultMode ??= DEFAULT_MODE
  if (volume.secret) volume.secret.defaultMode ??= DEFAULT_MODE
  if (volume.hostPath) volume.hostPath.type ??= ''
  if (volume.downwardAPI) {
    volume.downwardAPI.defaultMode ??= DEFAULT_MODE
    setItemDefaults(volume.downwardAPI.items ?? [])
  }
  if (volume.projected) setProjectedDefaults(volume.projected)
}

/** Defaults of a pod's or a pod template's spec; changes it in place. */
export const setPodSpecDefaults = (spec: PodSpec): void => {
  spec.containers ??= []
  spec.restartPolicy ||= 'Always'
  spec.terminationGracePeriodSeconds ??= 30
  spec.dnsPolicy ||= 'ClusterFirst'
  spec.securityContext ??= {}
  spec.schedulerName ||= 'default-scheduler'
  // Old and new spelling of the same field; upstream keeps both.
  if (spec.serviceAccountName) spec.serviceAccount = spec.serviceAccountName
  else if (spec.serviceAccount) spec.serviceAccountName = spec.serviceAccount
  for (const container of allContainers(spec)) setContainerDefaults(container)
  for (const volume of spec.volumes ?? []) setVolumeDefaults(volume)
}

/** Defaults of a workload's template, where it has one. */
export const setTemplateDefaults = (template: PodTemplateSpec | undefined): void => {
  if (!template) return
  template.spec ??= { containers: [] }
  setPodSpecDefaults(template.spec)
}

/** Defaults of a Pod: a template's, and those that upstream leaves to the pod itself so that templates stay as they were written. */
export const setPodDefaults = (pod: Pod): void => {
  pod.spec ??= { containers: [] }
  pod.spec.enableServiceLinks ??= true
  setPodSpecDefaults(pod.spec)
  for (const container of [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]) {
    setResourceDefaults(container)
    if (pod.spec.hostNetwork !== true) continue
    for (const port of container.ports ?? []) port.hostPort ||= port.containerPort
  }
  pod.status ??= {}
  pod.status.phase ??= 'Pending'
}
