// helio rollout: status, history, undo, restart, pause and resume of Deployments.

import { timestamp } from '../base/clock.ts'
import { deepEqual, isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Deployment } from '../kinds/deployment.ts'
import type { ReplicaSet } from '../kinds/replica-set.ts'
import type { Client } from './client.ts'
import { Failure, usage } from './failure.ts'
import { objectText } from './object-text.ts'
import { selectorQueryOf } from './pods-of.ts'
import { pathOf, type Resource, singularOf } from './resources.ts'
import { deploymentRevision, deploymentState } from './rollout-status.ts'
import { didYouMean } from './suggest.ts'
import { plainTable } from './table.ts'
import { namedOf } from './target.ts'
import { outputFlag, TIMEOUT_FLAG, type Verb, type VerbContext } from './verb.ts'
import { follow } from './watch.ts'

interface Target {
  readonly context: VerbContext
  readonly client: Client
  readonly namespace: string
  readonly resource: Resource
  readonly name: string
  readonly shown: string
}

type Subverb = (target: Target) => Promise<void>

const STRATEGIC = 'application/strategic-merge-patch+json'
const CHANGE_CAUSE = 'kubernetes.io/change-cause'
const HASH_LABEL = 'pod-template-hash'

const deploymentOf = async ({ client, resource, namespace, name }: Target): Promise<Deployment> => {
  if (resource.group !== 'apps' || resource.kind !== 'Deployment') throw usage(`rollout works on deployments, not on ${resource.plural}`)
  return (await client.json('GET', pathOf(resource, namespace, name))) as unknown as Deployment
}

/** The Deployment's own ReplicaSets, oldest revision first. */
const revisionsOf = async (target: Target, deployment: Deployment): Promise<ReplicaSet[]> => {
  const path = pathOf({ ...target.resource, plural: 'replicasets' }, target.namespace)
  const list = await target.client.json('GET', path, { query: { labelSelector: selectorQueryOf(deployment) } })
  return ((Array.isArray(list['items']) ? list['items'] : []) as ReplicaSet[])
    .filter(set => set.metadata.ownerReferences?.some(owner => owner.controller && owner.uid === deployment.metadata.uid))
    .sort((a, b) => deploymentRevision(a) - deploymentRevision(b))
}

const status: Subverb = async target => {
  const { context, client, namespace, resource, name } = target
  const { flags, output } = context
  await deploymentOf(target)
  const revision = flags.number('revision') ?? 0
  const limit = new AbortController()
  const timeoutMs = flags.durationMs('timeout') ?? 0
  const cancel = timeoutMs > 0 ? context.deps.clock.after(timeoutMs, () => limit.abort()) : () => {}
  let said = ''
  try {
    const signal = AbortSignal.any([context.signal, limit.signal])
    for await (const object of follow({ client, clock: context.deps.clock, path: pathOf(resource, namespace), name, signal })) {
      if (object === undefined) throw new Failure('object has been deleted')
      const state = deploymentState(object as unknown as Deployment, revision)
      if (state.failed) throw new Failure(state.message, { hint: `helio describe ${target.shown} says why` })
      if (state.message !== said) await output.line(state.message)
      said = state.message
      if (state.done || !flags.on('watch')) return
    }
  } catch (error) {
    if (limit.signal.aborted && !context.signal.aborted)
      throw new Failure('timed out waiting for the condition', { cause: error, hint: `it last said: ${said}` })
    throw error
  } finally {
    cancel()
    limit.abort()
  }
}

const templateOf = (set: ReplicaSet): Record<string, unknown> => {
  const template = (set.spec.template ?? {}) as unknown as Record<string, unknown>
  const metadata = isObject(template['metadata']) ? template['metadata'] : {}
  const { [HASH_LABEL]: _hash, ...labels } = isObject(metadata['labels']) ? metadata['labels'] : {}
  return { ...template, metadata: { ...metadata, labels } }
}

const history: Subverb = async target => {
  const { context } = target
  const sets = await revisionsOf(target, await deploymentOf(target))
  const wanted = context.flags.number('revision') ?? 0
  const form = context.flags.text('output')
  if (wanted > 0) {
    const set = sets.find(each => deploymentRevision(each) === wanted)
    if (set === undefined)
      throw new Failure(`unable to find the specified revision ${wanted}`, { hint: `there are ${sets.map(deploymentRevision).join(', ')}` })
    if (form !== undefined) return context.output.write((await objectText(set as unknown as Record<string, unknown>, form)) ?? '')
    const { yamlText } = await import('./object-text.ts')
    return context.output.write(`${target.shown} with revision #${wanted}\n${await yamlText(templateOf(set))}`)
  }
  if (form !== undefined)
    return context.output.write((await objectText({ apiVersion: 'v1', kind: 'List', items: sets } as Record<string, unknown>, form)) ?? '')
  const rows = sets.map(set => [String(deploymentRevision(set)), set.metadata.annotations?.[CHANGE_CAUSE] ?? '<none>'])
  await context.output.write(`${target.shown} \n${plainTable(['REVISION', 'CHANGE-CAUSE'], rows).join('\n')}\n\n`)
}

const undo: Subverb = async target => {
  const { context, client } = target
  const deployment = await deploymentOf(target)
  if (deployment.spec.paused)
    throw new Failure(`you cannot rollback a paused deployment`, { hint: `resume it first: helio rollout resume ${target.shown}` })
  const sets = await revisionsOf(target, deployment)
  const wanted = context.flags.number('to-revision') ?? 0
  const current = deploymentRevision(deployment)
  const older = sets.filter(set => deploymentRevision(set) < current)
  const set = wanted > 0 ? sets.find(each => deploymentRevision(each) === wanted) : older[older.length - 1]
  if (set === undefined)
    throw new Failure(
      wanted > 0
        ? `unable to find specified revision ${wanted} in history`
        : `no rollout history found for deployment ${JSON.stringify(target.name)}`,
      {
        hint: `there are ${sets.map(deploymentRevision).join(', ') || 'none'}`,
      },
    )
  const template = templateOf(set)
  if (deepEqual(template, deployment.spec.template)) {
    await context.output.line(`${target.shown} skipped rollback (current template already matches revision ${deploymentRevision(set)})`)
    return
  }
  const body = [{ op: 'replace', path: '/spec/template', value: template }]
  await client.json('PATCH', pathOf(target.resource, target.namespace, target.name), {
    body,
    contentType: 'application/json-patch+json',
    query: { fieldManager: 'kubectl-rollout' },
  })
  await context.output.line(`${target.shown} rolled back`)
}

const patchDeployment = async ({ client, resource, namespace, name }: Target, body: unknown): Promise<KubeObject> =>
  (await client.json('PATCH', pathOf(resource, namespace, name), {
    body,
    contentType: STRATEGIC,
    query: { fieldManager: 'kubectl-rollout' },
  })) as unknown as KubeObject

const restart: Subverb = async target => {
  const deployment = await deploymentOf(target)
  if (deployment.spec.paused)
    throw new Failure(`can't restart paused deployment`, { hint: `resume it first: helio rollout resume ${target.shown}` })
  const annotations = { 'kubectl.kubernetes.io/restartedAt': timestamp(target.context.deps.clock.now()) }
  await patchDeployment(target, { spec: { template: { metadata: { annotations } } } })
  await target.context.output.line(`${target.shown} restarted`)
}

const setPaused =
  (paused: boolean): Subverb =>
  async target => {
    const deployment = await deploymentOf(target)
    if ((deployment.spec.paused ?? false) === paused) throw new Failure(`${target.shown} is ${paused ? 'already' : 'not'} paused`)
    await patchDeployment(target, { spec: { paused: paused ? true : null } })
    await target.context.output.line(`${target.shown} ${paused ? 'paused' : 'resumed'}`)
  }

const SUBVERBS: Readonly<Record<string, Subverb>> = { status, history, undo, restart, pause: setPaused(true), resume: setPaused(false) }

const run = async (context: VerbContext): Promise<void> => {
  const [word, ...words] = context.words
  const names = Object.keys(SUBVERBS)
  const subverb = Object.hasOwn(SUBVERBS, word ?? '') ? SUBVERBS[word ?? ''] : undefined
  if (subverb === undefined) {
    const near = word === undefined ? undefined : didYouMean(word, names)
    throw usage(
      word === undefined ? `say what: rollout ${names.join(', ')}` : `unknown command "rollout ${word}"`,
      near ?? `there is: rollout ${names.join(', ')}`,
    )
  }
  const client = await context.client()
  const namespace = await context.namespace()
  for (const { resource, name } of namedOf(words, await context.resources())) {
    try {
      await subverb({ context, client, namespace, resource, name, shown: `${singularOf(resource)}/${name}` })
    } catch (error) {
      context.complain(error)
    }
  }
}

export const verb: Verb = {
  name: 'rollout',
  summary: 'watch, undo, pause or restart a rollout',
  usage: [
    'rollout status deployment/NAME [--timeout=TIME]',
    'rollout history deployment/NAME [--revision=N]',
    'rollout undo deployment/NAME [--to-revision=N]',
    'rollout restart|pause|resume deployment/NAME',
  ],
  subverbs: Object.keys(SUBVERBS),
  connects: true,
  flags: [
    { flag: 'watch', short: 'w', type: 'switch', default: true, describe: 'status: wait until it is done' },
    TIMEOUT_FLAG,
    { flag: 'revision', type: 'number', value: 'N', describe: 'status, history: of this revision' },
    { flag: 'to-revision', type: 'number', value: 'N', describe: 'undo: back to this revision; 0 is the one before' },
    outputFlag(['json', 'yaml', 'name']),
  ],
  examples: [
    ['wait for a rollout', 'rollout status deploy/web --timeout=2m'],
    ['back to what ran before', 'rollout undo deploy/web'],
  ],
  run,
}
