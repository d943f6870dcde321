// helio hold: the pods that operators hold at their devices, as the server knows them, and lifting a hold from here. A hold is made at the
// device (helio device hold); lifting removes the annotation, and the device lets the pod run when it next hears from the server.

import { isObject } from '../base/json.ts'
import { translateTimestampSince } from '../kinds/duration.ts'
import { HOLD, parseHold } from '../kinds/hold.ts'
import { Failure, usage } from './failure.ts'
import { CHUNK_SIZE } from './limits.ts'
import { jsonText, yamlText } from './object-text.ts'
import { didYouMean } from './suggest.ts'
import { plainTable } from './table.ts'
import { ALL_NAMESPACES_FLAG, outputFlag, type Verb, type VerbContext } from './verb.ts'

export interface HeldPod {
  readonly namespace: string
  readonly name: string
  readonly node: string
  readonly id: string
  readonly by: string
  /** RFC 3339, by the device's clock. */
  readonly at: string
  readonly reason?: string
}

/** The hold of a pod as the API gives it: `<id> by <who> at <time>: <reason>`; undefined when it has none. */
export const heldPod = (pod: Record<string, unknown>): HeldPod | undefined => {
  const metadata = isObject(pod['metadata']) ? pod['metadata'] : {}
  const annotations = isObject(metadata['annotations']) ? metadata['annotations'] : {}
  const text = annotations[HOLD]
  if (typeof text !== 'string') return undefined
  const hold = parseHold(text) ?? { id: text, by: '', at: '' }
  const spec = isObject(pod['spec']) ? pod['spec'] : {}
  const word = (value: unknown): string => (typeof value === 'string' ? value : '')
  return {
    namespace: word(metadata['namespace']),
    name: word(metadata['name']),
    node: word(spec['nodeName']),
    ...hold,
  }
}

const heldPods = async (context: VerbContext, namespace: string): Promise<HeldPod[]> => {
  const client = await context.client()
  const path = namespace === '' ? '/api/v1/pods' : `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`
  const found: HeldPod[] = []
  let next: string | undefined
  do {
    const chunk = await client.json('GET', path, { query: { limit: CHUNK_SIZE, continue: next } })
    for (const item of Array.isArray(chunk['items']) ? chunk['items'].filter(isObject) : []) found.push(...[heldPod(item) ?? []].flat())
    const { metadata } = chunk
    next = isObject(metadata) && typeof metadata['continue'] === 'string' && metadata['continue'] !== '' ? metadata['continue'] : undefined
  } while (next !== undefined)
  return found
}

const list = async (context: VerbContext): Promise<void> => {
  const { flags, output, deps } = context
  if (context.words.length > 1) throw usage(`unexpected argument ${JSON.stringify(context.words[1])}`)
  const namespace = flags.on('all-namespaces') ? '' : await context.namespace()
  const items = await heldPods(context, namespace)
  const form = flags.text('output')
  if (form === 'json') return output.write(jsonText({ items }))
  if (form === 'yaml') return output.write(await yamlText({ items }))
  if (items.length === 0) return output.note(`No pods are held${namespace === '' ? '' : ` in ${namespace} namespace`}`)
  const all = namespace === ''
  const rows = items.map(({ namespace: of, name, node, by, at, id, reason = '' }) => [
    ...(all ? [of] : []),
    name,
    node,
    by,
    translateTimestampSince(at === '' ? undefined : at, deps.clock.now()),
    id,
    reason,
  ])
  const lines = plainTable([...(all ? ['NAMESPACE'] : []), 'NAME', 'NODE', 'BY', 'AGE', 'ID', 'REASON'], rows, !flags.on('no-headers'))
  await output.write(`${lines.join('\n')}\n`)
}

const liftOne = async (context: VerbContext, namespace: string, name: string): Promise<void> => {
  const client = await context.client()
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`
  const pod = await client.json('GET', path)
  const hold = heldPod(pod)
  if (hold === undefined) throw new Failure(`pod/${name} is not held`, { hint: 'helio hold list -A shows what is' })
  const { metadata } = pod
  const uid = isObject(metadata) ? metadata['uid'] : undefined
  // Of this pod only, should another have taken its name.
  const body = { metadata: { uid, annotations: { [HOLD]: null } } }
  await client.json('PATCH', path, { body, contentType: 'application/merge-patch+json' })
  await context.output.line(`pod/${name} hold lifted`)
  context.output.note(`it runs again once ${hold.node || 'its device'} hears of it`)
}

const lift = async (context: VerbContext): Promise<void> => {
  const [, ...names] = context.words
  if (names.length === 0) throw usage('name the pod', 'helio hold lift POD -n NAMESPACE')
  const namespace = await context.namespace()
  for (const word of names)
    try {
      await liftOne(context, namespace, word.replace(/^pods?\//, ''))
    } catch (error) {
      context.complain(error)
    }
}

const SUBVERBS: Readonly<Record<string, (context: VerbContext) => Promise<void>>> = { list, lift }

const run = async (context: VerbContext): Promise<void> => {
  const [word = 'list'] = context.words
  const subverb = Object.hasOwn(SUBVERBS, word) ? SUBVERBS[word] : undefined
  if (subverb === undefined) {
    const near = didYouMean(word, Object.keys(SUBVERBS))
    throw usage(`unknown command "hold ${word}"`, near ?? 'there is: hold list, lift; a hold is made at the device: helio device hold POD')
  }
  await subverb(context)
}

export const verb: Verb = {
  name: 'hold',
  summary: 'list and lift the holds that operators made at their devices',
  usage: ['hold list [-A]', 'hold lift POD… [-n NAMESPACE]'],
  subverbs: Object.keys(SUBVERBS),
  connects: true,
  flags: [ALL_NAMESPACES_FLAG, outputFlag(['json', 'yaml']), { flag: 'no-headers', type: 'switch', describe: 'leave out the headers' }],
  examples: [
    ['what is held, and by whom', 'hold list -A'],
    ['let it run again', 'hold lift press-0 -n cell'],
  ],
  run,
}
