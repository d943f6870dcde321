// helio delete: by manifest, by name, by label or all of a type; waits until the objects are gone.

import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import { dryRunNote, dryRunOf, placed, resourceOf } from './apply.ts'
import type { Client } from './client.ts'
import { Failure, isNotFound, usage } from './failure.ts'
import { readManifests } from './manifest.ts'
import { openProgress } from './progress.ts'
import { pathOf, type Resource, singularOf } from './resources.ts'
import { selectionsOf } from './target.ts'
import {
  ALL_NAMESPACES_FLAG,
  DRY_RUN_FLAG,
  FIELD_SELECTOR_FLAG,
  FILENAME_FLAGS,
  outputFlag,
  SELECTOR_FLAG,
  TIMEOUT_FLAG,
  type Verb,
  type VerbContext,
} from './verb.ts'
import { follow } from './watch.ts'

interface Doomed {
  readonly resource: Resource
  readonly namespace: string
  readonly name: string
}

const CASCADE: Readonly<Record<string, string>> = {
  background: 'Background',
  foreground: 'Foreground',
  orphan: 'Orphan',
  true: 'Background',
  false: 'Orphan',
}

/** Grace as kubectl means it: --now is 1 s; 0 takes --force, and --force alone is 0. */
const graceOf = (context: VerbContext): number | undefined => {
  const { flags } = context
  const given = flags.number('grace-period')
  const grace = given !== undefined && given < 0 ? undefined : given
  if (flags.on('now')) {
    if (grace !== undefined) throw usage('--now and --grace-period cannot be specified together')
    return 1
  }
  if (flags.on('force')) {
    if (grace !== undefined && grace > 0) throw usage('--force and --grace-period greater than 0 cannot be specified together')
    context.output.note(
      `${context.output.paint('yellow', 'Warning:', 'stderr')} immediate deletion does not wait for confirmation that the containers have stopped`,
    )
    return 0
  }
  // Without --force, 0 would orphan running containers: kubectl waits with 1 instead.
  return grace === 0 ? 1 : grace
}

const listDoomed = async (context: VerbContext, client: Client, resource: Resource, namespace: string): Promise<Doomed[]> => {
  const { flags } = context
  const list = await client.json('GET', pathOf(resource, namespace), {
    query: { labelSelector: flags.text('selector'), fieldSelector: flags.text('field-selector') },
  })
  const items = Array.isArray(list['items']) ? (list['items'] as KubeObject[]) : []
  return items.map(item => ({ resource, namespace: item.metadata.namespace ?? '', name: item.metadata.name ?? '' }))
}

const doomedOf = async (context: VerbContext): Promise<Doomed[]> => {
  const { flags, words } = context
  const files = flags.list('filename')
  if (files.length > 0) {
    if (words.length > 0) throw usage('when -f is given, no resource may be named')
    const found: Doomed[] = []
    for (const manifest of await readManifests(files, { recursive: flags.on('recursive'), stdin: context.deps.stdin })) {
      const resource = await resourceOf(context, manifest)
      const { metadata } = await placed(context, manifest, resource)
      found.push({ resource, namespace: metadata.namespace ?? '', name: metadata.name ?? '' })
    }
    return found
  }
  if (words.length === 0) throw usage('say what to delete: TYPE NAME, TYPE -l SELECTOR, TYPE --all or -f FILE')
  const client = await context.client()
  const chosen = flags.on('all') || flags.has('selector') || flags.has('field-selector')
  const namespace = flags.on('all-namespaces') ? '' : await context.namespace()
  const found: Doomed[] = []
  for (const { resource, names } of selectionsOf(words, await context.resources())) {
    if (names.length > 0 && chosen) throw usage('a name cannot be given together with --all or a selector')
    if (names.length > 0) found.push(...names.map(name => ({ resource, namespace: resource.namespaced ? namespace : '', name })))
    else if (chosen) found.push(...(await listDoomed(context, client, resource, namespace)))
    else throw usage('resource(s) were provided, but no name was specified', 'name them, or give --all or -l SELECTOR')
  }
  return found
}

interface Deleted extends Doomed {
  readonly uid: string | undefined
}

/** `goneNamespaces` were deleted by this command: what they take with them is not missing. */
const deleteOne = async (
  context: VerbContext,
  client: Client,
  doomed: Doomed,
  goneNamespaces: ReadonlySet<string>,
): Promise<Deleted | undefined> => {
  const { flags, output } = context
  const dryRun = dryRunOf(context)
  const { resource, namespace, name } = doomed
  const path = pathOf(resource, namespace, name)
  const grace = graceOf(context)
  const body = {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    propagationPolicy: CASCADE[flags.text('cascade') ?? 'background'],
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(dryRun === 'server' ? { dryRun: ['All'] } : {}),
  }
  try {
    const answer = await client.json(dryRun === 'client' ? 'GET' : 'DELETE', path, dryRun === 'client' ? {} : { body })
    const within = namespace === '' ? '' : ` from ${namespace} namespace`
    if (flags.text('output') === 'name') await output.line(`${singularOf(resource)}/${name}`)
    else
      await output.line(
        `${singularOf(resource)} ${JSON.stringify(name)} ${flags.on('force') ? 'force deleted' : 'deleted'}${within}${dryRunNote(dryRun)}`,
      )
    const metadata = isObject(answer['metadata']) ? answer['metadata'] : {}
    const details = isObject(answer['details']) ? answer['details'] : {}
    const uid = metadata['uid'] ?? details['uid']
    return { ...doomed, uid: typeof uid === 'string' ? uid : undefined }
  } catch (error) {
    if (isNotFound(error) && goneNamespaces.has(namespace))
      await output.line(`${singularOf(resource)} ${JSON.stringify(name)} deleted with its namespace`)
    else if (!(isNotFound(error) && flags.on('ignore-not-found'))) context.complain(error)
    return undefined
  }
}

/** Settles when the object is gone or another one has its name. */
const untilGone = async (
  context: VerbContext,
  client: Client,
  { resource, namespace, name, uid }: Deleted,
  signal: AbortSignal,
): Promise<void> => {
  const path = pathOf(resource, namespace)
  for await (const object of follow({ client, clock: context.deps.clock, path, name, signal })) {
    if (object === undefined || (uid !== undefined && object.metadata.uid !== uid)) return
  }
}

const waitForAll = async (context: VerbContext, client: Client, deleted: readonly Deleted[]): Promise<void> => {
  const timeoutMs = context.flags.durationMs('timeout') ?? 0
  const limit = new AbortController()
  const cancel = timeoutMs > 0 ? context.deps.clock.after(timeoutMs, () => limit.abort()) : () => {}
  const progress = openProgress(context.output, context.deps.clock)
  let left = deleted.length
  const show = (): void => progress.show(`waiting for ${left === 1 ? '1 object' : `${left} objects`} to be gone`)
  show()
  try {
    await Promise.all(
      deleted.map(async each => {
        await untilGone(context, client, each, AbortSignal.any([context.signal, limit.signal]))
        left--
        show()
      }),
    )
  } catch (error) {
    if (!limit.signal.aborted || context.signal.aborted) throw error
    throw new Failure(`timed out waiting: ${left} of ${deleted.length} objects are still there`, {
      cause: error,
      hint: 'finalizers may hold them: helio get -o yaml shows which',
    })
  } finally {
    cancel()
    limit.abort()
    progress.done()
  }
}

const run = async (context: VerbContext): Promise<void> => {
  const doomed = await doomedOf(context)
  if (doomed.length === 0) {
    context.output.note('No resources found')
    return
  }
  const client = await context.client()
  const deleted: Deleted[] = []
  const goneNamespaces = new Set<string>()
  for (const each of doomed) {
    const done = await deleteOne(context, client, each, goneNamespaces)
    if (done) deleted.push(done)
    if (done && each.resource.group === '' && each.resource.kind === 'Namespace') goneNamespaces.add(each.name)
  }
  const { flags } = context
  const waits = dryRunOf(context) === 'none' && flags.on('wait') && (!flags.on('force') || flags.has('wait'))
  if (waits && deleted.length > 0) await waitForAll(context, client, deleted)
}

export const verb: Verb = {
  name: 'delete',
  summary: 'delete objects',
  usage: ['delete -f FILE|FOLDER|-', 'delete TYPE NAME…', 'delete TYPE/NAME…', 'delete TYPE -l SELECTOR | --all'],
  connects: true,
  flags: [
    ...FILENAME_FLAGS,
    SELECTOR_FLAG,
    FIELD_SELECTOR_FLAG,
    ALL_NAMESPACES_FLAG,
    { flag: 'all', type: 'switch', describe: 'all objects of the type' },
    { flag: 'grace-period', type: 'number', value: 'SECONDS', describe: 'time for containers to end by themselves' },
    { flag: 'now', type: 'switch', describe: 'a grace of one second' },
    { flag: 'force', type: 'switch', describe: 'do not wait for the device to confirm' },
    {
      flag: 'cascade',
      type: 'text',
      choices: ['background', 'foreground', 'orphan', 'true', 'false'],
      bare: 'background',
      default: 'background',
      describe: 'what happens to the objects these own',
    },
    { flag: 'wait', type: 'switch', default: true, describe: 'wait until they are gone' },
    { flag: 'ignore-not-found', type: 'switch', describe: 'a missing object is no error' },
    TIMEOUT_FLAG,
    DRY_RUN_FLAG,
    outputFlag(['name']),
  ],
  examples: [
    ['what a folder of manifests made', 'delete -f edge-configs/hello/'],
    ['one pod; its ReplicaSet makes another', 'delete pod web-5d4f-abcde'],
    ['by label', 'delete pods -l app=web -n web'],
  ],
  run,
}
