// What form of an answer a client asks for: plain JSON, a Table, metadata only, YAML. The Accept header lists forms in order of
// preference; the first one this server has wins.

import { ACCEPT_MEMO_MAX } from './limits.ts'
import { notAcceptable } from './refusal.ts'

export interface Form {
  readonly as: 'json' | 'yaml' | 'table' | 'partial'
  /** Version of meta.k8s.io for tables and metadata: v1 or v1beta1. */
  readonly version: 'v1' | 'v1beta1'
}

const JSON_FORM: Form = { as: 'json', version: 'v1' }
const YAML_FORM: Form = { as: 'yaml', version: 'v1' }
const MEDIA_TYPES = ['application/json', 'application/yaml'] as const

export interface MediaRange {
  readonly type: string
  readonly parameters: Readonly<Record<string, string>>
}

/** The media ranges of an Accept header, in order; quality values are not weighed, as upstream. */
export const parseAccept = (header: string): MediaRange[] =>
  header.split(',').map(part => {
    const [type = '', ...rest] = part.split(';')
    const parameters: Record<string, string> = {}
    for (const each of rest) {
      const equals = each.indexOf('=')
      if (equals > 0) parameters[each.slice(0, equals).trim().toLowerCase()] = each.slice(equals + 1).trim()
    }
    return { type: type.trim().toLowerCase(), parameters }
  })

const formOf = ({ type, parameters }: MediaRange): Form | undefined => {
  const isJson = type === 'application/json' || type === '*/*' || type === 'application/*'
  const { as, g, v } = parameters
  if (as === undefined) {
    if (isJson) return JSON_FORM
    return type === 'application/yaml' ? YAML_FORM : undefined
  }
  if (!isJson || g !== 'meta.k8s.io' || (v !== 'v1' && v !== 'v1beta1')) return undefined
  if (as === 'Table') return { as: 'table', version: v }
  return as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList' ? { as: 'partial', version: v } : undefined
}

/** Picks the form; remembers headers it has seen. Throws 406 when nothing fits. */
export const createNegotiator = (): ((header: string | undefined) => Form) => {
  const memo = new Map<string, Form>()
  return header => {
    if (header === undefined || header === '') return JSON_FORM
    const known = memo.get(header)
    if (known) return known
    for (const range of parseAccept(header)) {
      const form = formOf(range)
      if (!form) continue
      if (memo.size >= ACCEPT_MEMO_MAX) memo.clear()
      memo.set(header, form)
      return form
    }
    throw notAcceptable(MEDIA_TYPES)
  }
}
