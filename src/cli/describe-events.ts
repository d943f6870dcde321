// The events about an object, newest last, as every description ends with.

import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import { translateTimestampSince } from '../kinds/duration.ts'
import type { Client } from './client.ts'
import { indented, innerTable, type Lines } from './describe-text.ts'

interface EventLike extends KubeObject {
  readonly type?: string
  readonly reason?: string
  readonly message?: string
  readonly count?: number
  readonly firstTimestamp?: string
  readonly lastTimestamp?: string
  readonly eventTime?: string
  readonly reportingComponent?: string
  readonly source?: { readonly component?: string }
  readonly series?: { readonly count?: number; readonly lastObservedTime?: string }
}

const firstOf = (event: EventLike): string => event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? ''
const lastOf = (event: EventLike): string => event.series?.lastObservedTime ?? event.lastTimestamp ?? firstOf(event)
const countOf = (event: EventLike): number => event.series?.count ?? event.count ?? 1

const ageText = (event: EventLike, nowMs: number): string => {
  const age = translateTimestampSince(lastOf(event), nowMs)
  return countOf(event) > 1 ? `${age} (x${countOf(event)} over ${translateTimestampSince(firstOf(event), nowMs)})` : age
}

/** Lines under `Events:`. */
export const eventLines = (events: readonly EventLike[], nowMs: number): Lines => {
  if (events.length === 0) return ['Events:\t<none>']
  const ordered = [...events].sort((a, b) => (lastOf(a) < lastOf(b) ? -1 : lastOf(a) > lastOf(b) ? 1 : 0))
  const rows = ordered.map(event => [
    event.type ?? '',
    event.reason ?? '',
    ageText(event, nowMs),
    event.source?.component || event.reportingComponent || '',
    (event.message ?? '').trim().replace(/\s*\n\s*/g, ' '),
  ])
  return ['Events:', ...indented(innerTable(['Type', 'Reason', 'Age', 'From', 'Message'], rows))]
}

/** Events about one object. Nodes' events carry the node's name as uid, so these are asked for by name. */
export const fetchEvents = async (client: Client, object: KubeObject): Promise<EventLike[]> => {
  const { name = '', namespace, uid } = object.metadata
  const fields = [`involvedObject.name=${name}`, `involvedObject.kind=${object.kind}`]
  if (uid !== undefined && object.kind !== 'Node') fields.push(`involvedObject.uid=${uid}`)
  if (namespace !== undefined) fields.push(`involvedObject.namespace=${namespace}`)
  const path = namespace === undefined ? '/api/v1/events' : `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`
  const list = await client.json('GET', path, { query: { fieldSelector: fields.join(','), limit: 500 } })
  return (Array.isArray(list['items']) ? list['items'].filter(isObject) : []) as unknown as EventLike[]
}
