// The one pod a command line names: `POD`, `TYPE/NAME` (some pod of it), and the container in it that is meant.

import type { Pod } from '../kinds/pod.ts'
import { allContainers } from '../kinds/pod-lookup.ts'
import type { Client } from './client.ts'
import { Failure, usage } from './failure.ts'
import { podsOf } from './pods-of.ts'
import type { Resource } from './resources.ts'
import { selectionsOf } from './target.ts'
import type { VerbContext } from './verb.ts'

/** The annotation that says which container is meant. Source: kubectl. */
const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container'

/** The pod, the best one of a workload. */
export const podOf = async (context: VerbContext, client: Client, word: string | undefined, example: string): Promise<Pod> => {
  if (word === undefined) throw usage('expected POD or TYPE/NAME', `for example: ${example}`)
  const resources = await context.resources()
  const [target] = word.includes('/')
    ? selectionsOf([word], resources)
    : [{ resource: resources.byName('pods') as Resource, names: [word] }]
  if (target === undefined) throw usage('expected POD or TYPE/NAME')
  const pods = await podsOf(client, await context.namespace(), target.resource, target.names[0] ?? '')
  const [pod] = pods
  if (pod === undefined) throw new Failure(`${word} has no pods now`)
  return pod
}

/** The container to speak to: named, or the pod's own word, or its first; says which when there are several. */
export const containerOf = (context: VerbContext, pod: Pod): string => {
  const all = allContainers(pod.spec).map(each => each.name)
  const named = context.flags.text('container')
  if (named !== undefined && !all.includes(named))
    throw new Failure(`container ${named} is not valid for pod ${pod.metadata.name ?? ''}`, { hint: `it has ${all.join(', ')}` })
  const preferred = named ?? pod.metadata.annotations?.[DEFAULT_CONTAINER]
  const chosen = preferred ?? pod.spec.containers[0]?.name ?? ''
  if (preferred === undefined && pod.spec.containers.length > 1)
    context.output.note(`Defaulted container ${JSON.stringify(chosen)} out of: ${all.join(', ')}`)
  return chosen
}

/** Refuses pods in which nothing runs any more, or not yet, in words that help. */
export const requireRunning = (pod: Pod, doing: string): void => {
  const { name = '', namespace = '' } = pod.metadata
  const phase = pod.status?.phase
  if (phase === 'Succeeded' || phase === 'Failed')
    throw new Failure(`cannot ${doing} a container in a completed pod; current phase is ${phase}`)
  if (pod.spec.nodeName === undefined)
    throw new Failure(`pod ${name} is on no node yet`, { hint: `helio describe pod ${name} -n ${namespace} tells why` })
}
