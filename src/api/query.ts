// Query parameters of the verbs, checked: write options, delete options, list and watch options.

import type { Cause } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import { invalid, notSupported } from '../kinds/causes.ts'
import type { DeleteOptions, WriteOptions } from './api.ts'
import type { Body } from './body.ts'
import { decodeObject } from './decode.ts'
import { badRequest, invalidOptions } from './refusal.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const FIELD_VALIDATION = ['', 'Ignore', 'Strict', 'Warn'] as const
const PROPAGATION = ['Background', 'Foreground', 'Orphan'] as const

const dryRunOf = (values: readonly string[], causes: Cause[]): boolean => {
  const wanted = values.filter(value => value !== '')
  if (wanted.some(value => value !== 'All')) causes.push(notSupported('dryRun', values.length === 1 ? values[0] : values, ['All']))
  return wanted.length > 0
}

/** dryRun, fieldValidation and fieldManager. `kind` names the options in error messages. */
export const writeOptions = (query: URLSearchParams, kind: string, warnings: string[]): WriteOptions => {
  if (query.size === 0) return { warnings }
  const causes: Cause[] = []
  const dryRun = dryRunOf(query.getAll('dryRun'), causes)
  const validation = query.get('fieldValidation') ?? ''
  if (!FIELD_VALIDATION.includes(validation as '')) causes.push(notSupported('fieldValidation', validation, FIELD_VALIDATION))
  const manager = query.get('fieldManager')
  if (manager !== null && manager.length > 128) causes.push(invalid('fieldManager', manager, 'may not be longer than 128'))
  if (causes.length > 0) throw invalidOptions(kind, causes)
  return {
    warnings,
    dryRun,
    ...(validation === '' ? {} : { fieldValidation: validation as 'Strict' }),
    ...(manager ? { fieldManager: manager } : {}),
  }
}

const integerParam = (query: URLSearchParams, name: string): number | undefined => {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  if (!/^-?\d{1,15}$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
  return Number(text)
}

export const booleanParam = (query: URLSearchParams, name: string): boolean => {
  const text = query.get(name)
  return text !== null && text !== 'false' && text !== '0'
}

export const DELETE_OPTIONS = {
  group: '',
  version: 'v1',
  kind: 'DeleteOptions',
  definition: 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions',
}

/** DeleteOptions of the body; any group may name them, as upstream registers them everywhere. */
const bodyOptions = (body: Body | undefined): Record<string, unknown> => {
  if (!body || body.value === null) return {}
  if (!isObject(body.value)) throw badRequest("couldn't get version/kind; json parse error: DeleteOptions must be an object")
  const { apiVersion: _, kind, ...rest } = body.value
  if (kind !== undefined && kind !== 'DeleteOptions') throw badRequest(`${String(kind)} cannot be handled as a DeleteOptions`)
  const { metadata: _meta, ...options } = decodeObject(DELETE_OPTIONS, rest, { fieldValidation: 'Ignore' }) as Record<string, unknown>
  return options
}

const policyOf = (found: Record<string, unknown>, query: URLSearchParams, causes: Cause[]): DeleteOptions['propagationPolicy'] => {
  const policy = found['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined
  const orphan = found['orphanDependents'] ?? (query.has('orphanDependents') ? booleanParam(query, 'orphanDependents') : undefined)
  if (policy !== undefined && orphan !== undefined)
    causes.push(invalid('propagationPolicy', policy, 'orphanDependents and deletionPropagation cannot be both set'))
  if (policy !== undefined && !PROPAGATION.includes(policy as 'Orphan')) causes.push(notSupported('propagationPolicy', policy, PROPAGATION))
  if (policy !== undefined) return policy as DeleteOptions['propagationPolicy']
  if (orphan === undefined) return undefined
  return orphan === true ? 'Orphan' : 'Background'
}

/** DeleteOptions from the body and, where it says nothing, from the query. */
export const deleteOptions = (query: URLSearchParams, body: Body | undefined): DeleteOptions => {
  const found = bodyOptions(body)
  const causes: Cause[] = []
  const options: Mutable<DeleteOptions> = {}
  const propagationPolicy = policyOf(found, query, causes)
  if (propagationPolicy) options.propagationPolicy = propagationPolicy
  const grace = (found['gracePeriodSeconds'] as number | undefined) ?? integerParam(query, 'gracePeriodSeconds')
  if (grace !== undefined) {
    if (grace < 0) causes.push(invalid('gracePeriodSeconds', grace, 'must be greater than or equal to 0'))
    options.gracePeriodSeconds = grace
  }
  const dryRun = Array.isArray(found['dryRun']) ? (found['dryRun'] as string[]) : query.getAll('dryRun')
  if (dryRunOf(dryRun, causes)) options.dryRun = true
  if (isObject(found['preconditions'])) options.preconditions = found['preconditions'] as NonNullable<DeleteOptions['preconditions']>
  if (causes.length > 0) throw invalidOptions('DeleteOptions', causes)
  return options
}

export interface ListQuery {
  readonly watch: boolean
  readonly labelSelector: string
  readonly fieldSelector: string
  readonly limit: number
  readonly continue: string
  /** '' when absent. */
  readonly resourceVersion: string
  readonly resourceVersionMatch: '' | 'Exact' | 'NotOlderThan'
  readonly timeoutSeconds: number | undefined
  readonly allowWatchBookmarks: boolean
  readonly sendInitialEvents: boolean | undefined
}

const checkMatch = (query: Omit<ListQuery, 'resourceVersionMatch'> & { resourceVersionMatch: string }): Cause[] => {
  const { resourceVersionMatch: match, sendInitialEvents } = query
  const forbid = (detail: string): Cause => ({ field: 'resourceVersionMatch', type: 'FieldValueForbidden', detail: `Forbidden: ${detail}` })
  if (query.watch) {
    const word = 'sendInitialEvents'
    if (sendInitialEvents !== undefined && match !== 'NotOlderThan')
      return [forbid(`${word} requires setting resourceVersionMatch to NotOlderThan`)]
    return sendInitialEvents === undefined && match !== ''
      ? [forbid('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided')]
      : []
  }
  if (sendInitialEvents !== undefined)
    return [{ field: 'sendInitialEvents', type: 'FieldValueForbidden', detail: 'Forbidden: sendInitialEvents is forbidden for list' }]
  if (match === '') return []
  if (match !== 'Exact' && match !== 'NotOlderThan') return [notSupported('resourceVersionMatch', match, ['Exact', 'NotOlderThan', ''])]
  if (query.resourceVersion === '') return [forbid('resourceVersionMatch is forbidden unless resourceVersion is provided')]
  if (query.continue !== '') return [forbid('resourceVersionMatch is forbidden when continue is provided')]
  return match === 'Exact' && query.resourceVersion === '0'
    ? [forbid('resourceVersionMatch "Exact" is forbidden for resourceVersion "0"')]
    : []
}

/** ListOptions of a GET or DELETE on a collection. */
export const listQuery = (query: URLSearchParams): ListQuery => {
  const text = (name: string): string => query.get(name) ?? ''
  const parsed = {
    watch: booleanParam(query, 'watch'),
    labelSelector: text('labelSelector'),
    fieldSelector: text('fieldSelector'),
    limit: Math.max(0, integerParam(query, 'limit') ?? 0),
    continue: text('continue'),
    resourceVersion: text('resourceVersion'),
    resourceVersionMatch: text('resourceVersionMatch'),
    timeoutSeconds: integerParam(query, 'timeoutSeconds'),
    allowWatchBookmarks: booleanParam(query, 'allowWatchBookmarks'),
    sendInitialEvents: query.has('sendInitialEvents') ? booleanParam(query, 'sendInitialEvents') : undefined,
  }
  const causes = checkMatch(parsed)
  if (causes.length > 0) throw invalidOptions('ListOptions', causes)
  return parsed as ListQuery
}

/** A resourceVersion of the query as a revision; 400 when it is not a number. */
export const revisionOf = (resourceVersion: string): number => {
  if (/^\d{1,15}$/.test(resourceVersion)) return Number(resourceVersion)
  throw badRequest(
    `resourceVersion: Invalid value: ${JSON.stringify(resourceVersion)}: strconv.ParseUint: parsing ${JSON.stringify(resourceVersion)}: invalid syntax`,
  )
}
