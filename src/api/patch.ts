// JSON patch (RFC 6902) and merge patch (RFC 7386) on a private copy. Strategic merge is beside it.

import jsonPatch, { type Operation } from 'fast-json-patch'
import { ApiError, messageOf } from '../base/errors.ts'
import { deepCopy, isObject } from '../base/json.ts'
import type { PatchType } from './api.ts'
import { JSON_PATCH_OPERATIONS_MAX } from './limits.ts'
import { badRequest } from './refusal.ts'
import { mergeStrategically } from './strategic-merge.ts'

export const PATCH_TYPES: Readonly<Record<string, PatchType>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
}

/** 422 with upstream's generic sentence and the reason; a cause would need a field, which clients print before it. */
const unprocessable = (why: string): ApiError =>
  new ApiError('Invalid', `the server rejected our request due to an error in our request: ${why}`, { details: {} })

const OPERATIONS = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test'])

const checkOperations = (patch: unknown): Operation[] => {
  if (!Array.isArray(patch)) throw badRequest('error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch')
  if (patch.length > JSON_PATCH_OPERATIONS_MAX) {
    const why = `The allowed maximum operations in a JSON patch is ${JSON_PATCH_OPERATIONS_MAX}, got ${patch.length}`
    throw new ApiError('RequestEntityTooLarge', why)
  }
  for (const operation of patch) {
    if (!isObject(operation) || typeof operation['op'] !== 'string' || typeof operation['path'] !== 'string')
      throw badRequest('error decoding patch: an operation needs "op" and "path"')
    if (!OPERATIONS.has(operation['op'])) throw unprocessable(`Unexpected kind: ${operation['op']}`)
  }
  return patch as Operation[]
}

/** fast-json-patch's names of what went wrong, in the words of upstream's library. */
const jsonPatchProblem = (error: unknown, operations: readonly Operation[]): string => {
  const { name, index } = isObject(error) ? (error as { name?: unknown; index?: unknown }) : {}
  const operation = typeof index === 'number' ? operations[index] : undefined
  if (name === 'TEST_OPERATION_FAILED') return `testing value ${operation?.path ?? ''} failed: test failed`
  const what = operation ? `${operation.op} operation does not apply: doc is missing path: ${JSON.stringify(operation.path)}` : ''
  return what === '' ? messageOf(error).split('\n')[0]! : `${what}: missing value`
}

const applyJsonPatch = (object: unknown, patch: unknown): unknown => {
  const operations = checkOperations(patch)
  try {
    return jsonPatch.applyPatch(deepCopy(object), operations, true, true, true).newDocument
  } catch (error) {
    throw unprocessable(jsonPatchProblem(error, operations))
  }
}

/** RFC 7386 onto a copy: null removes, objects merge, anything else replaces. */
const mergePatch = (target: unknown, patch: unknown): unknown => {
  if (!isObject(patch)) return deepCopy(patch)
  const result: Record<string, unknown> = {}
  if (isObject(target)) {
    for (const [key, value] of Object.entries(target)) if (!Object.hasOwn(patch, key)) result[key] = deepCopy(value)
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key === '__proto__' || value === null) continue
    result[key] = mergePatch(isObject(target) && Object.hasOwn(target, key) ? target[key] : undefined, value)
  }
  return result
}

/** The object after the patch, a copy; `definition` names its schema. 400 or 422 when the patch cannot be applied. */
export const applyPatch = (object: unknown, patch: unknown, type: PatchType, definition: string): unknown => {
  if (type === 'json') return applyJsonPatch(object, patch)
  if (!isObject(patch))
    throw badRequest('error decoding patch: json: cannot unmarshal non-object into Go value of type map[string]interface {}')
  return type === 'merge' ? mergePatch(object, patch) : mergeStrategically(object, patch, definition)
}
