// helio logs: what containers wrote, of one pod, of a workload's pod, or of all pods with a label.

import type { Pod } from '../kinds/pod.ts'
import { allContainers } from '../kinds/pod-lookup.ts'
import type { Client, Query } from './client.ts'
import { Failure, Refused, usage } from './failure.ts'
import { LOG_STREAMS_MAX } from './limits.ts'
import { listPods, podsOf } from './pods-of.ts'
import type { Resource } from './resources.ts'
import { selectionsOf } from './target.ts'
import { SELECTOR_FLAG, type Verb, type VerbContext } from './verb.ts'
import { lines } from './watch.ts'

interface Source {
  readonly pod: Pod
  readonly container: string
}

const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container'
/** With a selector and no --tail, so many lines of each (as kubectl). */
const SELECTOR_TAIL = 10

const containersOf = (context: VerbContext, pod: Pod): string[] => {
  const { flags } = context
  const named = flags.text('container')
  const all = allContainers(pod.spec).map(each => each.name)
  if (named !== undefined) {
    if (!all.includes(named))
      throw new Failure(`container ${named} is not valid for pod ${pod.metadata.name ?? ''}`, { hint: `it has ${all.join(', ')}` })
    return [named]
  }
  if (flags.on('all-containers')) return all
  const own = pod.spec.containers.map(each => each.name)
  const chosen = pod.metadata.annotations?.[DEFAULT_CONTAINER] ?? own[0] ?? ''
  if (own.length > 1 && pod.metadata.annotations?.[DEFAULT_CONTAINER] === undefined && !flags.has('selector'))
    context.output.note(`Defaulted container ${JSON.stringify(chosen)} out of: ${all.join(', ')}`)
  return [chosen]
}

const chosenPods = async (context: VerbContext, client: Client, namespace: string): Promise<Pod[]> => {
  const { flags, words } = context
  const selector = flags.text('selector')
  if (selector !== undefined) {
    if (words.length > 0) throw usage('only a selector or a name is allowed')
    return listPods(client, namespace, selector)
  }
  const [first, second] = words
  if (first === undefined) throw usage('expected POD or TYPE/NAME', 'for example: logs web-5d4f-abcde, logs deploy/web')
  const resources = await context.resources()
  const [target] = first.includes('/')
    ? selectionsOf([first], resources)
    : [{ resource: resources.byName('pods') as Resource, names: [first] }]
  if (target === undefined) throw usage('expected POD or TYPE/NAME')
  const pods = await podsOf(client, namespace, target.resource, target.names[0] ?? '')
  if (second !== undefined && !flags.has('container'))
    throw usage(`unexpected argument ${JSON.stringify(second)}`, `did you mean -c ${second}?`)
  if (flags.on('all-pods')) return pods
  const [pod] = pods
  if (pods.length > 1 && pod) context.output.note(`Found ${pods.length} pods, using pod/${pod.metadata.name ?? ''}`)
  return pod ? [pod] : []
}

const queryOf = (context: VerbContext): Query => {
  const { flags } = context
  const sinceMs = flags.durationMs('since')
  const tail = flags.number('tail') ?? (flags.has('selector') ? SELECTOR_TAIL : -1)
  return {
    follow: flags.on('follow') || undefined,
    previous: flags.on('previous') || undefined,
    timestamps: flags.on('timestamps') || undefined,
    tailLines: tail >= 0 ? tail : undefined,
    sinceSeconds: sinceMs === undefined ? undefined : Math.max(1, Math.ceil(sinceMs / 1000)),
    sinceTime: flags.text('since-time'),
    limitBytes: flags.number('limit-bytes'),
  }
}

const copy = async (context: VerbContext, client: Client, source: Source, prefixed: boolean): Promise<void> => {
  const { name = '', namespace = '' } = source.pod.metadata
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/log`
  if (source.pod.spec.nodeName === undefined)
    throw new Failure(`pod ${name} is on no node yet, so it has no logs`, { hint: `helio describe pod ${name} -n ${namespace} tells why` })
  const response = await client
    .stream('GET', path, {
      query: { ...queryOf(context), container: source.container },
      accept: '*/*',
      waiting: `waiting for logs of pod ${name}`,
    })
    .catch((error: unknown) => {
      const waits = error instanceof Refused && / is waiting to start/.test(error.message)
      throw waits ? new Refused(error.status, error.code, `helio describe pod ${name} -n ${namespace} tells why`) : error
    })
  try {
    if (!prefixed) for await (const chunk of response as AsyncIterable<Buffer>) await context.output.write(chunk)
    else {
      const prefix = context.output.paint('cyan', `[pod/${name}/${source.container}]`)
      for await (const line of lines(response)) await context.output.line(`${prefix} ${line}`)
    }
  } finally {
    response.destroy()
  }
}

const run = async (context: VerbContext): Promise<void> => {
  const { flags } = context
  const client = await context.client()
  const namespace = await context.namespace()
  const pods = await chosenPods(context, client, namespace)
  const sources = pods.flatMap(pod => containersOf(context, pod).map(container => ({ pod, container })))
  if (sources.length === 0) {
    context.output.note(`No resources found in ${namespace} namespace.`)
    return
  }
  const prefixed = flags.on('prefix')
  if (!flags.on('follow')) {
    for (const source of sources) {
      try {
        await copy(context, client, source, prefixed)
      } catch (error) {
        if (sources.length === 1) throw error
        context.complain(error)
      }
    }
    return
  }
  if (sources.length > LOG_STREAMS_MAX)
    throw new Failure(`you are attempting to follow ${sources.length} log streams, but at most ${LOG_STREAMS_MAX} can be followed`, {
      hint: 'narrow the selector',
    })
  // Several streams share the output: whole lines only, so that they do not cut each other.
  await Promise.all(sources.map(source => copy(context, client, source, prefixed || sources.length > 1)))
}

export const verb: Verb = {
  name: 'logs',
  summary: 'print what containers wrote',
  usage: ['logs POD [-c CONTAINER] [flags]', 'logs TYPE/NAME [flags]', 'logs -l SELECTOR [flags]'],
  connects: true,
  flags: [
    { flag: 'follow', short: 'f', type: 'switch', describe: 'go on printing what is written' },
    { flag: 'container', short: 'c', type: 'text', value: 'NAME', describe: 'which container' },
    { flag: 'all-containers', type: 'switch', describe: 'all containers of the pod' },
    { flag: 'all-pods', type: 'switch', describe: 'all pods of the workload' },
    { flag: 'previous', short: 'p', type: 'switch', describe: 'of the run before the present one' },
    { flag: 'tail', type: 'number', value: 'LINES', describe: 'only the last lines' },
    { flag: 'since', type: 'duration', value: 'TIME', describe: 'only what is newer, as in 5m' },
    { flag: 'since-time', type: 'text', value: 'STAMP', describe: 'only what is newer than an RFC 3339 stamp' },
    { flag: 'timestamps', type: 'switch', describe: 'the time before each line' },
    { flag: 'limit-bytes', type: 'number', value: 'BYTES', describe: 'end after so many bytes' },
    { flag: 'prefix', type: 'switch', describe: 'pod and container before each line' },
    SELECTOR_FLAG,
  ],
  examples: [
    ['the last lines, and what follows', 'logs web-5d4f-abcde --tail=20 -f'],
    ['some pod of a deployment', 'logs deploy/web'],
    ['why it crashed', 'logs web-5d4f-abcde --previous'],
  ],
  run,
}
