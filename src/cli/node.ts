// helio node: an operator's decisions about devices that cannot be asked, written on their Nodes. `follow` after a restore of the server,
// `fence` for a device that is known to be off. Both are carried out by the server, now or when the device calls.

import { isObject } from '../base/json.ts'
import { conflictEpoch, FOLLOW } from '../kinds/conflict.ts'
import { contactState, OUT_OF_SERVICE } from '../kinds/contact.ts'
import type { Node, Taint } from '../kinds/node.ts'
import { Failure, isConflict, usage } from './failure.ts'
import { CHUNK_SIZE, WRITE_ATTEMPTS_MAX } from './limits.ts'
import { didYouMean } from './suggest.ts'
import type { Verb, VerbContext } from './verb.ts'

const NODES = '/api/v1/nodes'
const pathOf = (name: string): string => `${NODES}/${encodeURIComponent(name)}`

const nodeNamed = async (context: VerbContext, name: string): Promise<Node> =>
  (await (await context.client()).json('GET', pathOf(name))) as unknown as Node

const allNodes = async (context: VerbContext): Promise<Node[]> => {
  const client = await context.client()
  const found: Node[] = []
  let next: string | undefined
  do {
    const chunk = await client.json('GET', NODES, { query: { limit: CHUNK_SIZE, continue: next } })
    if (Array.isArray(chunk['items'])) found.push(...(chunk['items'] as Node[]))
    const { metadata } = chunk
    next = isObject(metadata) && typeof metadata['continue'] === 'string' && metadata['continue'] !== '' ? metadata['continue'] : undefined
  } while (next !== undefined)
  return found
}

/** Of this very node, should another have taken its name; with `version` only as it was read. */
const patch = async (
  context: VerbContext,
  { metadata }: Node,
  body: { metadata?: object; spec?: object },
  version?: string,
): Promise<void> => {
  const expected = { uid: metadata.uid, ...(version === undefined ? {} : { resourceVersion: version }) }
  await (await context.client()).json('PATCH', pathOf(metadata.name ?? ''), {
    body: { ...body, metadata: { ...expected, ...body.metadata } },
    contentType: 'application/merge-patch+json',
  })
}

const namesIn = (context: VerbContext): readonly string[] => context.words.slice(1).map(word => word.replace(/^(nodes?|no)\//, ''))

/** One after the other; what goes wrong with one does not stop the next. Answers how many went well. */
const forEach = async <T>(context: VerbContext, items: readonly T[], act: (item: T) => Promise<void>): Promise<number> => {
  let done = 0
  for (const item of items)
    try {
      await act(item)
      done++
    } catch (error) {
      context.complain(error)
    }
  return done
}

const followOne = async (context: VerbContext, node: Node): Promise<void> => {
  const name = node.metadata.name ?? ''
  const epoch = conflictEpoch(node)
  if (epoch === undefined)
    throw new Failure(`node/${name} is not in conflict with this server`, {
      hint: contactState(node) === 'Online' ? 'helio get nodes shows which are' : 'it has not called since: decide when it has',
    })
  await patch(context, node, { metadata: { annotations: { [FOLLOW]: epoch } } })
  await context.output.line(`node/${name} is to follow`)
}

const follow = async (context: VerbContext): Promise<void> => {
  const names = namesIn(context)
  const all = context.flags.on('all')
  if (all === names.length > 0) throw usage(all ? 'name nodes, or give --all' : 'name the node, or give --all', 'helio node follow NODE')
  const chosen = all ? (await allNodes(context)).filter(node => conflictEpoch(node) !== undefined) : names
  if (all && chosen.length === 0) return context.output.note('No node is in conflict with this server')
  const done = await forEach<string | Node>(context, chosen, async each =>
    followOne(context, typeof each === 'string' ? await nodeNamed(context, each) : each),
  )
  if (done > 0)
    context.output.note('at once where it is in contact, else when it calls: pods this server does not know end there, the others stay')
}

type Change = (taints: readonly Taint[]) => readonly Taint[]

/** Taints are one list, replaced whole: read and written again when somebody else was faster. */
const setTaints = async (context: VerbContext, name: string, change: Change, unchanged: string): Promise<Node> => {
  for (let attempt = 1; ; attempt++) {
    const node = await nodeNamed(context, name)
    const before = node.spec?.taints ?? []
    const taints = change(before)
    if (taints === before) throw new Failure(`node/${name} ${unchanged}`)
    try {
      await patch(context, node, { spec: { taints: taints.length > 0 ? taints : null } }, node.metadata.resourceVersion)
      return node
    } catch (error) {
      if (!isConflict(error) || attempt === WRITE_ATTEMPTS_MAX) throw error
    }
  }
}

/** The operator's word: unlike a policy's own, it stays when the node calls. */
const BY_OPERATOR: Taint = { key: OUT_OF_SERVICE, value: 'operator', effect: 'NoExecute' }
const isFence = ({ key }: Taint): boolean => key === OUT_OF_SERVICE

const named = (context: VerbContext, subverb: string): readonly string[] => {
  const names = namesIn(context)
  if (context.flags.on('all')) throw usage(`--all is for follow: ${subverb} takes names`)
  if (names.length === 0) throw usage('name the node', `helio node ${subverb} NODE`)
  return names
}

const fence = async (context: VerbContext): Promise<void> => {
  const add: Change = taints =>
    taints.some(each => isFence(each) && each.value === BY_OPERATOR.value)
      ? taints
      : [...taints.filter(each => !isFence(each)), BY_OPERATOR]
  await forEach(context, named(context, 'fence'), async name => {
    const node = await setTaints(context, name, add, 'is fenced already')
    await context.output.line(`node/${name} fenced`)
    context.output.note(
      contactState(node) === 'Online'
        ? `${name} is in contact: nothing happens until it falls silent; then its pods are removed here and replaced at once`
        : `its pods are removed here and replaced elsewhere; if ${name} still runs them, both run until it calls again`,
    )
    context.output.note(`take it back with: helio node unfence ${name}`)
  })
}

const unfence = async (context: VerbContext): Promise<void> => {
  const remove: Change = taints => (taints.some(isFence) ? taints.filter(each => !isFence(each)) : taints)
  await forEach(context, named(context, 'unfence'), async name => {
    await setTaints(context, name, remove, 'is not fenced')
    await context.output.line(`node/${name} unfenced`)
    context.output.note('what was replaced meanwhile stays replaced; new pods go there once it is in contact')
  })
}

const SUBVERBS: Readonly<Record<string, (context: VerbContext) => Promise<void>>> = { follow, fence, unfence }

const run = async (context: VerbContext): Promise<void> => {
  const [word] = context.words
  const there = `there is: node ${Object.keys(SUBVERBS).join(', ')}; helio get nodes lists them`
  if (word === undefined) throw usage('say what to do with the node', there)
  const subverb = Object.hasOwn(SUBVERBS, word) ? SUBVERBS[word] : undefined
  if (subverb === undefined) throw usage(`unknown command "node ${word}"`, didYouMean(word, Object.keys(SUBVERBS)) ?? there)
  await subverb(context)
}

export const verb: Verb = {
  name: 'node',
  summary: 'decide about devices: follow a restored server, fence and unfence',
  usage: ['node follow NODE… | --all', 'node fence NODE…', 'node unfence NODE…'],
  subverbs: Object.keys(SUBVERBS),
  connects: true,
  flags: [{ flag: 'all', type: 'switch', describe: 'follow: every node that is in conflict now' }],
  examples: [
    ['after a restore: which devices hold what the backup does not know', 'get nodes'],
    ['let one take what this server has now; pods only it knows end', 'node follow press-1'],
    ['let all of them', 'node follow --all'],
    ['this device is off for good: replace its pods without waiting', 'node fence press-2'],
    ['it is back', 'node unfence press-2'],
  ],
  run,
}
