// One request about a resource, and what its handlers share: the parsed path and query, how to read the body and how to answer.

import type { Identity } from '../base/pki.ts'
import type { Form } from './accept.ts'
import type { ApiDeps, Target } from './api.ts'
import { type Body, readBody } from './body.ts'
import type { ApiRequest } from './message.ts'
import type { ResourcePath } from './path.ts'
import type { Presentation } from './present.ts'
import type { DefinitionFinder } from './protobuf.ts'
import { includeObjectOf } from './table.ts'
import type { LocalVerbs } from './verbs.ts'
import type { WatchDeps } from './watch.ts'

export interface ResourceDeps extends ApiDeps, WatchDeps {
  readonly verbs: LocalVerbs
  readonly definitionOf: DefinitionFinder
  readonly negotiate: (accept: string | undefined) => Form
}

/** What every step of one request needs. */
export interface Call {
  readonly deps: ResourceDeps
  readonly request: ApiRequest
  readonly identity: Identity
  readonly path: ResourcePath
  readonly query: URLSearchParams
  readonly warnings: string[]
}

export const presentationOf = ({ deps, request, query, warnings }: Call): Presentation => ({
  form: deps.negotiate(request.headers.accept),
  include: query.has('includeObject') ? includeObjectOf(query) : 'Metadata',
  nowMs: deps.clock.now(),
  warnings,
})

/** Reads and parses the body, in any form this server takes. */
export const readCallBody = async (call: Pick<Call, 'request' | 'deps'>, kind: string, findDuplicates: boolean): Promise<Body> =>
  readBody(await call.request.body(), {
    contentType: call.request.headers['content-type'],
    kind,
    findDuplicates,
    definitionOf: call.deps.definitionOf,
  })

export const targetOf = ({ path: { kind, namespace, name, subresource } }: Call): Target =>
  subresource === '' ? { kind, namespace, name } : { kind, namespace, name, subresource: subresource as NonNullable<Target['subresource']> }
