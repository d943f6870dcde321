// Objects and lists as HTTP answers. On the plain JSON path stored bytes are passed on unread: GET and LIST are concatenation.

import { stringify } from 'yaml'
import type { KubeObject } from '../base/object.ts'
import type { Kind } from '../kinds/kind.ts'
import { apiVersionOf } from '../kinds/kind.ts'
import type { Entry } from '../store/store.ts'
import type { Form } from './accept.ts'
import { type ApiResponse, JSON_TYPE, jsonResponse, type Pieces } from './message.ts'
import type { Page } from './page.ts'
import { SCALE_TABLE } from './scale.ts'
import { type IncludeObject, toPartial, toTable } from './table.ts'
import { presented, type Written } from './writer.ts'

export interface Presentation {
  readonly form: Form
  readonly include: IncludeObject
  readonly nowMs: number
  readonly warnings: readonly string[]
}

const OBJECT_HEADERS = { 'content-type': JSON_TYPE } as const
const COMMA = Buffer.from(',')
const END = Buffer.from(']}\n')

const yamlResponse = (value: unknown, status: number): ApiResponse => ({
  status,
  headers: { 'content-type': 'application/yaml' },
  body: Buffer.from(stringify(value)),
})

/** One object in the form asked for. A Status is always plain. */
export const presentObject = (kind: Kind, written: Written, how: Presentation, status = 200): ApiResponse => {
  const { form } = how
  if (form.as === 'json' || (form.as !== 'yaml' && written.object.kind === 'Status')) {
    return written.value ? { status, headers: OBJECT_HEADERS, body: written.value } : jsonResponse(written.object, status)
  }
  if (form.as === 'yaml') return yamlResponse(written.object, status)
  if (form.as === 'partial') return jsonResponse(toPartial(written.object, form.version), status)
  const meta = { resourceVersion: written.object.metadata.resourceVersion ?? '' }
  const columns = written.object.kind === 'Scale' ? SCALE_TABLE : kind
  return jsonResponse(toTable(columns, [written.object], { ...how, version: form.version, meta, columns: true }), status)
}

const plainList = (kind: Kind, page: Page): ApiResponse => {
  const head = `{"kind":"${kind.kind}List","apiVersion":"${apiVersionOf(kind)}","metadata":${JSON.stringify(page.meta)},"items":[`
  const items = kind.storage ? page.entries.map(entry => Buffer.from(JSON.stringify(presented(kind, entry).object))) : page.entries
  return { status: 200, headers: OBJECT_HEADERS, body: joined(Buffer.from(head), items, END) }
}

/** An item's bytes; an entry's are brought only then, and stay those of its revision. */
const bytesOf = (item: Buffer | Entry): Buffer => (Buffer.isBuffer(item) ? item : item.value)

const joined = (head: Buffer, items: readonly (Buffer | Entry)[], end: Buffer): Pieces => {
  let bytes = head.length + end.length + Math.max(0, items.length - 1) * COMMA.length
  for (const item of items) bytes += Buffer.isBuffer(item) ? item.length : item.size
  return {
    bytes,
    *[Symbol.iterator]() {
      yield head
      for (const [i, item] of items.entries()) {
        if (i > 0) yield COMMA
        yield bytesOf(item)
      }
      yield end
    },
  }
}

/** A page of a collection in the form asked for. */
export const presentList = (kind: Kind, page: Page, how: Presentation): ApiResponse => {
  const { form } = how
  if (form.as === 'json') return plainList(kind, page)
  const objects = page.entries.map(entry => presented(kind, entry).object)
  if (form.as === 'table') return jsonResponse(toTable(kind, objects, { ...how, version: form.version, meta: page.meta, columns: true }))
  const list = (name: string, apiVersion: string, items: readonly KubeObject[]): unknown => ({
    kind: name,
    apiVersion,
    metadata: page.meta,
    items,
  })
  if (form.as === 'yaml') return yamlResponse(list(`${kind.kind}List`, apiVersionOf(kind), objects), 200)
  const partials = objects.map(object => toPartial(object, form.version))
  return jsonResponse(list('PartialObjectMetadataList', `meta.k8s.io/${form.version}`, partials))
}
