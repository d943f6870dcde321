// Objects as tables and as bare metadata, the forms kubectl and metadata informers ask for. Source: k8s meta/v1 Table.

import type { KubeObject } from '../base/object.ts'
import type { Kind } from '../kinds/kind.ts'
import type { Form } from './accept.ts'
import { badRequest } from './refusal.ts'

export type IncludeObject = 'None' | 'Metadata' | 'Object'

/** The includeObject parameter; Metadata when absent. */
export const includeObjectOf = (query: URLSearchParams): IncludeObject => {
  const value = query.get('includeObject') ?? ''
  if (value === '') return 'Metadata'
  if (value === 'None' || value === 'Metadata' || value === 'Object') return value
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(value)}`)
}

/** Metadata of a list: revision and, when there is more, how to go on. */
export interface ListMeta {
  readonly resourceVersion: string
  readonly continue?: string
  readonly remainingItemCount?: number
}

export interface TableOptions {
  readonly version: Form['version']
  readonly include: IncludeObject
  /** Wall time ages are counted from. */
  readonly nowMs: number
  readonly meta: ListMeta
  /** False for the later events of a watch: the client keeps the columns of the first. */
  readonly columns: boolean
}

export const toPartial = (object: KubeObject, version: Form['version']): KubeObject => ({
  kind: 'PartialObjectMetadata',
  apiVersion: `meta.k8s.io/${version}`,
  metadata: object.metadata,
})

export const toTable = (kind: Pick<Kind, 'columns' | 'row'>, objects: readonly KubeObject[], options: TableOptions): KubeObject => ({
  kind: 'Table',
  apiVersion: `meta.k8s.io/${options.version}`,
  metadata: options.meta as KubeObject['metadata'],
  columnDefinitions: options.columns
    ? kind.columns.map(({ name, type, format, description, priority }) => ({ name, type, format: format ?? '', description, priority }))
    : [],
  rows: objects.map(object => ({ cells: kind.row(object, options.nowMs), object: rowObject(object, options) })),
})

const rowObject = (object: KubeObject, { include, version }: TableOptions): KubeObject | null => {
  if (include === 'None') return null
  return include === 'Object' ? object : toPartial(object, version)
}
