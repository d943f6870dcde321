// The registry: every built-in kind, in the order discovery lists them, and the ways to find one. A new kind is one file and one line here.

import { configMapKind } from './config-map.ts'
import { controllerRevisionKind } from './controller-revision.ts'
import { deploymentKind } from './deployment.ts'
import { endpointSliceKind } from './endpoint-slice.ts'
import { endpointsKind } from './endpoints.ts'
import { eventKind, eventsEventKind } from './event.ts'
import type { Kind } from './kind.ts'
import { leaseKind } from './lease.ts'
import { namespaceKind } from './namespace.ts'
import { nodeKind } from './node.ts'
import { podKind } from './pod-kind.ts'
import { replicaSetKind } from './replica-set.ts'
import { secretKind } from './secret.ts'
import { serviceAccountKind } from './service-account.ts'
import { serviceKind } from './service-kind.ts'

export const KINDS: readonly Kind[] = [
  configMapKind,
  endpointsKind,
  eventKind,
  namespaceKind,
  nodeKind,
  podKind,
  secretKind,
  serviceAccountKind,
  serviceKind,
  controllerRevisionKind,
  deploymentKind,
  replicaSetKind,
  leaseKind,
  endpointSliceKind,
  eventsEventKind,
]

/** The kind named `Pod`, `Deployment` …; the first in the list where two groups share a name. */
export const kindByName = (kind: string, kinds: readonly Kind[] = KINDS): Kind | undefined => kinds.find(each => each.kind === kind)

/** By its place in a URL: `('apps', 'v1', 'deployments')`; the core group is ''. */
export const kindByResource = (group: string, version: string, plural: string, kinds: readonly Kind[] = KINDS): Kind | undefined =>
  kinds.find(each => each.plural === plural && each.group === group && each.version === version)

export const kindByGvk = (group: string, version: string, kind: string, kinds: readonly Kind[] = KINDS): Kind | undefined =>
  kinds.find(each => each.kind === kind && each.group === group && each.version === version)

/** By the two fields every object carries: `('apps/v1', 'Deployment')`. */
export const kindOfObject = (
  object: { readonly apiVersion: string; readonly kind: string },
  kinds: readonly Kind[] = KINDS,
): Kind | undefined => {
  const slash = object.apiVersion.indexOf('/')
  return slash < 0
    ? kindByGvk('', object.apiVersion, object.kind, kinds)
    : kindByGvk(object.apiVersion.slice(0, slash), object.apiVersion.slice(slash + 1), object.kind, kinds)
}

/** As people type it: `po`, `pod`, `pods`, `deployments.apps`, `Deployment`; case does not matter. */
export const kindByAnyName = (word: string, kinds: readonly Kind[] = KINDS): Kind | undefined => {
  const [name = '', ...group] = word.toLowerCase().split('.')
  const suffix = group.join('.')
  return kinds.find(
    each =>
      (suffix === '' || suffix === each.group || suffix === `${each.version}.${each.group}`) &&
      (each.plural === name || each.singular === name || each.shortNames.includes(name)),
  )
}
