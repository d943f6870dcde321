// JSON patch (RFC 6902) and merge patch (RFC 7386) on a private copy. Strategic merge is beside it.

import jsonPatch, { type Operation } from 'fast-json-patch'
import { ApiError, messageOf } from '../base/errors.ts'
import { deepCopy, isObject } from '../base/json.ts'
import type { PatchType } from './api.ts'
import { JSON_PATCH_COPY_BYTES_MAX, JSON_PATCH_MOVE_BYTES_MAX, JSON_PATCH_OPERATIONS_MAX } from './limits.ts'
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

/** Bytes of what a pointer points to; 0 where it points nowhere, which the library refuses in its own words. */
const sizeAt = (document: unknown, pointer: unknown): number => {
  if (typeof pointer !== 'string') return 0
  let value = document
  for (const part of pointer.split('/').slice(1)) {
    if (typeof value !== 'object' || value === null) return 0
    value = (value as Record<string, unknown>)[jsonPatch.unescapePathComponent(part)]
  }
  return JSON.stringify(value)?.length ?? 0
}

/** Copies double a document with a few words and moves carry it about: both are paid for before they are done. */
const createPurse = () => {
  const left = { copies: JSON_PATCH_COPY_BYTES_MAX, moves: JSON_PATCH_MOVE_BYTES_MAX }
  return (document: unknown, operation: Operation): void => {
    if (operation.op === 'copy') left.copies -= sizeAt(document, operation.from)
    // The library also copies what stood at the target.
    else if (operation.op === 'move') left.moves -= sizeAt(document, operation.from) + sizeAt(document, operation.path)
    if (left.copies < 0)
      throw new ApiError(
        'RequestEntityTooLarge',
        `Unable to complete the copy, the accumulated size increase of copy exceeds the limit ${JSON_PATCH_COPY_BYTES_MAX}`,
      )
    if (left.moves < 0)
      throw new ApiError('RequestEntityTooLarge', `the moves of a JSON patch may carry at most ${JSON_PATCH_MOVE_BYTES_MAX} bytes`)
  }
}

const applyJsonPatch = (object: unknown, patch: unknown): unknown => {
  const operations = checkOperations(patch)
  const pay = createPurse()
  let document: unknown = deepCopy(object)
  try {
    for (const [i, operation] of operations.entries()) {
      pay(document, operation)
      document = jsonPatch.applyOperation(document, operation, true, true, true, i).newDocument
    }
    return document
  } catch (error) {
    throw error instanceof ApiError ? error : unprocessable(jsonPatchProblem(error, operations))
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
