// One request about a resource: which verb, may the caller, read the body, do it, answer. A table of methods per kind of place.

import { forbidden as forbiddenField, required } from '../kinds/causes.ts'
import { authorizeResource } from './authority.ts'
import { type Body, mediaType, readBody } from './body.ts'
import { type Call, presentationOf, readCallBody, targetOf } from './call.ts'
import { DELETE_PAGE } from './limits.ts'
import type { ApiResponse } from './message.ts'
import { readPage } from './page.ts'
import { PATCH_TYPES } from './patch.ts'
import type { ResourcePath } from './path.ts'
import { presentList, presentObject } from './present.ts'
import { booleanParam, deleteOptions, listQuery, writeOptions } from './query.ts'
import { invalidOptions, methodNotAllowed, unsupportedMediaType } from './refusal.ts'
import { selectionOf } from './selection.ts'
import { subresourceResponse } from './subresource.ts'
import { watchResponse } from './watch.ts'
import { presented, type Written } from './writer.ts'

const allow = ({ identity, path }: Call, verb: string): void => authorizeResource(identity, { ...path, verb })

const findsDuplicates = (query: URLSearchParams): boolean => query.get('fieldValidation') !== 'Ignore'

const get = (call: Call): ApiResponse => {
  allow(call, 'get')
  return presentObject(call.path.kind, call.deps.verbs.writer.read(targetOf(call)), presentationOf(call))
}

const list = (call: Call): ApiResponse => {
  const { path, deps } = call
  const query = call.query.size === 0 ? EMPTY_LIST : listQuery(call.query)
  allow(call, query.watch ? 'watch' : 'list')
  const selection = selectionOf(path.kind, query)
  const how = presentationOf(call)
  if (query.watch) return watchResponse(deps, { path, query, selection, form: how.form, include: how.include })
  return presentList(path.kind, readPage(deps.store, path, query, selection), how)
}

const EMPTY_LIST = listQuery(new URLSearchParams())

const create = async (call: Call): Promise<ApiResponse> => {
  const { path, deps } = call
  allow(call, 'create')
  if (path.kind.namespaced && path.namespace === '') throw methodNotAllowed()
  const how = presentationOf(call)
  const options = writeOptions(call.query, 'CreateOptions', call.warnings)
  const body = await readCallBody(call, path.kind.kind, findsDuplicates(call.query))
  const written = await deps.verbs.writer.create({ kind: path.kind, namespace: path.namespace }, body.value, {
    ...options,
    duplicates: body.duplicates,
  })
  return presentObject(path.kind, written, how, 201)
}

const update = async (call: Call): Promise<ApiResponse> => {
  const { path, deps } = call
  allow(call, 'update')
  const how = presentationOf(call)
  const options = writeOptions(call.query, 'UpdateOptions', call.warnings)
  const body = await readCallBody(call, path.subresource === 'scale' ? 'Scale' : path.kind.kind, findsDuplicates(call.query))
  const written = await deps.verbs.writer.update(targetOf(call), body.value, {
    ...options,
    fieldManager: managerOf(call),
    duplicates: body.duplicates,
  })
  return presentObject(path.kind, written, how)
}

const APPLY_TYPE = 'application/apply-patch+yaml'

const refuseForce = (query: URLSearchParams): void => {
  if (query.has('force')) throw invalidOptions('PatchOptions', [forbiddenField('force', 'may not be specified for non-apply patch')])
}

const looksLikeJson = (bytes: Buffer): boolean => {
  try {
    JSON.parse(bytes.toString())
    return true
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}

/** Server-side apply: YAML, or JSON, which most clients send under this type. */
const apply = async (call: Call): Promise<ApiResponse> => {
  const { path, deps, request, query } = call
  const how = presentationOf(call)
  const options = writeOptions(query, 'PatchOptions', call.warnings)
  const { fieldManager } = options
  if (!fieldManager) throw invalidOptions('PatchOptions', [required('fieldManager', 'is required for apply patch')])
  const bytes = await request.body()
  const contentType = looksLikeJson(bytes) ? 'application/json' : 'application/yaml'
  const body = readBody(bytes, { contentType, kind: path.kind.kind, findDuplicates: findsDuplicates(query) })
  const { created, written } = await deps.verbs.writer.apply(targetOf(call), body.value, {
    ...options,
    fieldManager,
    force: booleanParam(query, 'force'),
    duplicates: body.duplicates,
  })
  return presentObject(path.kind, written, how, created ? 201 : 200)
}

/** Who changes something: the manager named, or the program that calls, as upstream. */
const managerOf = ({ request, query }: Call): string =>
  query.get('fieldManager') || (request.headers['user-agent'] ?? '').split('/')[0] || 'unknown'

const patch = async (call: Call): Promise<ApiResponse> => {
  const { path, deps, request } = call
  allow(call, 'patch')
  const sent = mediaType(request.headers['content-type'])
  if (sent === APPLY_TYPE) return apply(call)
  const type = PATCH_TYPES[sent]
  if (!type) throw unsupportedMediaType([...Object.keys(PATCH_TYPES), APPLY_TYPE])
  refuseForce(call.query)
  const how = presentationOf(call)
  const options = writeOptions(call.query, 'PatchOptions', call.warnings)
  const bytes = await request.body()
  const findDuplicates = findsDuplicates(call.query)
  const body = readBody(bytes, {
    contentType: request.headers['content-type'],
    kind: path.kind.kind,
    findDuplicates,
    jsonTypes: Object.keys(PATCH_TYPES),
  })
  const written = await deps.verbs.writer.patch(targetOf(call), body.value, type, {
    ...options,
    fieldManager: managerOf(call),
    duplicates: body.duplicates,
  })
  return presentObject(path.kind, written, how)
}

/** DeleteOptions are optional. */
const readDeleteBody = async (call: Call): Promise<Body | undefined> => {
  const bytes = await call.request.body()
  return bytes.length === 0
    ? undefined
    : readCallBody({ ...call, request: { ...call.request, body: () => Promise.resolve(bytes) } }, 'DeleteOptions', false)
}

const remove = async (call: Call): Promise<ApiResponse> => {
  allow(call, 'delete')
  const how = presentationOf(call)
  const options = deleteOptions(call.query, await readDeleteBody(call))
  return presentObject(call.path.kind, await call.deps.verbs.writer.remove(targetOf(call), options), how)
}

/** Deletes every selected object; each on its own, so one that is gone in between is no error. Answers the objects as they were. */
const removeAll = async (call: Call): Promise<ApiResponse> => {
  const { path, deps } = call
  allow(call, 'deletecollection')
  if (path.kind.namespaced && path.namespace === '') throw methodNotAllowed()
  const how = presentationOf(call)
  const query = listQuery(call.query)
  const options = deleteOptions(call.query, await readDeleteBody(call))
  const page = readPage(deps.store, path, query, selectionOf(path.kind, query))
  for (let i = 0; i < page.entries.length; i += DELETE_PAGE) {
    const removed: Promise<Written | undefined>[] = page.entries.slice(i, i + DELETE_PAGE).map(entry => {
      const { name = '', namespace = '' } = presented(path.kind, entry).object.metadata
      return deps.verbs.writer.remove({ kind: path.kind, namespace, name }, options).catch(ignoreMissing)
    })
    await Promise.all(removed)
  }
  return presentList(path.kind, page, how)
}

const ignoreMissing = (error: unknown): undefined => {
  if (error instanceof Error && 'reason' in error && error.reason === 'NotFound') return undefined
  throw error
}

type Handler = (call: Call) => ApiResponse | Promise<ApiResponse>

const COLLECTION: Readonly<Record<string, Handler>> = { GET: list, HEAD: list, POST: create, DELETE: removeAll }
const ITEM: Readonly<Record<string, Handler>> = { GET: get, HEAD: get, PUT: update, PATCH: patch, DELETE: remove }
/** status and scale; finalize takes PUT only. */
const PART: Readonly<Record<string, Handler>> = { GET: get, HEAD: get, PUT: update, PATCH: patch }
const FINALIZE: Readonly<Record<string, Handler>> = { PUT: update }

const partHandlers = ({ kind, subresource }: ResourcePath): Readonly<Record<string, Handler>> | undefined => {
  if (subresource === 'status') return kind.hasStatus ? PART : undefined
  if (subresource === 'scale') return kind.scale ? PART : undefined
  return subresource === 'finalize' && kind.kind === 'Namespace' && kind.group === '' ? FINALIZE : undefined
}

/** Answers a request about a resource; throws ApiError. */
export const resourceResponse = (call: Call): ApiResponse | Promise<ApiResponse> => {
  const { path, request } = call
  if (path.subresource !== '') {
    const handlers = partHandlers(path)
    if (!handlers) return subresourceResponse(call)
    const handler = handlers[request.method]
    if (!handler) throw methodNotAllowed()
    return handler(call)
  }
  const handler = (path.name === '' ? COLLECTION : ITEM)[request.method]
  if (!handler) throw methodNotAllowed()
  return handler(call)
}
