// The errors of the API with upstream's wording. Source: k8s apimachinery pkg/api/errors.

import type { Cause, ErrorDetails } from '../base/errors.ts'
import { ApiError } from '../base/errors.ts'
import { causesText } from '../kinds/causes.ts'
import type { Kind } from '../kinds/kind.ts'
import { qualifiedResource } from '../kinds/kind.ts'
import { CAUSES_MAX, RETRY_AFTER_SECONDS, SHOWN_LENGTH_MAX } from './limits.ts'

type Resource = Pick<Kind, 'group' | 'plural'>

const detailsOf = (kind: Resource, name: string): ErrorDetails => ({
  ...(name === '' ? {} : { name }),
  ...(kind.group === '' ? {} : { group: kind.group }),
  kind: kind.plural,
})

export const NO_RESOURCE = 'the server could not find the requested resource'

/** The path names nothing this server knows. */
export const noResource = (): ApiError => new ApiError('NotFound', NO_RESOURCE, { details: {} })

export const notFound = (kind: Resource, name: string): ApiError =>
  new ApiError('NotFound', `${qualifiedResource(kind)} "${name}" not found`, { details: detailsOf(kind, name) })

export const alreadyExists = (kind: Resource, name: string): ApiError =>
  new ApiError('AlreadyExists', `${qualifiedResource(kind)} "${name}" already exists`, { details: detailsOf(kind, name) })

export const conflict = (kind: Resource, name: string, why: string, subresource = ''): ApiError =>
  new ApiError('Conflict', `Operation cannot be fulfilled on ${qualifiedResource(kind)}${subresource} "${name}": ${why}`, {
    details: detailsOf(kind, name),
  })

export const STALE = 'the object has been modified; please apply your changes to the latest version and try again'

export const badRequest = (message: string): ApiError => new ApiError('BadRequest', message)

const cut = (text: string): string => (text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}…` : text)

/** As many causes as somebody will read: a refusal must not be larger than what it refuses. */
const bounded = (causes: readonly Cause[]): readonly Cause[] => {
  const shown = causes
    .slice(0, CAUSES_MAX)
    .map(cause => (cause.field.length > SHOWN_LENGTH_MAX ? { ...cause, field: cut(cause.field) } : cause))
  const more = causes.length - shown.length
  return more > 0 ? [...shown, { field: '', type: 'FieldValueTooMany', detail: `and ${more} more` }] : shown
}

/** 422 with one cause per field. `name` may be '' (generated, or an options object). */
export const invalid = (kind: Pick<Kind, 'group' | 'kind'>, nameAsSent: string, causesFound: readonly Cause[]): ApiError => {
  const name = cut(nameAsSent)
  const causes = bounded(causesFound)
  const qualified = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`
  return new ApiError('Invalid', `${qualified} "${name}" is invalid: ${causesText(causes)}`, {
    details: {
      ...(name === '' ? {} : { name }),
      ...(kind.group === '' ? {} : { group: kind.group }),
      ...(kind.kind === '' ? {} : { kind: kind.kind }),
      causes,
    },
  })
}

/** Options in the query or in DeleteOptions; `kind` is `CreateOptions`, `ListOptions` … */
export const invalidOptions = (kind: string, causes: readonly Cause[]): ApiError => invalid({ group: 'meta.k8s.io', kind }, '', causes)

/** What strict decoding and wrong types in a patch give. */
export const invalidPatch = (text: string, why: string): ApiError =>
  invalid({ group: '', kind: '' }, '', [
    { field: 'patch', type: 'FieldValueInvalid', detail: `Invalid value: ${JSON.stringify(cut(text))}: ${why}` },
  ])

export const forbidden = (kind: Resource, name: string, why: string, causes?: readonly Cause[]): ApiError => {
  const about = name === '' ? qualifiedResource(kind) : `${qualifiedResource(kind)} "${name}"`
  return new ApiError('Forbidden', `${about} is forbidden: ${why}`, {
    details: { ...detailsOf(kind, name), ...(causes ? { causes } : {}) },
  })
}

export const methodNotAllowed = (): ApiError =>
  new ApiError('MethodNotAllowed', 'the server does not allow this method on the requested resource', { details: {} })

export const notAcceptable = (types: readonly string[]): ApiError =>
  new ApiError('NotAcceptable', `only the following media types are accepted: ${types.join(', ')}`, { details: {} })

export const unsupportedMediaType = (types: readonly string[]): ApiError =>
  new ApiError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${types.join(', ')}`,
    {
      details: {},
    },
  )

export const tooLarge = (bytesMax: number): ApiError =>
  new ApiError('RequestEntityTooLarge', `Request entity too large: limit is ${bytesMax}`)

export const tooMany = (): ApiError =>
  new ApiError('TooManyRequests', 'too many requests, please try again later', { details: { retryAfterSeconds: RETRY_AFTER_SECONDS } })

export const unauthorized = (): ApiError => new ApiError('Unauthorized', 'Unauthorized')
