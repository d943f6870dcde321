// helio apply: client-side three-way merge with kubectl's own annotation, so the two may be used in turn on the same objects.

import { canonicalJson, isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Client, Query } from './client.ts'
import { Failure, isConflict, isNotFound, Refused } from './failure.ts'
import { APPLY_ATTEMPTS_MAX } from './limits.ts'
import { type Manifest, readManifests } from './manifest.ts'
import { listOf, nameText, objectText } from './object-text.ts'
import { pathOf, type Resource } from './resources.ts'
import { definitionNameOf, threeWayPatch } from './three-way-patch.ts'
import { DRY_RUN_FLAG, FILENAME_FLAGS, outputFlag, SELECTOR_FLAG, type Verb, type VerbContext } from './verb.ts'

export const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
/** kubectl's own field manager: the two share one entry in managedFields. */
const FIELD_MANAGER = 'kubectl-client-side-apply'

export type DryRun = 'none' | 'client' | 'server'

/** What --validate means to the server. */
export const fieldValidationOf = (text: string | undefined): 'Strict' | 'Warn' | 'Ignore' =>
  text === 'warn' ? 'Warn' : text === 'ignore' || text === 'false' ? 'Ignore' : 'Strict'

export const VALIDATE_FLAG = {
  flag: 'validate',
  type: 'text',
  choices: ['strict', 'warn', 'ignore', 'true', 'false'],
  bare: 'strict',
  default: 'strict',
  describe: 'what to do about unknown fields: refuse, warn or drop them',
} as const

export const dryRunOf = (context: VerbContext): DryRun => (context.flags.text('dry-run') ?? 'none') as DryRun
export const dryRunNote = (dryRun: DryRun): string => (dryRun === 'none' ? '' : dryRun === 'client' ? ' (dry run)' : ' (server dry run)')

/** The resource of a manifest; kinds made by the manifests before it are found by asking again. */
export const resourceOf = async (context: VerbContext, { object, from }: Manifest): Promise<Resource> => {
  const known =
    (await context.resources()).byKind(object.apiVersion, object.kind) ??
    (await context.resources(true)).byKind(object.apiVersion, object.kind)
  if (known) return known
  throw new Failure(`${from}: no matches for kind ${JSON.stringify(object.kind)} in version ${JSON.stringify(object.apiVersion)}`, {
    hint: 'helio api-resources lists the kinds; a CustomResourceDefinition comes first',
  })
}

/** The manifest with its namespace filled in; refuses one that contradicts -n. */
export const placed = async (context: VerbContext, manifest: Manifest, resource: Resource): Promise<KubeObject> => {
  const { object, from } = manifest
  const { namespace, ...metadata } = object.metadata
  if (!resource.namespaced) return { ...object, metadata }
  const asked = context.flags.text('namespace')
  if (asked !== undefined && namespace !== undefined && asked !== namespace) {
    throw new Failure(
      `${from}: the namespace from the provided object ${JSON.stringify(namespace)} does not match the namespace ${JSON.stringify(asked)}`,
      { hint: `pass --namespace=${namespace} or leave it out` },
    )
  }
  return { ...object, metadata: { ...metadata, namespace: namespace ?? (await context.namespace()) } }
}

/** With the annotation kubectl reads: the manifest itself, keys sorted as kubectl sorts them. */
const annotated = (object: KubeObject): KubeObject => {
  const { [LAST_APPLIED]: _old, ...annotations } = object.metadata.annotations ?? {}
  const { creationTimestamp: _stamp, ...metadata } = object.metadata
  const bare = { ...object, metadata: { ...metadata, annotations } }
  return { ...bare, metadata: { ...bare.metadata, annotations: { ...annotations, [LAST_APPLIED]: `${canonicalJson(bare)}\n` } } }
}

const lastApplied = (live: Record<string, unknown>): unknown => {
  const metadata = isObject(live['metadata']) ? live['metadata'] : {}
  const annotations = isObject(metadata['annotations']) ? metadata['annotations'] : {}
  const text = annotations[LAST_APPLIED]
  if (typeof text !== 'string') return undefined
  try {
    return JSON.parse(text)
  } catch (error) {
    // Someone wrote rubbish there: then nothing is known of the last time, as without it.
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

interface Applied {
  readonly object: Record<string, unknown>
  readonly outcome: 'created' | 'configured' | 'unchanged'
}

const revisionOf = (object: Record<string, unknown>): unknown =>
  isObject(object['metadata']) ? object['metadata']['resourceVersion'] : undefined

const find = async (client: Client, path: string): Promise<Record<string, unknown> | undefined> => {
  try {
    return await client.json('GET', path)
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}

const applyOnce = async (context: VerbContext, resource: Resource, wanted: KubeObject, dryRun: DryRun): Promise<Applied> => {
  const client = await context.client()
  const { name = '', namespace = '' } = wanted.metadata
  const path = pathOf(resource, namespace, name)
  const query: Query = {
    fieldManager: FIELD_MANAGER,
    fieldValidation: fieldValidationOf(context.flags.text('validate')),
    ...(dryRun === 'server' ? { dryRun: 'All' } : {}),
  }
  const live = await find(client, path)
  if (live === undefined) {
    if (dryRun === 'client') return { object: wanted, outcome: 'created' }
    return { object: await client.json('POST', pathOf(resource, namespace), { body: wanted, query }), outcome: 'created' }
  }
  const last = lastApplied(live)
  if (last === undefined)
    context.output.note(
      `${context.output.paint('yellow', 'Warning:', 'stderr')} ${nameText(wanted)} was not made by apply: fields left out of the manifest now stay as they are`,
    )
  const schema = definitionNameOf(wanted.apiVersion, wanted.kind)
  const patch = threeWayPatch(last, wanted, live, schema)
  if (Object.keys(patch).length === 0) return { object: live, outcome: 'unchanged' }
  if (dryRun === 'client') return { object: live, outcome: 'configured' }
  const contentType = schema === undefined ? 'application/merge-patch+json' : 'application/strategic-merge-patch+json'
  const object = await client.json('PATCH', path, { body: patch, contentType, query })
  return { object, outcome: dryRun === 'none' && revisionOf(object) === revisionOf(live) ? 'unchanged' : 'configured' }
}

/** A conflict, or an object made or deleted in between, means: look again. */
const applyManifest = async (context: VerbContext, manifest: Manifest, dryRun: DryRun): Promise<Applied> => {
  const resource = await resourceOf(context, manifest)
  const wanted = annotated(await placed(context, manifest, resource))
  if (!wanted.metadata.name)
    throw new Failure(`${manifest.from}: a ${wanted.kind} without metadata.name cannot be applied`, {
      hint: 'helio create takes generateName',
    })
  for (let attempt = 1; ; attempt++) {
    try {
      return await applyOnce(context, resource, wanted, dryRun)
    } catch (error) {
      const raced =
        isConflict(error) ||
        (error instanceof Refused && (error.status.reason === 'AlreadyExists' || error.status.reason === 'NotFound') && attempt === 1)
      if (!raced || attempt >= APPLY_ATTEMPTS_MAX) throw error
    }
  }
}

const labelled = async (context: VerbContext, manifests: readonly Manifest[]): Promise<readonly Manifest[]> => {
  const text = context.flags.text('selector')
  if (text === undefined) return manifests
  const { matchesSelector, parseSelector } = await import('../kinds/selector.ts')
  const selector = parseSelector(text)
  if (selector.problem !== undefined) throw new Failure(`read selector: ${selector.problem}`, { exitCode: 2 })
  return manifests.filter(({ object }) => matchesSelector(selector.ok, object.metadata.labels))
}

const run = async (context: VerbContext): Promise<void> => {
  const { flags, output } = context
  const [word] = context.words
  if (word !== undefined)
    throw new Failure(`unexpected argument ${JSON.stringify(word)}`, { exitCode: 2, hint: `did you mean -f ${word}?` })
  const dryRun = dryRunOf(context)
  const form = flags.text('output')
  const manifests = await labelled(
    context,
    await readManifests(flags.list('filename'), { recursive: flags.on('recursive'), stdin: context.deps.stdin }),
  )
  const objects: Record<string, unknown>[] = []
  for (const manifest of manifests) {
    try {
      const { object, outcome } = await applyManifest(context, manifest, dryRun)
      objects.push(object)
      if (form === undefined) await output.line(`${nameText(manifest.object)} ${outcome}${dryRunNote(dryRun)}`)
    } catch (error) {
      context.complain(error)
    }
  }
  const [first] = objects
  if (form !== undefined && first !== undefined)
    await output.write((await objectText(objects.length === 1 ? first : listOf(objects), form)) ?? '')
}

export const verb: Verb = {
  name: 'apply',
  summary: 'make the cluster what manifests say',
  usage: ['apply -f FILE|FOLDER|- [flags]'],
  connects: true,
  flags: [...FILENAME_FLAGS, SELECTOR_FLAG, DRY_RUN_FLAG, VALIDATE_FLAG, outputFlag(['json', 'yaml', 'name'])],
  examples: [
    ['everything in a folder', 'apply -f edge-configs/hello/'],
    ['from a program', 'apply -f -'],
    ['see whether the server would take it', 'apply -f web.yaml --dry-run=server'],
  ],
  run,
}
