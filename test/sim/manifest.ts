// What the users of a world write: Deployments of many shapes, ConfigMaps, and the template a rollout is undone to.

import type { Random } from '../../src/base/random.ts'
import type { Deployment } from '../../src/kinds/deployment.ts'
import { REPLACE_AFTER } from '../../src/kinds/disconnection.ts'
import type { PodTemplateSpec } from '../../src/kinds/pod.ts'
import type { ReplicaSet } from '../../src/kinds/replica-set.ts'

export const FINALIZER = 'example.com/hold'

export const configMap = (name: string, data: Record<string, string>, finalizers: readonly string[] = []) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default', ...(finalizers.length > 0 ? { finalizers } : {}) },
  data,
})

/** The number that users count up with compare-and-swap. */
export const COUNTER = configMap('counter', { n: '0' })

const oneOf = <T>(random: Random, from: readonly T[]): T => from[random.int(from.length)]!

export const deploymentOf = (random: Random, namespace: string, number: number, nodes: number) => {
  const labels = { app: `app-${number}` }
  const cpu = oneOf(random, ['100m', '500m', '1', '1500m'])
  const rollingUpdate = oneOf<Record<string, number | string>>(random, [
    { maxUnavailable: 0, maxSurge: 1 },
    { maxUnavailable: 1, maxSurge: 0 },
    { maxUnavailable: '25%', maxSurge: '25%' },
    { maxUnavailable: '50%', maxSurge: 2 },
  ])
  const spread = {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 100, podAffinityTerm: { labelSelector: { matchLabels: labels }, topologyKey: 'kubernetes.io/hostname' } },
      ],
    },
  }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: `app-${number}`, namespace },
    spec: {
      replicas: 1 + random.int(Math.min(24, nodes) + 2),
      minReadySeconds: oneOf(random, [0, 0, 0, 5]),
      strategy: random.int(6) === 0 ? { type: 'Recreate' } : { type: 'RollingUpdate', rollingUpdate },
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: oneOf(random, [1, 5, 30]),
          ...(random.int(2) === 0 ? { affinity: spread } : {}),
          containers: [
            { name: 'main', image: 'app:0', resources: { requests: { cpu } } },
            ...(random.int(4) === 0 ? [{ name: 'beside', image: 'beside:0' }] : []),
          ],
        },
      },
    },
  }
}

const CROWD_PER_NODE = 8

/** Many small pods that are replaced soon. */
export const crowdOf = (number: number, nodes: number) => {
  const labels = { app: `app-${number}` }
  const annotations = { [REPLACE_AFTER]: '30s' }
  const containers = [{ name: 'main', image: 'app:0', resources: { requests: { cpu: '50m' } } }]
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: `app-${number}`, namespace: 'default' },
    spec: {
      replicas: CROWD_PER_NODE * nodes,
      selector: { matchLabels: labels },
      template: { metadata: { labels, annotations }, spec: { terminationGracePeriodSeconds: 1, containers } },
    },
  }
}

/** A Service for the pods of a Deployment. */
export const serviceOf = ({ metadata, spec }: Deployment, number: number) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: `service-${number}`, namespace: metadata.namespace },
  spec: { selector: spec.selector.matchLabels, ports: [{ port: 80, targetPort: 8080 }] },
})

const REVISION = 'deployment.kubernetes.io/revision'
const HASH = 'pod-template-hash'
const revisionOf = (set: ReplicaSet): number => Number(set.metadata.annotations?.[REVISION] ?? 0)

/** The template of the revision before the newest, as `kubectl rollout undo` takes it; undefined when there is none. */
export const undoneTemplate = (sets: readonly ReplicaSet[]): PodTemplateSpec | undefined => {
  const template = [...sets].sort((a, b) => revisionOf(b) - revisionOf(a))[1]?.spec.template
  if (!template) return undefined
  const { [HASH]: _, ...labels } = template.metadata?.labels ?? {}
  return { ...template, metadata: { ...template.metadata, labels } }
}
