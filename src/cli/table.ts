// Tables as the server makes them (meta.k8s.io/v1 Table), printed as kubectl prints them.

import { isObject } from '../base/json.ts'
import { alignLines, TABLE } from './elastic-text.ts'
import type { Colour, Output } from './output.ts'

export const TABLE_ACCEPT = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'

export interface TableColumn {
  readonly name: string
  readonly priority: number
}

export interface TableRow {
  readonly cells: readonly unknown[]
  readonly object: Record<string, unknown>
}

export interface Table {
  readonly columns: readonly TableColumn[]
  readonly rows: readonly TableRow[]
}

const metadataOf = (object: Record<string, unknown>): Record<string, unknown> => (isObject(object['metadata']) ? object['metadata'] : {})

/** A Table out of an answer; a server that has none for this kind gets a table of names. */
export const tableOf = (answer: Record<string, unknown>): Table => {
  if (answer['kind'] === 'Table') {
    const columns = Array.isArray(answer['columnDefinitions']) ? answer['columnDefinitions'] : []
    const rows = Array.isArray(answer['rows']) ? answer['rows'] : []
    return {
      columns: columns.filter(isObject).map(column => ({ name: String(column['name'] ?? ''), priority: Number(column['priority'] ?? 0) })),
      rows: rows.filter(isObject).map(row => ({
        cells: Array.isArray(row['cells']) ? row['cells'] : [],
        object: isObject(row['object']) ? row['object'] : {},
      })),
    }
  }
  const items = Array.isArray(answer['items']) ? answer['items'].filter(isObject) : [answer]
  return {
    columns: [
      { name: 'Name', priority: 0 },
      { name: 'Created At', priority: 0 },
    ],
    rows: items.map(object => ({ cells: [metadataOf(object)['name'], metadataOf(object)['creationTimestamp']], object })),
  }
}

export interface TableStyle {
  readonly wide: boolean
  readonly headers: boolean
  readonly namespace: boolean
  readonly labels: boolean
  /** `pod/` before names, when several types are shown together. */
  readonly prefix: string
}

const cellText = (cell: unknown): string => {
  if (cell === null || cell === undefined || cell === '') return '<none>'
  const text = typeof cell === 'string' ? cell : isObject(cell) || Array.isArray(cell) ? JSON.stringify(cell) : String(cell)
  // Nothing an object says may move the cursor or start a line.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach the terminal.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, char => (char === '\n' ? '\\n' : char === '\t' ? '\\t' : '?'))
}

const GOOD = /^(?:Running|Ready|Active|Bound|Completed|Succeeded|Available|Complete)$/
const WAITING =
  /^(?:Pending|ContainerCreating|PodInitializing|Terminating|Init:\d+\/\d+|Unknown|Ready,Offline|NotReady|.*,Unknown(?:,Braked)?|Held|Superseded|.*SchedulingDisabled|SchedulingGated)$/

const statusColour = (text: string): Colour => (GOOD.test(text) ? 'green' : WAITING.test(text) ? 'yellow' : 'red')

const labelsText = (object: Record<string, unknown>): string => {
  const labels = metadataOf(object)['labels']
  const pairs = isObject(labels) ? Object.entries(labels).map(([key, value]) => `${key}=${String(value)}`) : []
  return pairs.length === 0 ? '<none>' : pairs.sort().join(',')
}

const shownColumns = (table: Pick<Table, 'columns'>, style: TableStyle): number[] =>
  table.columns.flatMap((column, i) => (column.priority === 0 || style.wide ? [i] : []))

export const headerCells = (table: Pick<Table, 'columns'>, style: TableStyle): string[] => [
  ...(style.namespace ? ['NAMESPACE'] : []),
  ...shownColumns(table, style).map(i => (table.columns[i]?.name ?? '').toUpperCase()),
  ...(style.labels ? ['LABELS'] : []),
]

export const rowCells = (table: Pick<Table, 'columns'>, row: TableRow, style: TableStyle, output: Pick<Output, 'paint'>): string[] => [
  ...(style.namespace ? [cellText(metadataOf(row.object)['namespace'])] : []),
  ...shownColumns(table, style).map(i => {
    const name = table.columns[i]?.name.toLowerCase()
    const text = cellText(row.cells[i])
    if (name === 'status') return output.paint(statusColour(text), text)
    return name === 'name' ? style.prefix + text : text
  }),
  ...(style.labels ? [labelsText(row.object)] : []),
]

/** Lines of a table; `output` colours the status. */
export const tableLines = (table: Table, style: TableStyle, output: Pick<Output, 'paint'>): string[] =>
  alignLines(
    [...(style.headers ? [headerCells(table, style)] : []), ...table.rows.map(row => rowCells(table, row, style, output))].map(cells =>
      cells.join('\t'),
    ),
    TABLE,
  )

/** Lines of a table made here: headers and rows of text. */
export const plainTable = (headers: readonly string[], rows: readonly (readonly string[])[], showHeaders = true): string[] =>
  alignLines(
    [...(showHeaders ? [headers] : []), ...rows].map(cells => cells.map(cellText).join('\t')),
    TABLE,
  )
