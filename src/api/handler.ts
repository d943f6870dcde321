// Every request passes here: who is it, what does it name, may it pass now, what does it get. Without HTTP: `handle` takes and gives
// values, so tests and the link need no port.

import { ApiError, messageOf, toStatus } from '../base/errors.ts'
import { apiVersionOf, type Kind } from '../kinds/kind.ts'
import { createNegotiator } from './accept.ts'
import type { ApiDeps } from './api.ts'
import { type Arrivals, createArrivals } from './arrivals.ts'
import { authorizePath } from './authority.ts'
import { type Bookmarks, createBookmarks } from './bookmarks.ts'
import type { Call, ResourceDeps } from './call.ts'
import type { Decodable } from './decode.ts'
import { createDiscovery, type Discovery } from './discovery.ts'
import { healthResponse, isHealthPath } from './health.ts'
import {
  ARRIVING_BYTES_MAX,
  ARRIVING_MAX,
  ARRIVING_STRANGERS_BYTES_MAX,
  ARRIVING_STRANGERS_MAX,
  LOG_STREAMS_MAX,
  REQUESTS_MAX,
  STRANGER_BODY_BYTES_MAX,
  STRANGER_BODY_MS_MAX,
  STRANGERS_MAX,
  URL_LENGTH_MAX,
  WARNING_LENGTH_MAX,
  WARNINGS_MAX,
  WATCHES_MAX,
} from './limits.ts'
import { type ApiRequest, type ApiResponse, type BodyBound, jsonResponse, type StreamBody, USUAL_BOUND } from './message.ts'
import { createOpenApi, type OpenApi } from './open-api.ts'
import { createOpenApiV2, type OpenApiV2 } from './open-api-v2.ts'
import { indexKinds, parseResourcePath, type ResourcePath, segmentsOf } from './path.ts'
import type { DefinitionFinder } from './protobuf.ts'
import { DELETE_OPTIONS } from './query.ts'
import { methodNotAllowed, noResource, tooMany, unauthorized } from './refusal.ts'
import { resourceResponse } from './resource.ts'
import { SCALE } from './scale.ts'
import { BINDING, bindResponse, EVICTION } from './subresource.ts'
import type { LocalVerbs } from './verbs.ts'
import { REVIEWS, virtualResponse } from './virtual.ts'
import { createWatchShare } from './watch-share.ts'

/** A path beside Kubernetes' own: joining, metrics, the dashboard. */
export interface ExtraRoute {
  readonly method: string
  /** Exact path. */
  readonly path: string
  readonly handle: (request: ApiRequest) => Promise<ApiResponse>
  /** True: no identity is asked for; the handler has its own proof. */
  readonly anonymous?: boolean
}

export interface Api {
  /** Answers one request; never rejects: errors become a Status. A streamed body must be run by the caller. */
  handle(request: ApiRequest): Promise<ApiResponse>
}

interface State {
  readonly deps: ResourceDeps
  readonly kinds: ReturnType<typeof indexKinds>
  readonly pods: Kind | undefined
  readonly discovery: Discovery
  readonly openApi: OpenApi
  readonly openApiV2: OpenApiV2
  readonly routes: ReadonlyMap<string, ExtraRoute>
  /** Requests in work; streams open, by what they carry. */
  readonly open: { requests: number; strangers: number; watches: number; logs: number }
  readonly arrivals: Arrivals
  readonly strangers: Arrivals
}

const headerOf = (value: string | string[] | undefined): string => (Array.isArray(value) ? value.join(',') : (value ?? ''))

const versionResponse = ({ version }: ApiDeps): ApiResponse => {
  const [major = '1', minor = '36'] = version.gitVersion.replace(/^v/, '').split('.')
  return jsonResponse({ major, minor, ...version, gitTreeState: 'clean', goVersion: '', compiler: 'v8' })
}

/** POST namespaces/x/bindings, the older spelling of pods/x/binding. */
const bindingPath = (state: State, segments: readonly string[]): ResourcePath | undefined => {
  const [api, version, namespaces, namespace = '', bindings, ...rest] = segments
  const matches = api === 'api' && version === 'v1' && namespaces === 'namespaces' && bindings === 'bindings' && rest.length === 0
  return matches && state.pods ? { kind: state.pods, namespace, name: '', subresource: 'binding' } : undefined
}

/** What `/` lists beside discovery. */
const OTHER_PATHS = ['/healthz', '/livez', '/openapi/v2', '/openapi/v3', '/readyz', '/version']

const pathResponse = (state: State, request: ApiRequest, path: string, query: URLSearchParams): ApiResponse => {
  const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
  if (request.method !== 'GET' && request.method !== 'HEAD') throw noResourceMethod(state, trimmed)
  if (trimmed === '/version') return versionResponse(state.deps)
  const { accept, 'if-none-match': match, 'accept-encoding': encoding } = request.headers
  const wants = { accept: headerOf(accept), ifNoneMatch: headerOf(match), gzip: headerOf(encoding).includes('gzip') }
  if (trimmed === '/') return jsonResponse({ paths: [...state.discovery.paths(), ...OTHER_PATHS].sort() })
  if (trimmed === '/openapi/v2') return state.openApiV2.respond(wants)
  const found = state.discovery.find(trimmed, wants.accept, wants.ifNoneMatch) ?? state.openApi.find(trimmed, { query, ...wants })
  if (found) return found
  throw noResource()
}

/** 405 where GET would find something, else 404. */
const noResourceMethod = (state: State, path: string): ApiError =>
  path === '/version' || state.discovery.find(path, '', '') ? methodNotAllowed() : noResource()

/** Whoever it is, he takes neither the places nor the memory of those with a name. */
const answerStranger = async (state: State, request: ApiRequest, route: ExtraRoute): Promise<ApiResponse> => {
  if (state.open.strangers >= STRANGERS_MAX) throw tooMany()
  state.open.strangers++
  try {
    return await route.handle({ ...request, body: () => arriving(state, 'strangers', request, STRANGER_BODY) })
  } finally {
    state.open.strangers--
  }
}

/** The body; while it is on its way its request is not in work. */
const arriving = (state: State, who: 'strangers' | 'named', request: ApiRequest, bound: BodyBound): Promise<Buffer> => {
  const isStranger = who === 'strangers'
  const count = (by: number): void => {
    state.open.requests += by
    if (isStranger) state.open.strangers += by
  }
  count(-1)
  const body = (isStranger ? state.strangers : state.arrivals).take(arrival => request.body({ ...bound, arrival }))
  // Counted and judged in one step: of many that arrive together the first ones come in.
  return body.finally(() => {
    count(1)
    const { requests, strangers } = state.open
    if (isStranger ? strangers > STRANGERS_MAX : requests - strangers > REQUESTS_MAX) throw tooMany()
  })
}

const STRANGER_BODY = { bytesMax: STRANGER_BODY_BYTES_MAX, arrivesWithinMs: STRANGER_BODY_MS_MAX }

const answer = (state: State, asked: ApiRequest): ApiResponse | Promise<ApiResponse> => {
  if (asked.url.length > URL_LENGTH_MAX) throw new ApiError('BadRequest', `the request URI is longer than ${URL_LENGTH_MAX} characters`)
  const mark = asked.url.indexOf('?')
  const path = mark < 0 ? asked.url : asked.url.slice(0, mark)
  const query = new URLSearchParams(mark < 0 ? '' : asked.url.slice(mark + 1))
  const route = state.routes.get(`${asked.method} ${path}`)
  if (route?.anonymous) return answerStranger(state, asked, route)
  if (isHealthPath(path) && (asked.method === 'GET' || asked.method === 'HEAD')) return healthResponse(state.deps, path, query)
  const { identity } = asked
  if (!identity) throw unauthorized()
  const request: ApiRequest = { ...asked, body: (bound = USUAL_BOUND) => arriving(state, 'named', asked, bound) }
  if (route) {
    authorizePath(identity, request.method, path)
    return route.handle(request)
  }
  const segments = segmentsOf(path)
  if (!segments) throw noResource()
  const resource = parseResourcePath(state.kinds, segments)
  const call: Omit<Call, 'path'> = { deps: state.deps, request, identity, query, warnings: [] }
  if (resource) return answerResource({ ...call, path: resource })
  const binding = bindingPath(state, segments)
  if (binding) {
    if (request.method !== 'POST') throw methodNotAllowed()
    return bindResponse({ ...call, path: binding })
  }
  const virtual = virtualResponse(call, path)
  if (virtual) return virtual
  authorizePath(identity, request.method, path)
  return pathResponse(state, request, path, query)
}

const answerResource = async (call: Call): Promise<ApiResponse> => withWarnings(await resourceResponse(call), call.warnings)

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters must not reach a header.
const UNSAFE_IN_HEADER = /[\x00-\x1f\x7f-\uffff]/g

const withWarnings = (response: ApiResponse, warnings: readonly string[]): ApiResponse => {
  if (warnings.length === 0) return response
  const texts = warnings.slice(0, WARNINGS_MAX).map(each => {
    const text = each.slice(0, WARNING_LENGTH_MAX).replace(UNSAFE_IN_HEADER, '?').replace(/[\\"]/g, '\\$&')
    return `299 - "${text}"`
  })
  return { ...response, headers: { ...response.headers, warning: texts } }
}

const refusal = (state: State, request: ApiRequest, error: unknown): ApiResponse => {
  if (!(error instanceof ApiError))
    state.deps.log.error('request failed', {
      method: request.method,
      path: request.url.split('?')[0]!,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
  const status = toStatus(error)
  const response = jsonResponse(status, status.code ?? 500)
  const retryAfter = error instanceof ApiError ? error.details.retryAfterSeconds : undefined
  const extra = {
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
    ...(status.code === 401 ? { 'www-authenticate': 'Bearer' } : {}),
  }
  return { ...response, headers: { ...response.headers, ...extra } }
}

/** A stream that will not be run still has to let go of what it holds: a log has begun at the device. */
const letGo = (state: State, run: StreamBody): void => {
  const gone = { write: () => undefined, pendingBytes: () => 0, drained: () => Promise.resolve(), signal: AbortSignal.abort() }
  run(gone).catch((error: unknown) => state.deps.log.debug('refused stream ended', { error: messageOf(error) }))
}

/** Counts an open stream until its body has settled; 429 when there are too many. */
const counted = (state: State, response: ApiResponse, what: 'watches' | 'logs', max: number): ApiResponse => {
  const run = response.body as StreamBody
  if (state.open[what] >= max) {
    letGo(state, run)
    throw tooMany()
  }
  return {
    ...response,
    async body(sink) {
      state.open[what]++
      try {
        await run(sink)
      } finally {
        state.open[what]--
      }
    },
  }
}

const settle = (state: State, response: ApiResponse): ApiResponse => {
  if (typeof response.body !== 'function') return response
  const isWatch = response.headers['content-type'] === 'application/json'
  return isWatch ? counted(state, response, 'watches', WATCHES_MAX) : counted(state, response, 'logs', LOG_STREAMS_MAX)
}

/** Bodies that are no kind of their own, by `apiVersion kind`. */
const BODIES: readonly Decodable[] = [SCALE, BINDING, EVICTION, ...REVIEWS]

const definitionFinder = (kinds: readonly Kind[]): DefinitionFinder => {
  const names = new Map([...kinds, ...BODIES].map(each => [`${apiVersionOf(each)} ${each.kind}`, each.definition]))
  return (apiVersion, kind) => (kind === 'DeleteOptions' ? DELETE_OPTIONS.definition : names.get(`${apiVersion} ${kind}`))
}

/** The API over a store: `verbs` come from createVerbs with the same dependencies. */
export const createApi = (deps: ApiDeps, verbs: LocalVerbs, routes: readonly ExtraRoute[] = []): Api => {
  const bookmarks: Bookmarks = createBookmarks(deps.clock, () => deps.store.revision)
  const state: State = {
    deps: {
      ...deps,
      verbs,
      bookmarks,
      watchShare: createWatchShare(),
      negotiate: createNegotiator(),
      definitionOf: definitionFinder(deps.kinds),
    },
    kinds: indexKinds(deps.kinds),
    pods: deps.kinds.find(kind => kind.group === '' && kind.kind === 'Pod'),
    discovery: createDiscovery(deps.kinds),
    openApi: createOpenApi(deps.kinds, deps.version.gitVersion),
    openApiV2: createOpenApiV2(deps.kinds, deps.version.gitVersion),
    routes: new Map(routes.map(route => [`${route.method} ${route.path}`, route])),
    open: { requests: 0, strangers: 0, watches: 0, logs: 0 },
    arrivals: createArrivals({ countMax: ARRIVING_MAX, bytesMax: ARRIVING_BYTES_MAX }),
    strangers: createArrivals({ countMax: ARRIVING_STRANGERS_MAX, bytesMax: ARRIVING_STRANGERS_BYTES_MAX }),
  }
  return {
    async handle(request) {
      if (state.open.requests - state.open.strangers >= REQUESTS_MAX) return refusal(state, request, tooMany())
      state.open.requests++
      try {
        return settle(state, await answer(state, request))
      } catch (error) {
        return refusal(state, request, error)
      } finally {
        state.open.requests--
      }
    },
  }
}
