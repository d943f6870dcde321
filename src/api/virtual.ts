// What is answered without being stored: the list of CustomResourceDefinitions (there are none yet, and kubectl looks there before it
// says that it does not know a kind), and what a caller may ask about itself.
// Source: k8s authorization/v1 SelfSubjectAccessReview and SelfSubjectRulesReview, authentication/v1 SelfSubjectReview.

import { ApiError } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Identity } from '../base/pki.ts'
import { invalid as invalidValue } from '../kinds/causes.ts'
import { apiVersionOf } from '../kinds/kind.ts'
import { authorizePath, authorizeResource, isMaster } from './authority.ts'
import { type Call, readCallBody } from './call.ts'
import { type Decodable, decodeObject } from './decode.ts'
import { type ApiResponse, jsonResponse } from './message.ts'
import { writeOptions } from './query.ts'
import { invalid, methodNotAllowed } from './refusal.ts'

type Asking = Omit<Call, 'path'>

const review = (group: string, kind: string): Decodable => ({
  group: `${group}.k8s.io`,
  version: 'v1',
  kind,
  definition: `io.k8s.api.${group}.v1.${kind}`,
})

const ACCESS = review('authorization', 'SelfSubjectAccessReview')
const RULES = review('authorization', 'SelfSubjectRulesReview')
const SUBJECT = review('authentication', 'SelfSubjectReview')
/** Bodies this file reads. */
export const REVIEWS: readonly Decodable[] = [ACCESS, RULES, SUBJECT]

const isAllowed = (check: () => void): boolean => {
  try {
    check()
    return true
  } catch (error) {
    if (error instanceof ApiError && error.reason === 'Forbidden') return false
    throw error
  }
}

const textOf = (attributes: Record<string, unknown>, field: string): string => {
  const value = attributes[field]
  return typeof value === 'string' ? value : ''
}

const accessStatus = ({ identity, deps }: Asking, object: KubeObject): unknown => {
  const spec = isObject(object.spec) ? object.spec : {}
  const { resourceAttributes, nonResourceAttributes } = spec
  if (isObject(resourceAttributes) === isObject(nonResourceAttributes)) {
    const why = 'exactly one of nonResourceAttributes or resourceAttributes must be specified'
    throw invalid(ACCESS, '', [invalidValue('spec.resourceAttributes', resourceAttributes ?? null, why)])
  }
  if (isObject(nonResourceAttributes)) {
    const [method, path] = [textOf(nonResourceAttributes, 'verb').toUpperCase(), textOf(nonResourceAttributes, 'path')]
    return { allowed: isAllowed(() => authorizePath(identity, method, path)) }
  }
  const asked = resourceAttributes as Record<string, unknown>
  const [group, plural] = [textOf(asked, 'group'), textOf(asked, 'resource')]
  const kind = deps.kinds.find(each => each.group === group && each.plural === plural) ?? { group, plural, kind: '' }
  const attributes = { verb: textOf(asked, 'verb'), kind, namespace: textOf(asked, 'namespace'), name: textOf(asked, 'name') }
  return { allowed: isAllowed(() => authorizeResource(identity, { ...attributes, subresource: textOf(asked, 'subresource') })) }
}

const EVERYTHING = {
  resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
  incomplete: false,
}
const OPEN_URLS = ['/api', '/api/*', '/apis', '/apis/*', '/healthz', '/livez', '/openapi', '/openapi/*', '/readyz', '/version']

const rulesOf = (identity: Identity): unknown => {
  if (isMaster(identity)) return EVERYTHING
  const own = { verbs: ['get'], apiGroups: [''], resources: ['nodes'], resourceNames: [identity.node] }
  return {
    resourceRules: identity.node === undefined ? [] : [own],
    nonResourceRules: [{ verbs: ['get'], nonResourceURLs: OPEN_URLS }],
    incomplete: false,
  }
}

type Answer = (asking: Asking, object: KubeObject) => unknown

const ANSWERS: Readonly<Record<string, readonly [Decodable, Answer]>> = {
  '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews': [ACCESS, accessStatus],
  '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews': [RULES, ({ identity }) => rulesOf(identity)],
  '/apis/authentication.k8s.io/v1/selfsubjectreviews': [
    SUBJECT,
    ({ identity }) => ({ userInfo: { username: identity.name, groups: identity.groups } }),
  ],
}

const DEFINITIONS_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

const noDefinitions = ({ identity, request, deps }: Asking): ApiResponse => {
  const kind = { group: 'apiextensions.k8s.io', plural: 'customresourcedefinitions', kind: 'CustomResourceDefinition' }
  authorizeResource(identity, { verb: 'list', kind, namespace: '', name: '', subresource: '' })
  if (request.method !== 'GET') throw methodNotAllowed()
  const metadata = { resourceVersion: String(deps.store.revision) }
  return jsonResponse({ kind: `${kind.kind}List`, apiVersion: `${kind.group}/v1`, metadata, items: [] })
}

/** The answer at this path, or undefined when it is none of these. Reviews are open to whoever has a name. */
export const virtualResponse = (asking: Asking, path: string): Promise<ApiResponse> | ApiResponse | undefined => {
  if (path === DEFINITIONS_PATH) return noDefinitions(asking)
  const found = Object.hasOwn(ANSWERS, path) ? ANSWERS[path] : undefined
  return found ? answerReview(asking, ...found) : undefined
}

const answerReview = async (asking: Asking, kind: Decodable, answer: Answer): Promise<ApiResponse> => {
  if (asking.request.method !== 'POST') throw methodNotAllowed()
  const options = writeOptions(asking.query, 'CreateOptions', asking.warnings)
  const body = await readCallBody(asking, kind.kind, false)
  const object = decodeObject(kind, body.value, options)
  const { apiVersion, kind: name, metadata, spec } = { ...object, apiVersion: apiVersionOf(kind) }
  return jsonResponse({ kind: name, apiVersion, metadata, ...(spec === undefined ? {} : { spec }), status: answer(asking, object) }, 201)
}
