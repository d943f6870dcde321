// Which objects of a collection a request is about: label selector and field selector together. An empty selection costs nothing.

import type { KubeObject } from '../base/object.ts'
import { type FieldTerm, matchesFields, parseFieldSelector } from '../kinds/field-selector.ts'
import type { Kind } from '../kinds/kind.ts'
import { matchesSelector, parseSelector } from '../kinds/selector.ts'
import type { ListQuery } from './query.ts'
import { badRequest } from './refusal.ts'

export interface Selection {
  /** True when every object is selected: bytes can be passed on unread. */
  readonly all: boolean
  /** Set when the field selector names one object. */
  readonly name: string | undefined
  matches(object: KubeObject): boolean
}

const EVERYTHING: Selection = { all: true, name: undefined, matches: () => true }

/** Field values every kind has. */
const metaFields = (object: KubeObject): Record<string, string> => ({
  'metadata.name': object.metadata.name ?? '',
  'metadata.namespace': object.metadata.namespace ?? '',
})

/** Names a kind's fields by asking it about an object that has none. */
const knownFields = (kind: Kind): Set<string> => {
  const empty: KubeObject = { apiVersion: '', kind: kind.kind, metadata: {}, spec: {}, status: {}, involvedObject: {}, regarding: {} }
  return new Set(['metadata.name', 'metadata.namespace', ...Object.keys(kind.fields?.(empty) ?? {})])
}

const parseFields = (kind: Kind, text: string): readonly FieldTerm[] => {
  const { ok, problem } = parseFieldSelector(text)
  if (!ok) throw badRequest(problem ?? '')
  const known = knownFields(kind)
  const unknown = ok.find(term => !known.has(term.field))
  if (!unknown) return ok
  throw badRequest(
    kind.fields
      ? `field label not supported: ${unknown.field}`
      : `${JSON.stringify(unknown.field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
  )
}

/** The selection a query states; 400 when a selector does not parse or names a field the kind has not. */
export const selectionOf = (kind: Kind, query: Pick<ListQuery, 'labelSelector' | 'fieldSelector'>): Selection => {
  if (query.labelSelector === '' && query.fieldSelector === '') return EVERYTHING
  const parsed = parseSelector(query.labelSelector)
  if (!parsed.ok) throw badRequest(parsed.problem)
  const labels = parsed.ok
  const terms = query.fieldSelector === '' ? [] : parseFields(kind, query.fieldSelector)
  return {
    all: false,
    name: terms.find(term => term.field === 'metadata.name' && term.equal)?.value,
    matches: object =>
      matchesSelector(labels, object.metadata.labels) &&
      (terms.length === 0 || matchesFields(terms, { ...metaFields(object), ...kind.fields?.(object) })),
  }
}
