// helio get -w: the table first, then a line per change, in the same columns.

import { isObject } from '../base/json.ts'
import type { Client, Query } from './client.ts'
import { widthOf } from './elastic-text.ts'
import { Refused } from './failure.ts'
import { styleOf } from './get.ts'
import { WATCH_AGAIN_MS } from './limits.ts'
import { objectText } from './object-text.ts'
import { pathOf, type Resource } from './resources.ts'
import { headerCells, rowCells, TABLE_ACCEPT, type Table, type TableStyle, tableOf } from './table.ts'
import type { Selection } from './target.ts'
import type { VerbContext } from './verb.ts'
import { resourceVersionOf, watchOnce } from './watch.ts'

interface WatchScope {
  readonly context: VerbContext
  readonly client: Client
  readonly namespace: string
  readonly form: string | undefined
  readonly several: boolean
  readonly query: Query
}

/** Rows that arrive one by one: a column never gets narrower. */
const rowPrinter = (scope: WatchScope, style: TableStyle) => {
  const widths: number[] = []
  let columns: Table['columns'] = []
  let headed = false
  const print = async (cells: readonly string[]): Promise<void> => {
    const last = cells.length - 1
    await scope.context.output.line(
      cells.map((cell, i) => (i === last ? cell : cell + ' '.repeat((widths[i] ?? 0) - widthOf(cell)))).join(''),
    )
  }
  return async (table: Table): Promise<void> => {
    if (table.columns.length > 0) columns = table.columns
    const head = headerCells({ columns }, style)
    const rows = table.rows.map(row => rowCells({ columns }, row, style, scope.context.output))
    for (const cells of [head, ...rows]) for (const [i, cell] of cells.entries()) widths[i] = Math.max(widths[i] ?? 0, widthOf(cell) + 3)
    if (style.headers && !headed && rows.length > 0) {
      headed = true
      await print(head)
    }
    for (const cells of rows) await print(cells)
  }
}

type Print = (object: Record<string, unknown>) => Promise<void>

const printerOf = (scope: WatchScope, resource: Resource): { print: Print; accept: string } => {
  if (scope.form === undefined || scope.form === 'wide') {
    const printRows = rowPrinter(scope, styleOf(scope, resource))
    return { accept: TABLE_ACCEPT, print: object => printRows(tableOf(object)) }
  }
  const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`
  let documents = 0
  return {
    accept: 'application/json',
    async print(object) {
      const items = Array.isArray(object['items']) ? object['items'].filter(isObject) : [object]
      for (const item of items) {
        const text = (await objectText({ apiVersion, kind: resource.kind, ...item }, scope.form)) ?? ''
        await scope.context.output.write(scope.form === 'yaml' && documents++ > 0 ? `---\n${text}` : text)
      }
    },
  }
}

/** Prints until interrupted; a watch that ends is opened again where it was. */
export const watchSelection = async (scope: WatchScope, { resource, names }: Selection): Promise<void> => {
  const { client, context } = scope
  const { signal } = context
  const path = pathOf(resource, scope.namespace)
  const query: Query = names[0] === undefined ? scope.query : { ...scope.query, fieldSelector: `metadata.name=${names[0]}` }
  const { print, accept } = printerOf(scope, resource)
  const list = async (): Promise<Record<string, unknown>> => client.json('GET', path, { query, accept, signal })
  let present = await list()
  if (!context.flags.on('watch-only')) await print(present)
  let resourceVersion = resourceVersionOf(present)
  for (;;) {
    try {
      for await (const event of watchOnce(client, path, { ...query, resourceVersion }, accept, signal)) {
        const seen = Array.isArray(event.object['rows'])
          ? event.object['rows']
              .map(row => (isObject(row) && isObject(row['object']) ? resourceVersionOf(row['object']) : undefined))
              .find(Boolean)
          : undefined
        resourceVersion = resourceVersionOf(event.object) ?? seen ?? resourceVersion
        if (event.type !== 'BOOKMARK') await print(event.object)
      }
    } catch (error) {
      if (signal.aborted || !(error instanceof Refused) || error.code !== 410) throw error
      // Too far behind: what is now says it all.
      present = await list()
      resourceVersion = resourceVersionOf(present)
      await print(present)
    }
    await context.deps.clock.sleep(WATCH_AGAIN_MS, signal)
    signal.throwIfAborted()
  }
}
