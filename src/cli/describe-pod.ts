// A pod for people. Source: kubectl describe (describePod, describeContainers).

import { SUPERSEDED } from '../kinds/disconnection.ts'
import { HOLD } from '../kinds/hold.ts'
import type { Container, ContainerState, ContainerStatus, Pod, Probe } from '../kinds/pod.ts'
import { qosClassOf } from '../kinds/pod-lookup.ts'
import { annotationLines, indented, type Lines, labelLines, stacked, timeText } from './describe-text.ts'
import { volumeLines } from './describe-volumes.ts'

const quantities = (key: string, amounts: Readonly<Record<string, string>> | undefined): Lines => {
  const rows = Object.entries(amounts ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  return rows.length === 0 ? [] : [`${key}:`, ...indented(rows.map(([name, amount]) => `${name}:\t${amount}`))]
}

const stateLines = (key: string, state: ContainerState | undefined): Lines => {
  const { running, waiting, terminated } = state ?? {}
  if (running) return [`${key}:\tRunning`, `  Started:\t${timeText(running.startedAt)}`]
  if (terminated)
    return [
      `${key}:\tTerminated`,
      ...(terminated.reason ? [`  Reason:\t${terminated.reason}`] : []),
      ...(terminated.message ? [`  Message:\t${terminated.message}`] : []),
      `  Exit Code:\t${terminated.exitCode}`,
      ...(terminated.signal ? [`  Signal:\t${terminated.signal}`] : []),
      `  Started:\t${timeText(terminated.startedAt)}`,
      `  Finished:\t${timeText(terminated.finishedAt)}`,
    ]
  return [
    `${key}:\tWaiting`,
    ...(waiting?.reason ? [`  Reason:\t${waiting.reason}`] : []),
    ...(waiting?.message ? [`  Message:\t${waiting.message}`] : []),
  ]
}

const probeText = (probe: Probe): string => {
  const { httpGet, tcpSocket, exec, grpc } = probe
  const how = httpGet
    ? `http-get ${(httpGet.scheme ?? 'HTTP').toLowerCase()}://${httpGet.host ?? ''}:${httpGet.port}${httpGet.path ?? '/'}`
    : tcpSocket
      ? `tcp-socket ${tcpSocket.host ?? ''}:${tcpSocket.port}`
      : exec
        ? `exec [${(exec.command ?? []).join(' ')}]`
        : grpc
          ? `grpc <pod>:${grpc.port}`
          : 'unknown'
  return `${how} delay=${probe.initialDelaySeconds ?? 0}s timeout=${probe.timeoutSeconds ?? 1}s period=${probe.periodSeconds ?? 10}s #success=${probe.successThreshold ?? 1} #failure=${probe.failureThreshold ?? 3}`
}

const optionalText = (ref: { readonly optional?: boolean } | undefined): string => `\tOptional: ${ref?.optional === true}`

/** What a field reference gives in this pod, where that is known from its metadata. */
const fieldText = (fieldPath: string, pod: Pod | undefined): string => {
  const known: Readonly<Record<string, string | undefined>> = {
    'metadata.name': pod?.metadata.name,
    'metadata.namespace': pod?.metadata.namespace,
    'metadata.uid': pod?.metadata.uid,
    'spec.nodeName': pod?.spec.nodeName,
    'status.podIP': pod?.status?.podIP,
    'status.hostIP': pod?.status?.hostIP,
  }
  return (Object.hasOwn(known, fieldPath) ? known[fieldPath] : undefined) ?? ''
}

const variableText = ({ name, value, valueFrom }: NonNullable<Container['env']>[number], pod: Pod | undefined): string => {
  const { configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef } = valueFrom ?? {}
  if (configMapKeyRef)
    return `${name}:\t<set to the key '${configMapKeyRef.key}' of config map '${configMapKeyRef.name ?? ''}'>${optionalText(configMapKeyRef)}`
  if (secretKeyRef)
    return `${name}:\t<set to the key '${secretKeyRef.key}' in secret '${secretKeyRef.name ?? ''}'>${optionalText(secretKeyRef)}`
  if (fieldRef) return `${name}:\t${fieldText(fieldRef.fieldPath, pod)} (${fieldRef.apiVersion ?? 'v1'}:${fieldRef.fieldPath})`
  if (resourceFieldRef) return `${name}:\t(${resourceFieldRef.resource})`
  return `${name}:\t${value ?? ''}`
}

const environmentLines = (container: Container, pod: Pod | undefined): Lines => {
  const from = (container.envFrom ?? []).map(({ configMapRef, secretRef, prefix }) => {
    const type = `${configMapRef ? 'ConfigMap' : 'Secret'}${prefix ? ` with prefix '${prefix}'` : ''}`
    return `${configMapRef?.name ?? secretRef?.name ?? ''}\t${type}${optionalText(configMapRef ?? secretRef)}`
  })
  const variables = (container.env ?? []).map(each => variableText(each, pod))
  return [
    ...(from.length > 0 ? ['Environment Variables from:', ...indented(from)] : []),
    ...(variables.length > 0 ? ['Environment:', ...indented(variables)] : ['Environment:\t<none>']),
  ]
}

const mountLines = (container: Container): Lines => {
  const mounts = (container.volumeMounts ?? [])
    .map(mount => {
      const flags = [mount.readOnly ? 'ro' : 'rw', ...(mount.subPath ? [`path=${JSON.stringify(mount.subPath)}`] : [])]
      return `${mount.mountPath} from ${mount.name} (${flags.join(',')})`
    })
    .sort()
  return mounts.length === 0 ? ['Mounts:\t<none>'] : ['Mounts:', ...indented(mounts)]
}

const portTexts = (container: Container): [string, string][] =>
  (container.ports ?? []).map(port => {
    return [`${port.containerPort}/${port.protocol ?? 'TCP'}`, `${port.hostPort ?? 0}/${port.protocol ?? 'TCP'}`]
  })

const containerLines = (container: Container, status: ContainerStatus | undefined, pod: Pod | undefined): Lines => {
  const ports = portTexts(container)
  const plural = ports.length > 1 ? 's' : ''
  const words = (key: string, list: readonly string[] | undefined): Lines => (list && list.length > 0 ? [`${key}:`, ...indented(list)] : [])
  return [
    ...(pod ? [`Container ID:\t${status?.containerID ?? ''}`] : []),
    `Image:\t${container.image ?? ''}`,
    ...(pod ? [`Image ID:\t${status?.imageID ?? ''}`] : []),
    `Port${plural}:\t${ports.map(([port]) => port).join(', ') || '<none>'}`,
    `Host Port${plural}:\t${ports.map(([, port]) => port).join(', ') || '<none>'}`,
    ...words('Command', container.command),
    ...words('Args', container.args),
    ...(status
      ? [
          ...stateLines('State', status.state),
          ...(status.lastState?.terminated ? stateLines('Last State', status.lastState) : []),
          `Ready:\t${status.ready ? 'True' : 'False'}`,
          `Restart Count:\t${status.restartCount}`,
        ]
      : []),
    ...quantities('Limits', container.resources?.limits),
    ...quantities('Requests', container.resources?.requests),
    ...(container.livenessProbe ? [`Liveness:\t${probeText(container.livenessProbe)}`] : []),
    ...(container.readinessProbe ? [`Readiness:\t${probeText(container.readinessProbe)}`] : []),
    ...(container.startupProbe ? [`Startup:\t${probeText(container.startupProbe)}`] : []),
    ...environmentLines(container, pod),
    ...mountLines(container),
  ]
}

/** `Containers:` of a pod, or of a template when no pod is given. */
export const containersLines = (
  key: string,
  containers: readonly Container[] | undefined,
  pod?: Pod,
  statuses: readonly ContainerStatus[] = [],
): Lines => {
  if (containers === undefined || containers.length === 0) return []
  const statusOf = (container: Container): ContainerStatus | undefined => statuses.find(status => status.name === container.name)
  return [`${key}:`, ...containers.flatMap(each => [`  ${each.name}:`, ...indented(containerLines(each, statusOf(each), pod), 2)])]
}

export const tolerationLines = (tolerations: Pod['spec']['tolerations']): Lines =>
  stacked(
    'Tolerations',
    (tolerations ?? []).map(each => {
      const effect = each.effect ? `:${each.effect}` : ''
      const value = each.operator === 'Exists' || each.value === undefined ? '' : `=${each.value}`
      const exists = each.operator === 'Exists' ? ' op=Exists' : ''
      const time = each.tolerationSeconds === undefined ? '' : ` for ${each.tolerationSeconds}s`
      return `${each.key ?? ''}${value}${effect}${exists}${time}`
    }),
  )

/** What keeps the pod from counting as others do: a hold at its device, or a silent node. */
const silenceLines = ({ metadata: { annotations = {} } }: Pod): Lines => [
  ...(annotations[HOLD] === undefined ? [] : [`Held:\t${annotations[HOLD]}`]),
  ...(annotations[SUPERSEDED] === undefined ? [] : [`Superseded:\tsince ${timeText(annotations[SUPERSEDED])}`]),
]

export const podLines = (pod: Pod): Lines => {
  const { metadata, spec, status } = pod
  const owner = metadata.ownerReferences?.find(each => each.controller)
  const conditions = (status?.conditions ?? []).map(each => [each.type, each.status])
  return [
    `Name:\t${metadata.name ?? ''}`,
    `Namespace:\t${metadata.namespace ?? ''}`,
    ...(spec.priority === undefined ? [] : [`Priority:\t${spec.priority}`]),
    ...(spec.serviceAccountName ? [`Service Account:\t${spec.serviceAccountName}`] : []),
    `Node:\t${spec.nodeName ? `${spec.nodeName}/${status?.hostIP ?? ''}` : '<none>'}`,
    ...(status?.startTime ? [`Start Time:\t${timeText(status.startTime)}`] : []),
    ...labelLines('Labels', metadata.labels),
    ...annotationLines(metadata.annotations),
    ...(metadata.deletionTimestamp
      ? [
          `Status:\tTerminating (since ${timeText(metadata.deletionTimestamp)})`,
          `Termination Grace Period:\t${metadata.deletionGracePeriodSeconds ?? 0}s`,
        ]
      : [`Status:\t${status?.phase ?? ''}`]),
    ...silenceLines(pod),
    ...(status?.reason ? [`Reason:\t${status.reason}`] : []),
    ...(status?.message ? [`Message:\t${status.message}`] : []),
    `IP:\t${status?.podIP ?? ''}`,
    ...(status?.podIPs && status.podIPs.length > 0 ? ['IPs:', ...status.podIPs.map(each => `  IP:\t${each.ip}`)] : ['IPs:\t<none>']),
    ...(owner ? [`Controlled By:\t${owner.kind}/${owner.name}`] : []),
    ...containersLines('Init Containers', spec.initContainers, pod, status?.initContainerStatuses),
    ...containersLines('Containers', spec.containers, pod, status?.containerStatuses),
    ...(conditions.length > 0 ? ['Conditions:', ...indented([['Type', 'Status'], ...conditions].map(row => row.join('\t')))] : []),
    ...volumeLines(spec.volumes),
    `QoS Class:\t${status?.qosClass ?? qosClassOf(spec)}`,
    ...labelLines('Node-Selectors', spec.nodeSelector),
    ...tolerationLines(spec.tolerations),
  ]
}
