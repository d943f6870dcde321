// An untrusted value to an object of a kind: apiVersion and kind agree, types fit the schema, unknown fields are refused, warned about or
// dropped as fieldValidation says. The result is a private copy.

import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Kind } from '../kinds/kind.ts'
import { apiVersionOf } from '../kinds/kind.ts'
import { checkSchema } from '../kinds/schema-check.ts'
import type { WriteOptions } from './api.ts'
import { badRequest } from './refusal.ts'

/** What decoding needs to know of a kind; also given for Scale, Binding and other bodies without a Kind. */
export type Decodable = Pick<Kind, 'group' | 'version' | 'kind' | 'definition'>

export interface DecodeOptions extends WriteOptions {
  /** Paths of duplicate keys in the text the value was parsed from. */
  readonly duplicates?: readonly string[]
  /** True when this kind exists under this apiVersion in the registry. */
  readonly isKnown?: (apiVersion: string, kind: string) => boolean
  /** Makes the error of a value that does not fit: 400 for bodies, 422 for patches. */
  readonly refuse?: (why: string) => Error
}

const versionOf = (apiVersion: string): string => apiVersion.slice(apiVersion.lastIndexOf('/') + 1)

/** `v1.Pod` as Go prints the type. */
const goType = (apiVersion: string, kind: string): string => `${versionOf(apiVersion)}.${kind}`

/** Upstream's sentences for a body of another kind or version. */
const checkTypeMeta = (kind: Decodable, value: Record<string, unknown>, options: DecodeOptions): void => {
  const expected = apiVersionOf(kind)
  const apiVersion = typeof value['apiVersion'] === 'string' && value['apiVersion'] !== '' ? value['apiVersion'] : expected
  const name = typeof value['kind'] === 'string' && value['kind'] !== '' ? value['kind'] : kind.kind
  if (apiVersion === expected && name === kind.kind) return
  const known = options.isKnown?.(apiVersion, name) ?? false
  if (!known) {
    const why = `no kind "${name}" is registered for version "${apiVersion}" in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"`
    throw badRequest(`${name} in version "${versionOf(apiVersion)}" cannot be handled as a ${kind.kind}: ${why}`)
  }
  if (name === kind.kind)
    throw badRequest(`the API version in the data (${apiVersion}) does not match the expected API version (${expected})`)
  const group = kind.group === '' ? 'core' : kind.group.split('.')[0]
  const why = `converting (${goType(apiVersion, name)}) to (${group}.${kind.kind}): unknown conversion`
  throw badRequest(`${name} in version "${versionOf(apiVersion)}" cannot be handled as a ${kind.kind}: ${why}`)
}

/** Throws 400 with upstream's sentence unless the value fits; the copy shares nothing with the input. */
export const decodeObject = (kind: Decodable, value: unknown, options: DecodeOptions = {}): KubeObject => {
  if (!isObject(value))
    throw badRequest(
      `the object provided is unrecognized (must be of type ${kind.kind}): couldn't get version/kind; json parse error: not an object`,
    )
  checkTypeMeta(kind, value, options)
  const refuse =
    options.refuse ?? (why => badRequest(`${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: ${why}`))
  const { errors, unknown, pruned } = checkSchema(value, kind.definition)
  if (errors.length > 0) throw refuse(errors[0] ?? '')
  const duplicates = options.duplicates ?? []
  if (options.fieldValidation !== 'Ignore' && (unknown.length > 0 || duplicates.length > 0)) {
    const problems = [
      ...unknown.map(path => `unknown field ${JSON.stringify(path)}`),
      ...duplicates.map(path => `duplicate field ${JSON.stringify(path)}`),
    ]
    if (options.fieldValidation === 'Strict') throw refuse(`strict decoding error: ${problems.join(', ')}`)
    options.warnings?.push(...problems)
  }
  const object = pruned as KubeObject
  object.apiVersion = apiVersionOf(kind)
  object.kind = kind.kind
  object.metadata = isObject(object.metadata) ? object.metadata : {}
  return object
}
