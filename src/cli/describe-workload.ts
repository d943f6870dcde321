// Deployments and ReplicaSets for people. Source: kubectl describe (describeDeployment, describeReplicaSet).

import type { Deployment } from '../kinds/deployment.ts'
import type { Pod, PodTemplateSpec } from '../kinds/pod.ts'
import type { ReplicaSet } from '../kinds/replica-set.ts'
import { labelSelectorText } from '../kinds/selector.ts'
import { containersLines, tolerationLines } from './describe-pod.ts'
import { annotationLines, indented, innerTable, type Lines, labelLines, timeText } from './describe-text.ts'
import { volumeLines } from './describe-volumes.ts'

export const templateLines = (template: PodTemplateSpec | undefined): Lines => {
  if (template === undefined) return ['Pod Template:\t<unset>']
  const { metadata, spec } = template
  return [
    'Pod Template:',
    ...indented([
      ...labelLines('Labels', metadata?.labels),
      ...(Object.keys(metadata?.annotations ?? {}).length > 0 ? annotationLines(metadata?.annotations) : []),
      ...(spec.serviceAccountName ? [`Service Account:\t${spec.serviceAccountName}`] : []),
      ...containersLines('Init Containers', spec.initContainers),
      ...containersLines('Containers', spec.containers),
      ...volumeLines(spec.volumes),
      ...labelLines('Node-Selectors', spec.nodeSelector),
      ...tolerationLines(spec.tolerations),
    ]),
  ]
}

const conditionLines = (conditions: readonly { type: string; status: string; reason?: string }[] | undefined): Lines =>
  conditions === undefined || conditions.length === 0
    ? []
    : [
        'Conditions:',
        ...indented(
          innerTable(
            ['Type', 'Status', 'Reason'],
            conditions.map(each => [each.type, each.status, each.reason ?? '']),
          ),
        ),
      ]

const setsText = (sets: readonly ReplicaSet[]): string =>
  sets.map(set => `${set.metadata.name ?? ''} (${set.status?.replicas ?? 0}/${set.spec.replicas ?? 1} replicas created)`).join(', ') ||
  '<none>'

const REVISION = 'deployment.kubernetes.io/revision'

/** `sets` are the Deployment's own; the newest is the one of its revision. */
export const deploymentLines = (deployment: Deployment, sets: readonly ReplicaSet[]): Lines => {
  const { metadata, spec, status } = deployment
  const revision = metadata.annotations?.[REVISION]
  const newest = sets.filter(set => set.metadata.annotations?.[REVISION] === revision)
  const old = sets.filter(set => !newest.includes(set) && (set.spec.replicas ?? 0) + (set.status?.replicas ?? 0) > 0)
  const rolling = spec.strategy?.rollingUpdate
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0, unavailableReplicas = 0 } = status ?? {}
  return [
    `Name:\t${metadata.name ?? ''}`,
    `Namespace:\t${metadata.namespace ?? ''}`,
    `CreationTimestamp:\t${timeText(metadata.creationTimestamp)}`,
    ...labelLines('Labels', metadata.labels),
    ...annotationLines(metadata.annotations),
    `Selector:\t${labelSelectorText(spec.selector)}`,
    `Replicas:\t${spec.replicas ?? 1} desired | ${updatedReplicas} updated | ${replicas} total | ${availableReplicas} available | ${unavailableReplicas} unavailable`,
    `StrategyType:\t${spec.strategy?.type ?? 'RollingUpdate'}`,
    `MinReadySeconds:\t${spec.minReadySeconds ?? 0}`,
    ...(spec.paused ? ['Paused:\ttrue'] : []),
    ...(rolling
      ? [`RollingUpdateStrategy:\t${rolling.maxUnavailable ?? '25%'} max unavailable, ${rolling.maxSurge ?? '25%'} max surge`]
      : []),
    ...templateLines(spec.template),
    ...conditionLines(status?.conditions),
    `OldReplicaSets:\t${setsText(old)}`,
    `NewReplicaSet:\t${setsText(newest)}`,
  ]
}

/** `12 Running / 0 Waiting / 0 Succeeded / 0 Failed`. */
const podsText = (pods: readonly Pod[]): string => {
  const count = (phase: string): number => pods.filter(pod => (pod.status?.phase ?? 'Pending') === phase).length
  return `${count('Running')} Running / ${count('Pending')} Waiting / ${count('Succeeded')} Succeeded / ${count('Failed')} Failed`
}

export const replicaSetLines = (set: ReplicaSet, pods: readonly Pod[]): Lines => {
  const { metadata, spec, status } = set
  const owner = metadata.ownerReferences?.find(each => each.controller)
  return [
    `Name:\t${metadata.name ?? ''}`,
    `Namespace:\t${metadata.namespace ?? ''}`,
    `Selector:\t${labelSelectorText(spec.selector)}`,
    ...labelLines('Labels', metadata.labels),
    ...annotationLines(metadata.annotations),
    ...(owner ? [`Controlled By:\t${owner.kind}/${owner.name}`] : []),
    `Replicas:\t${status?.replicas ?? 0} current / ${spec.replicas ?? 1} desired`,
    `Pods Status:\t${podsText(pods.filter(pod => pod.metadata.ownerReferences?.some(each => each.uid === metadata.uid)))}`,
    ...templateLines(spec.template),
    ...conditionLines(status?.conditions),
  ]
}
