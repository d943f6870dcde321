// helio get: lists and objects as tables, JSON, YAML or names; also watched.

import { isObject } from '../base/json.ts'
import type { Client, Query } from './client.ts'
import { Failure, isNotFound, usage } from './failure.ts'
import { CHUNK_SIZE } from './limits.ts'
import { listOf, objectText } from './object-text.ts'
import { pathOf, type Resource, singularOf } from './resources.ts'
import { TABLE_ACCEPT, type Table, type TableStyle, tableLines, tableOf } from './table.ts'
import { type Selection, selectionsOf } from './target.ts'
import { ALL_NAMESPACES_FLAG, FIELD_SELECTOR_FLAG, FILENAME_FLAGS, outputFlag, SELECTOR_FLAG, type Verb, type VerbContext } from './verb.ts'

interface Scope {
  readonly context: VerbContext
  readonly client: Client
  /** '' for all. */
  readonly namespace: string
  readonly form: string | undefined
  readonly several: boolean
}

const queryOf = ({ flags }: VerbContext): Query => ({ labelSelector: flags.text('selector'), fieldSelector: flags.text('field-selector') })

export const styleOf = (scope: Pick<Scope, 'context' | 'form' | 'several' | 'namespace'>, resource: Resource): TableStyle => ({
  wide: scope.form === 'wide',
  headers: !scope.context.flags.on('no-headers'),
  namespace: resource.namespaced && scope.namespace === '',
  labels: scope.context.flags.on('show-labels'),
  prefix: scope.several ? `${singularOf(resource)}/` : '',
})

/** A collection in chunks, put together again; `merge` adds a chunk's part. */
const listChunks = async (scope: Scope, resource: Resource, accept: string, query: Query): Promise<Record<string, unknown>[]> => {
  const chunks: Record<string, unknown>[] = []
  let next: string | undefined
  do {
    const chunk = await scope.client.json('GET', pathOf(resource, scope.namespace), {
      query: { ...query, ...queryOf(scope.context), limit: CHUNK_SIZE, continue: next },
      accept,
    })
    chunks.push(chunk)
    const metadata = chunk['metadata']
    next = isObject(metadata) && typeof metadata['continue'] === 'string' && metadata['continue'] !== '' ? metadata['continue'] : undefined
  } while (next !== undefined)
  return chunks
}

/** Answers for a selection: the chunks of a list, or one per name; a missing name is complained about. */
const fetchSelection = async (
  scope: Scope,
  { resource, names }: Selection,
  accept: string,
  query: Query = {},
): Promise<Record<string, unknown>[]> => {
  if (names.length === 0) return listChunks(scope, resource, accept, query)
  if (scope.namespace === '' && resource.namespaced) throw usage('a resource cannot be retrieved by name across all namespaces')
  const answers = await Promise.all(
    names.map(async name => {
      try {
        return await scope.client.json('GET', pathOf(resource, scope.namespace, name), { accept, query })
      } catch (error) {
        if (!(isNotFound(error) && scope.context.flags.on('ignore-not-found'))) scope.context.complain(error)
        return undefined
      }
    }),
  )
  return answers.filter(answer => answer !== undefined)
}

const at = (object: unknown, path: readonly string[]): unknown => {
  const [head, ...rest] = path
  return head === undefined ? object : isObject(object) ? at(object[head], rest) : undefined
}

/** `.metadata.name` or `{.metadata.name}`. */
const sortPath = (text: string): readonly string[] => {
  const inner = /^\{?\.?([\w.-]+)\}?$/.exec(text)?.[1]
  if (inner === undefined) throw usage(`cannot sort by ${JSON.stringify(text)}`, 'give a path such as .metadata.creationTimestamp')
  return inner.split('.')
}

const compare = (a: unknown, b: unknown): number => {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  const [x, y] = [String(a ?? ''), String(b ?? '')]
  return x < y ? -1 : x > y ? 1 : 0
}

const sortBy = (scope: Scope): ((a: Record<string, unknown>, b: Record<string, unknown>) => number) | undefined => {
  const text = scope.context.flags.text('sort-by')
  if (text === undefined) return undefined
  const path = sortPath(text)
  return (a, b) => compare(at(a, path), at(b, path))
}

const emptyText = (scope: Scope, selections: readonly Selection[]): string =>
  scope.namespace !== '' && selections.some(each => each.resource.namespaced)
    ? `No resources found in ${scope.namespace} namespace.`
    : 'No resources found'

const printTables = async (scope: Scope, selections: readonly Selection[]): Promise<void> => {
  const order = sortBy(scope)
  let printed = 0
  const answers = await Promise.all(
    selections.map(each => fetchSelection(scope, each, TABLE_ACCEPT, order ? { includeObject: 'Object' } : {})),
  )
  for (const [i, { resource }] of selections.entries()) {
    const tables = (answers[i] ?? []).map(tableOf)
    const rows = tables.flatMap(table => table.rows)
    if (rows.length === 0) continue
    const sortedRows = order ? [...rows].sort((a, b) => order(a.object, b.object)) : rows
    const table: Table = { columns: tables[0]?.columns ?? [], rows: sortedRows }
    const lines = tableLines(table, styleOf(scope, resource), scope.context.output)
    await scope.context.output.write(`${printed > 0 ? '\n' : ''}${lines.join('\n')}\n`)
    printed += rows.length
  }
  if (printed === 0 && selections.some(each => each.names.length === 0)) scope.context.output.note(emptyText(scope, selections))
}

const printObjects = async (scope: Scope, selections: readonly Selection[]): Promise<void> => {
  const objects: Record<string, unknown>[] = []
  for (const selection of selections) {
    const { resource } = selection
    const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`
    for (const answer of await fetchSelection(scope, selection, 'application/json')) {
      if (selection.names.length > 0) objects.push(answer)
      else
        for (const item of Array.isArray(answer['items']) ? answer['items'].filter(isObject) : [])
          objects.push({ apiVersion, kind: resource.kind, ...item })
    }
  }
  const order = sortBy(scope)
  if (order) objects.sort(order)
  const [only] = objects
  const one = selections.length === 1 && selections[0]?.names.length === 1
  if (one && only === undefined) return
  const text = await objectText(one && only ? only : listOf(objects), scope.form)
  await scope.context.output.write(text ?? '')
}

const run = async (context: VerbContext): Promise<void> => {
  const { flags } = context
  const client = await context.client()
  const form = flags.text('output')
  const namespace = flags.on('all-namespaces') ? '' : await context.namespace()
  const files = flags.list('filename')
  const resources = await context.resources()
  const selections = files.length > 0 ? await selectionsOfFiles(context, files) : selectionsOf(context.words, resources)
  const scope: Scope = {
    context,
    client,
    namespace,
    form,
    several: selections.length > 1 && new Set(selections.map(each => each.resource)).size > 1,
  }
  if (flags.on('watch') || flags.on('watch-only')) {
    const [only, ...more] = selections
    if (only === undefined || more.length > 0 || only.names.length > 1) throw usage('watch one type, or one object, at a time')
    const { watchSelection } = await import('./get-watch.ts')
    return watchSelection({ ...scope, query: queryOf(context) }, only)
  }
  if (form === undefined || form === 'wide') return printTables(scope, selections)
  return printObjects(scope, selections)
}

const selectionsOfFiles = async (context: VerbContext, files: readonly string[]): Promise<Selection[]> => {
  const { readManifests } = await import('./manifest.ts')
  const resources = await context.resources()
  return (await readManifests(files, { recursive: context.flags.on('recursive'), stdin: context.deps.stdin })).map(({ object, from }) => {
    const resource = resources.byKind(object.apiVersion, object.kind)
    if (resource === undefined)
      throw new Failure(`${from}: no matches for kind ${JSON.stringify(object.kind)} in version ${JSON.stringify(object.apiVersion)}`)
    return { resource, names: [object.metadata.name ?? ''] }
  })
}

export const verb: Verb = {
  name: 'get',
  summary: 'list objects, or show some',
  usage: ['get TYPE[,TYPE…] [NAME…] [flags]', 'get TYPE/NAME… [flags]', 'get -f FILE [flags]'],
  connects: true,
  flags: [
    outputFlag(['json', 'yaml', 'wide', 'name']),
    ALL_NAMESPACES_FLAG,
    SELECTOR_FLAG,
    FIELD_SELECTOR_FLAG,
    { flag: 'watch', short: 'w', type: 'switch', describe: 'go on printing changes' },
    { flag: 'watch-only', type: 'switch', describe: 'print changes only, not what is there now' },
    { flag: 'no-headers', type: 'switch', describe: 'leave out the headers' },
    { flag: 'show-labels', type: 'switch', describe: 'add a column of labels' },
    { flag: 'sort-by', type: 'text', value: 'PATH', describe: 'sort by a field, as in .metadata.creationTimestamp' },
    { flag: 'ignore-not-found', type: 'switch', describe: 'a missing object is no error' },
    ...FILENAME_FLAGS,
  ],
  examples: [
    ['pods of a namespace, with addresses and nodes', 'get pods -n web -o wide'],
    ['everything that is not running', 'get pods -A --field-selector status.phase!=Running'],
    ['one deployment as YAML', 'get deploy/web -o yaml'],
    ['follow the nodes', 'get nodes -w'],
  ],
  run,
}
