// Deployment: pods that are replaced in steps. Types from k8s.io/api/apps/v1; rules from k8s pkg/apis/apps, pkg/registry/apps/deployment.

import { deepEqual } from '../base/json.ts'
import type { Cause } from './causes.ts'
import { forbidden, IMMUTABLE, invalid, nonNegative, notSupported } from './causes.ts'
import { validateIntOrPercent } from './int-or-percent.ts'
import type { Cell, Kind } from './kind.ts'
import type { Condition, IntOrString, KubeObject, LabelSelector, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { dns1123Subdomain } from './names.ts'
import type { PodTemplateSpec } from './pod.ts'
import { setTemplateDefaults } from './pod-defaults.ts'
import { AGE_COLUMN, ageOf, column, containersAndImages, NAME_COLUMN, wideColumn } from './printing.ts'
import { labelSelectorText, selectorOf, selectorText } from './selector.ts'
import { validateCounts, validateWorkload } from './workload-validation.ts'

export interface DeploymentSpec {
  replicas?: number
  selector: LabelSelector
  template: PodTemplateSpec
  strategy?: { type?: 'RollingUpdate' | 'Recreate'; rollingUpdate?: { maxUnavailable?: IntOrString; maxSurge?: IntOrString } }
  minReadySeconds?: number
  revisionHistoryLimit?: number
  paused?: boolean
  progressDeadlineSeconds?: number
}

export interface DeploymentStatus {
  observedGeneration?: number
  replicas?: number
  updatedReplicas?: number
  readyReplicas?: number
  availableReplicas?: number
  unavailableReplicas?: number
  terminatingReplicas?: number
  conditions?: Condition[]
  collisionCount?: number
}

export interface Deployment {
  apiVersion: 'apps/v1'
  kind: 'Deployment'
  metadata: ObjectMeta
  spec: DeploymentSpec
  status?: DeploymentStatus
  [field: string]: unknown
}

const asDeployment = (object: KubeObject): Deployment => object as unknown as Deployment

const setDeploymentDefaults = (deployment: Deployment): void => {
  deployment.spec ??= {} as DeploymentSpec
  const { spec } = deployment
  spec.replicas ??= 1
  spec.strategy ??= {}
  spec.strategy.type ||= 'RollingUpdate'
  if (spec.strategy.type === 'RollingUpdate') {
    spec.strategy.rollingUpdate ??= {}
    spec.strategy.rollingUpdate.maxUnavailable ??= '25%'
    spec.strategy.rollingUpdate.maxSurge ??= '25%'
  }
  spec.revisionHistoryLimit ??= 10
  spec.progressDeadlineSeconds ??= 600
  setTemplateDefaults(spec.template)
  deployment.status ??= {}
}

const isZero = (value: IntOrString | undefined): boolean => value === 0 || value === '0%' || value === '0'

const validateStrategy = (strategy: DeploymentSpec['strategy'], path: string): Cause[] => {
  const { type, rollingUpdate } = strategy ?? {}
  if (type === 'Recreate') {
    return rollingUpdate ? [forbidden(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'")] : []
  }
  if (type !== 'RollingUpdate') return [notSupported(`${path}.type`, type ?? '', ['Recreate', 'RollingUpdate'])]
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate ?? {}
  const at = `${path}.rollingUpdate.maxUnavailable`
  return [
    ...validateIntOrPercent(at, maxUnavailable, 100),
    ...validateIntOrPercent(`${path}.rollingUpdate.maxSurge`, maxSurge),
    ...(isZero(maxUnavailable) && isZero(maxSurge) ? [invalid(at, maxUnavailable, 'may not be 0 when `maxSurge` is 0')] : []),
  ]
}

const validateDeployment = (spec: DeploymentSpec): Cause[] => {
  const causes = [
    ...validateWorkload(spec),
    ...validateStrategy(spec.strategy, 'spec.strategy'),
    ...nonNegative('spec.revisionHistoryLimit', spec.revisionHistoryLimit),
    ...nonNegative('spec.progressDeadlineSeconds', spec.progressDeadlineSeconds),
  ]
  const { progressDeadlineSeconds: deadline, minReadySeconds = 0 } = spec
  if (deadline === undefined || deadline > minReadySeconds) return causes
  return [...causes, invalid('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds')]
}

const COUNTS = ['updatedReplicas', 'readyReplicas', 'availableReplicas', 'unavailableReplicas']

const validateStatus = (status: DeploymentStatus, old: DeploymentStatus): Cause[] => {
  const causes = validateCounts({ ...status }, COUNTS.slice(0, 3))
  const { collisionCount = 0, readyReplicas = 0, availableReplicas = 0 } = status
  if (availableReplicas > readyReplicas) {
    causes.push(invalid('status.availableReplicas', availableReplicas, 'cannot be greater than readyReplicas'))
  }
  if (collisionCount < (old.collisionCount ?? 0)) {
    causes.push(invalid('status.collisionCount', collisionCount, 'cannot be decremented'))
  }
  return causes
}

const deploymentRow = ({ metadata, spec, status }: Deployment, age: string): Cell[] => [
  metadata.name ?? '',
  `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
  status?.updatedReplicas ?? 0,
  status?.availableReplicas ?? 0,
  age,
  ...containersAndImages(spec.template),
  labelSelectorText(spec.selector),
]

export const deploymentKind: Kind = {
  group: 'apps',
  version: 'v1',
  kind: 'Deployment',
  plural: 'deployments',
  singular: 'deployment',
  shortNames: ['deploy'],
  categories: ['all'],
  namespaced: true,
  definition: 'io.k8s.api.apps.v1.Deployment',
  hasStatus: true,
  hasGeneration: true,
  scale: {
    specReplicas: 'spec.replicas',
    statusReplicas: 'status.replicas',
    selector: object => selectorText(selectorOf(asDeployment(object).spec.selector ?? {})),
  },
  setDefaults: object => setDeploymentDefaults(asDeployment(object)),
  prepareCreate: object => {
    object.status = {}
  },
  prepareUpdate: (object, old) => {
    object.status = old.status
  },
  validate: object => [...validateObjectMeta(object.metadata, true, dns1123Subdomain), ...validateDeployment(asDeployment(object).spec)],
  validateUpdate: (object, old) => {
    const [fresh, before] = [asDeployment(object).spec.selector, asDeployment(old).spec.selector]
    const causes = validateObjectMetaUpdate(object.metadata, old.metadata)
    return deepEqual(fresh, before) ? causes : [...causes, invalid('spec.selector', fresh, IMMUTABLE)]
  },
  validateStatusUpdate: (object, old) => validateStatus(asDeployment(object).status ?? {}, asDeployment(old).status ?? {}),
  columns: [
    NAME_COLUMN,
    column('Ready', 'Number of the pod with ready state'),
    column('Up-to-date', 'Number of pods of the newest template.'),
    column('Available', 'Number of pods ready for at least minReadySeconds.'),
    AGE_COLUMN,
    wideColumn('Containers', 'Names of each container in the template.'),
    wideColumn('Images', 'Images referenced by each container in the template.'),
    wideColumn('Selector', 'Label selector of the pods.'),
  ],
  row: (object, nowMs) => deploymentRow(asDeployment(object), ageOf(object, nowMs)),
}
