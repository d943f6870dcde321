// GET pods/log: which container, which options, and a stream that becomes 200 only when there is something to say or nothing was refused.

import type { Cause } from '../base/errors.ts'
import type { KubeObject } from '../base/object.ts'
import { invalid as invalidValue } from '../kinds/causes.ts'
import type { PodSpec } from '../kinds/pod.ts'
import type { ApiDeps } from './api.ts'
import { LOG_COMMIT_MS } from './limits.ts'
import type { ApiResponse, Sink } from './message.ts'
import { booleanParam } from './query.ts'
import { badRequest, invalid } from './refusal.ts'

const names = (containers: readonly { readonly name: string }[] | undefined): string => (containers ?? []).map(each => each.name).join(' ')

/** The container to read from; 400 with upstream's sentences when it is not clear. */
export const logContainer = (pod: KubeObject, asked: string): string => {
  const spec = pod.spec as PodSpec
  const all = [...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])]
  const name = pod.metadata.name ?? ''
  if (asked !== '') {
    if (all.some(each => each.name === asked)) return asked
    throw badRequest(`container ${asked} is not valid for pod ${name}`)
  }
  const preferred = pod.metadata.annotations?.['kubectl.kubernetes.io/default-container']
  if (preferred && all.some(each => each.name === preferred)) return preferred
  if (spec.containers.length === 1) return spec.containers[0]!.name
  const init = spec.initContainers?.length ? ` or one of the init containers: [${names(spec.initContainers)}]` : ''
  throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${names(spec.containers)}]${init}`)
}

const INTEGERS = ['sinceSeconds', 'tailLines', 'limitBytes'] as const
const BOOLEANS = ['follow', 'previous', 'timestamps'] as const

/** PodLogOptions of the query; absent ones are left out. */
export const logOptions = (query: URLSearchParams): Readonly<Record<string, unknown>> => {
  const options: Record<string, unknown> = {}
  const causes: Cause[] = []
  for (const name of BOOLEANS) if (query.has(name)) options[name] = booleanParam(query, name)
  for (const name of INTEGERS) {
    const text = query.get(name)
    if (text === null || text === '') continue
    if (!/^-?\d{1,15}$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
    const value = Number(text)
    const least = name === 'tailLines' ? 0 : 1
    if (value < least) causes.push(invalidValue(name, value, `must be greater than ${least === 0 ? 'or equal to ' : ''}0`))
    options[name] = value
  }
  const since = query.get('sinceTime')
  if (since) {
    if (Number.isNaN(Date.parse(since))) throw badRequest(`parsing time ${JSON.stringify(since)}: not an RFC 3339 time`)
    if (options['sinceSeconds'] !== undefined)
      causes.push({
        field: '',
        type: 'FieldValueForbidden',
        detail: 'Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified',
      })
    options['sinceTime'] = since
  }
  if (causes.length > 0) throw invalid({ group: '', kind: 'PodLogOptions' }, '', causes)
  return options
}

interface Handover {
  /** The response is committed; output goes to this sink from now on. */
  sink: Sink | undefined
  /** Writers waiting for the sink. */
  readonly waiting: ((sink: Sink) => void)[]
}

const deliver = async (handover: Handover, data: Uint8Array): Promise<void> => {
  const sink = handover.sink ?? (await new Promise<Sink>(resolve => handover.waiting.push(resolve)))
  sink.write(data)
  if (sink.pendingBytes() > 0) await sink.drained()
}

/** Starts the source; rejects with its error when it fails before it wrote anything, so that the client gets a Status. */
export const logResponse = async (
  deps: Pick<ApiDeps, 'podLogs' | 'clock'>,
  request: Parameters<ApiDeps['podLogs']>[0],
): Promise<ApiResponse> => {
  const stop = new AbortController()
  const handover: Handover = { sink: undefined, waiting: [] }
  const started: { commit: () => void } = { commit: () => {} }
  const committed = new Promise<void>(resolve => {
    started.commit = resolve
  })
  const write = (data: Uint8Array): Promise<void> => {
    started.commit()
    return deliver(handover, data)
  }
  const source = deps.podLogs(request, { write, signal: stop.signal })
  const cancel = deps.clock.after(LOG_COMMIT_MS, () => started.commit())
  try {
    await Promise.race([source, committed])
  } finally {
    cancel()
  }
  return {
    status: 200,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    async body(sink) {
      const abort = (): void => stop.abort()
      sink.signal.addEventListener('abort', abort, { once: true })
      if (sink.signal.aborted) abort()
      handover.sink = sink
      for (const resolve of handover.waiting.splice(0)) resolve(sink)
      try {
        await source
      } finally {
        sink.signal.removeEventListener('abort', abort)
      }
    },
  }
}
