// Subresources with a verb of their own: pods/binding, bindings, pods/eviction, pods/log.

import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import { notSupported, required } from '../kinds/causes.ts'
import { authorizeResource } from './authority.ts'
import type { Body } from './body.ts'
import { type Call, readCallBody } from './call.ts'
import { type Decodable, decodeObject } from './decode.ts'
import { logContainer, logOptions, logResponse } from './log-stream.ts'
import { type ApiResponse, jsonResponse, textResponse } from './message.ts'
import { type Bind, bindPod } from './pod-verbs.ts'
import { deleteOptions, writeOptions } from './query.ts'
import { badRequest, invalid, methodNotAllowed, noResource } from './refusal.ts'
import { isStreamed, podOfStream } from './streams/upgrade.ts'

export const BINDING: Decodable = { group: '', version: 'v1', kind: 'Binding', definition: 'io.k8s.api.core.v1.Binding' }
export const EVICTION: Decodable = { group: 'policy', version: 'v1', kind: 'Eviction', definition: 'io.k8s.api.policy.v1.Eviction' }

const CREATED = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 } as const

const isPod = ({ path: { kind } }: Call): boolean => kind.group === '' && kind.kind === 'Pod'

const bindOf = (binding: KubeObject, namespace: string, name: string): Bind => {
  const target = isObject(binding['target']) ? (binding['target'] as { kind?: string; name?: string }) : {}
  const causes = [
    ...(target.kind && target.kind !== 'Node' ? [notSupported('target.kind', target.kind, ['Node', '<empty>'])] : []),
    ...(target.name ? [] : [required('target.name')]),
  ]
  if (causes.length > 0) throw invalid(BINDING, name, causes)
  const { uid, resourceVersion, annotations } = binding.metadata
  const preconditions = { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) }
  return { namespace, name, node: target.name ?? '', preconditions, ...(annotations ? { annotations } : {}) }
}

/** POST of a Binding: to pods/x/binding, or to bindings with the pod's name inside. */
export const bindResponse = async (call: Call): Promise<ApiResponse> => {
  const { deps, path, query, warnings } = call
  authorizeResource(call.identity, { ...path, verb: 'create' })
  const options = writeOptions(query, 'CreateOptions', warnings)
  const body = await readCallBody(call, 'Binding', false)
  const binding = decodeObject(BINDING, body.value, options)
  const name = path.name === '' ? (binding.metadata.name ?? '') : path.name
  if (binding.metadata.name && binding.metadata.name !== name) throw badRequest('name in URL does not match name in Binding object')
  await bindPod({ writer: deps.verbs.writer, clock: deps.clock }, path.kind, bindOf(binding, path.namespace, name), options)
  return jsonResponse(CREATED, 201)
}

/** POST pods/x/eviction: a delete with the options inside. */
const evictResponse = async (call: Call): Promise<ApiResponse> => {
  const { deps, path, query, warnings } = call
  const { dryRun } = writeOptions(query, 'CreateOptions', warnings)
  const body = await readCallBody(call, 'Eviction', false)
  const value =
    isObject(body.value) && body.value['apiVersion'] === 'policy/v1beta1' ? { ...body.value, apiVersion: 'policy/v1' } : body.value
  const eviction = decodeObject(EVICTION, value)
  if (eviction.metadata.name && eviction.metadata.name !== path.name) throw badRequest('name in URL does not match name in Eviction object')
  const inner: Body = { value: eviction['deleteOptions'] ?? {}, text: '', duplicates: [] }
  const options = deleteOptions(new URLSearchParams(), inner)
  await deps.verbs.writer.remove({ kind: path.kind, namespace: path.namespace, name: path.name }, dryRun ? { ...options, dryRun } : options)
  return jsonResponse(CREATED, 201)
}

const logOf = (call: Call): Promise<ApiResponse> | ApiResponse => {
  const { deps, path, query } = call
  const { object: pod } = deps.verbs.writer.read({ kind: path.kind, namespace: path.namespace, name: path.name })
  const options = logOptions(query)
  const container = logContainer(pod, query.get('container') ?? '')
  // Nobody runs it yet, so there is nothing to read.
  if (!(pod.spec as { nodeName?: string }).nodeName) return textResponse('')
  return logResponse(deps, { pod, container, options })
}

/** Answers a subresource that is not a part of its object; 404 when there is none of this name. */
export const subresourceResponse = (call: Call): Promise<ApiResponse> | ApiResponse => {
  const { path, request, identity } = call
  if (!isPod(call)) throw noResource()
  // Over HTTP/2, or without the header: these are answered by an upgrade only.
  if (isStreamed(path.subresource)) {
    podOfStream(call.deps, path, request.method, identity)
    throw badRequest('Upgrade request required')
  }
  const post = path.subresource === 'binding' || path.subresource === 'eviction'
  if (!post && path.subresource !== 'log') throw noResource()
  if (request.method !== (post ? 'POST' : 'GET')) throw methodNotAllowed()
  authorizeResource(identity, { ...path, verb: post ? 'create' : 'get' })
  if (path.subresource === 'binding') return bindResponse(call)
  return path.subresource === 'eviction' ? evictResponse(call) : logOf(call)
}
