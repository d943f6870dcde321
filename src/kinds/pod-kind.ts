// The Pod kind: what the registry knows of it. Types in pod.ts; defaults, rules and columns in the files beside it.

import type { Kind } from './kind.ts'
import type { KubeObject } from './meta.ts'
import { validateObjectMeta } from './meta-validation.ts'
import { dns1123Subdomain } from './names.ts'
import type { Pod } from './pod.ts'
import { isPodTerminal } from './pod.ts'
import { POD_COLUMNS, podRow } from './pod-columns.ts'
import { setPodDefaults } from './pod-defaults.ts'
import { qosClassOf } from './pod-lookup.ts'
import { validatePodStatusUpdate, validatePodUpdate } from './pod-update.ts'
import { validatePodOnly, validatePodSpec } from './pod-validation.ts'

const asPod = (object: KubeObject): Pod => object as unknown as Pod

/** Pods that no device runs, or that have ended, need no time to stop. */
const graceSeconds = (pod: Pod): number => {
  if (!pod.spec.nodeName || isPodTerminal(pod)) return 0
  const seconds = pod.spec.terminationGracePeriodSeconds ?? 30
  return seconds < 0 ? 1 : seconds
}

export const podKind: Kind = {
  group: '',
  version: 'v1',
  kind: 'Pod',
  plural: 'pods',
  singular: 'pod',
  shortNames: ['po'],
  categories: ['all'],
  namespaced: true,
  definition: 'io.k8s.api.core.v1.Pod',
  hasStatus: true,
  hasGeneration: true,
  graceSeconds: object => graceSeconds(asPod(object)),
  setDefaults: object => setPodDefaults(asPod(object)),
  prepareCreate: object => {
    object.status = { phase: 'Pending', qosClass: qosClassOf(asPod(object).spec) }
  },
  prepareUpdate: (object, old) => {
    object.status = old.status
  },
  validate: object => [
    ...validateObjectMeta(object.metadata, true, dns1123Subdomain),
    ...validatePodSpec(asPod(object).spec, 'spec'),
    ...validatePodOnly(asPod(object).spec),
  ],
  validateUpdate: (object, old) => validatePodUpdate(asPod(object), asPod(old)),
  validateStatusUpdate: (object, old) => validatePodStatusUpdate(asPod(object), asPod(old)),
  columns: POD_COLUMNS,
  row: (object, nowMs) => podRow(asPod(object), nowMs),
  fields: object => {
    const { spec, status } = asPod(object)
    return {
      'spec.nodeName': spec.nodeName ?? '',
      'spec.restartPolicy': spec.restartPolicy ?? '',
      'spec.schedulerName': spec.schedulerName ?? '',
      'spec.serviceAccountName': spec.serviceAccountName ?? '',
      'spec.hostNetwork': String(spec.hostNetwork ?? false),
      'status.phase': status?.phase ?? '',
      'status.podIP': status?.podIPs?.[0]?.ip ?? status?.podIP ?? '',
      'status.nominatedNodeName': status?.nominatedNodeName ?? '',
    }
  },
}
