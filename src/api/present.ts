// Objects and lists as HTTP answers. On the plain JSON path stored bytes are passed on unread: GET and LIST are concatenation.

import { stringify } from 'yaml'
import type { KubeObject } from '../base/object.ts'
import type { Kind } from '../kinds/kind.ts'
import { apiVersionOf } from '../kinds/kind.ts'
import type { Form } from './accept.ts'
import { type ApiResponse, JSON_TYPE, jsonResponse } from './message.ts'
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
  const body: Buffer[] = [Buffer.from(head)]
  for (const [i, entry] of page.entries.entries()) {
    if (i > 0) body.push(COMMA)
    const { object, value } = kind.storage ? { ...presented(kind, entry), value: undefined } : { object: undefined, value: entry.value }
    body.push(value ?? Buffer.from(JSON.stringify(object)))
  }
  body.push(END)
  return { status: 200, headers: OBJECT_HEADERS, body }
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
