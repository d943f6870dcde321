// helio describe: objects in detail, with what belongs to them and their events.

import type { KubeObject } from '../base/object.ts'
import type { ConfigMap, Secret } from '../kinds/config-map.ts'
import type { Deployment } from '../kinds/deployment.ts'
import type { Node } from '../kinds/node.ts'
import type { Pod } from '../kinds/pod.ts'
import type { ReplicaSet } from '../kinds/replica-set.ts'
import type { Client, Query } from './client.ts'
import { eventLines, fetchEvents } from './describe-events.ts'
import { nodeLines } from './describe-node.ts'
import { configMapLines, namespaceLines, plainLines, secretLines, serviceLines } from './describe-plain.ts'
import { podLines } from './describe-pod.ts'
import { descriptionText, type Lines } from './describe-text.ts'
import { deploymentLines, replicaSetLines } from './describe-workload.ts'
import { isNotFound, usage } from './failure.ts'
import { selectorQueryOf } from './pods-of.ts'
import { pathOf, type Resource } from './resources.ts'
import { type Selection, selectionsOf } from './target.ts'
import { ALL_NAMESPACES_FLAG, SELECTOR_FLAG, type Verb, type VerbContext } from './verb.ts'

interface Asked {
  readonly client: Client
  readonly nowMs: number
}

const itemsAt = async <T>(client: Client, path: string, query: Query): Promise<T[]> => {
  const list = await client.json('GET', path, { query })
  return (Array.isArray(list['items']) ? list['items'] : []) as T[]
}

const namespaced = (object: KubeObject, tail: string, root = '/api/v1'): string =>
  `${root}/namespaces/${encodeURIComponent(object.metadata.namespace ?? '')}/${tail}`

const ownSets = async ({ client }: Asked, deployment: KubeObject): Promise<ReplicaSet[]> => {
  const sets = await itemsAt<ReplicaSet>(client, namespaced(deployment, 'replicasets', '/apis/apps/v1'), {
    labelSelector: selectorQueryOf(deployment),
  })
  return sets.filter(set => set.metadata.ownerReferences?.some(owner => owner.uid === deployment.metadata.uid))
}

const describeNode = async ({ client, nowMs }: Asked, node: KubeObject): Promise<Lines> => {
  const name = node.metadata.name ?? ''
  const findLease = async (): Promise<KubeObject | undefined> => {
    try {
      return (await client.json(
        'GET',
        `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${encodeURIComponent(name)}`,
      )) as unknown as KubeObject
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }
  const [pods, lease] = await Promise.all([itemsAt<Pod>(client, '/api/v1/pods', { fieldSelector: `spec.nodeName=${name}` }), findLease()])
  return nodeLines(node as unknown as Node, pods, lease, nowMs)
}

type Describer = (asked: Asked, object: KubeObject) => Lines | Promise<Lines>

/** By kind and group; every other kind is shown as YAML under its head. */
const DESCRIBERS: Readonly<Record<string, Describer>> = {
  Pod: (_, object) => podLines(object as unknown as Pod),
  Node: describeNode,
  Namespace: (_, object) => namespaceLines(object),
  ConfigMap: (_, object) => configMapLines(object as unknown as ConfigMap),
  Secret: (_, object) => secretLines(object as unknown as Secret),
  Service: (_, object) => serviceLines(object),
  'Deployment.apps': async (asked, object) => deploymentLines(object as unknown as Deployment, await ownSets(asked, object)),
  'ReplicaSet.apps': async ({ client }, object) =>
    replicaSetLines(
      object as unknown as ReplicaSet,
      await itemsAt<Pod>(client, namespaced(object, 'pods'), { labelSelector: selectorQueryOf(object) }),
    ),
}

const describeObject = async (asked: Asked, resource: Resource, object: KubeObject, withEvents: boolean): Promise<string> => {
  const describer =
    DESCRIBERS[resource.group === '' ? resource.kind : `${resource.kind}.${resource.group}`] ??
    ((_: Asked, each: KubeObject) => plainLines(each))
  const [lines, events] = await Promise.all([
    describer(asked, object),
    withEvents && resource.kind !== 'Secret' ? fetchEvents(asked.client, object) : undefined,
  ])
  return descriptionText([...lines, ...(events === undefined ? [] : eventLines(events, asked.nowMs))])
}

const fetchObjects = async (
  context: VerbContext,
  client: Client,
  { resource, names }: Selection,
  namespace: string,
): Promise<KubeObject[]> => {
  const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`
  if (names.length === 0) {
    const items = await itemsAt<KubeObject>(client, pathOf(resource, namespace), { labelSelector: context.flags.text('selector') })
    return items.map(item => ({ ...item, apiVersion, kind: resource.kind }))
  }
  const found: KubeObject[] = []
  for (const name of names) {
    try {
      found.push((await client.json('GET', pathOf(resource, namespace, name))) as unknown as KubeObject)
    } catch (error) {
      context.complain(error)
    }
  }
  return found
}

const run = async (context: VerbContext): Promise<void> => {
  const { flags, output } = context
  const client = await context.client()
  const namespace = flags.on('all-namespaces') ? '' : await context.namespace()
  const asked: Asked = { client, nowMs: context.deps.clock.now() }
  let printed = 0
  const selections = selectionsOf(context.words, await context.resources())
  for (const selection of selections) {
    if (namespace === '' && selection.names.length > 0 && selection.resource.namespaced)
      throw usage('a resource cannot be retrieved by name across all namespaces')
    for (const object of await fetchObjects(context, client, selection, namespace)) {
      const text = await describeObject(asked, selection.resource, object, flags.on('show-events'))
      await output.write(printed++ > 0 ? `\n\n${text}` : text)
    }
  }
  if (printed === 0 && selections.some(each => each.names.length === 0))
    output.note(namespace === '' ? 'No resources found' : `No resources found in ${namespace} namespace.`)
}

export const verb: Verb = {
  name: 'describe',
  summary: 'show objects in detail, with their events',
  usage: ['describe TYPE [NAME…] [flags]', 'describe TYPE/NAME… [flags]'],
  connects: true,
  flags: [ALL_NAMESPACES_FLAG, SELECTOR_FLAG, { flag: 'show-events', type: 'switch', default: true, describe: 'with the events about it' }],
  examples: [
    ['why a pod does not start', 'describe pod web-5d4f-abcde -n web'],
    ['what a node has and what is on it', 'describe node edge-1'],
  ],
  run,
}
