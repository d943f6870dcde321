// The pods behind a name: a pod itself, or those of a workload by its selector, best one first.

import { isObject } from '../base/json.ts'
import type { LabelSelector } from '../kinds/meta.ts'
import { isPodReady, type Pod } from '../kinds/pod.ts'
import { selectorOf, selectorText } from '../kinds/selector.ts'
import type { Client } from './client.ts'
import { Failure } from './failure.ts'
import { pathOf, type Resource, singularOf } from './resources.ts'

const PODS = { group: '', version: 'v1', plural: 'pods', namespaced: true } as Resource

/** Running and ready before running before the rest; then the older. */
const rank = (pod: Pod): number => (isPodReady(pod) ? 0 : pod.status?.phase === 'Running' ? 1 : 2)

export const listPods = async (client: Client, namespace: string, labelSelector: string): Promise<Pod[]> => {
  const list = await client.json('GET', pathOf(PODS, namespace), { query: { labelSelector } })
  const pods = (Array.isArray(list['items']) ? list['items'] : []) as Pod[]
  return [...pods].sort(
    (a, b) => rank(a) - rank(b) || ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1),
  )
}

/** The label selector of a workload or Service, as a query. */
export const selectorQueryOf = (object: Record<string, unknown>): string | undefined => {
  const spec = isObject(object['spec']) ? object['spec'] : {}
  const selector = spec['selector']
  if (!isObject(selector)) return undefined
  const structured = isObject(selector['matchLabels']) || Array.isArray(selector['matchExpressions'])
  return selectorText(selectorOf((structured ? selector : { matchLabels: selector }) as LabelSelector))
}

/** The pods a name stands for; throws when it stands for none. */
export const podsOf = async (client: Client, namespace: string, resource: Resource, name: string): Promise<Pod[]> => {
  const object = await client.json('GET', pathOf(resource, namespace, name))
  if (resource.group === '' && resource.kind === 'Pod') return [object as unknown as Pod]
  const selector = selectorQueryOf(object)
  if (selector === undefined || selector === '') throw new Failure(`${singularOf(resource)}/${name} has no pods of its own`)
  const pods = await listPods(client, namespace, selector)
  if (pods.length === 0)
    throw new Failure(`${singularOf(resource)}/${name} has no pods now`, {
      hint: `helio describe ${singularOf(resource)}/${name} says why`,
    })
  return pods
}
