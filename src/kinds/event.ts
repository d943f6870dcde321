// Event: what happened to an object. One stored form (core/v1), two spellings: core/v1 and events.k8s.io/v1; conversion both ways.
// Events are reconstructible (lazy). Source: k8s.io/api core/v1 and events/v1, k8s pkg/apis/core/validation/events.go.

import { translateTimestampSince } from './duration.ts'
import { validateEvent, validateNewEvent } from './event-validation.ts'
import type { Cell, Column, Kind } from './kind.ts'
import type { KubeObject, ObjectMeta } from './meta.ts'
import { validateObjectMetaUpdate } from './meta-validation.ts'
import { column, nameOf, wideColumn } from './printing.ts'

export interface ObjectReference {
  kind?: string
  namespace?: string
  name?: string
  uid?: string
  apiVersion?: string
  resourceVersion?: string
  fieldPath?: string
}

/** The core/v1 form, which is also the stored one. */
export interface Event {
  apiVersion: 'v1'
  kind: 'Event'
  metadata: ObjectMeta
  involvedObject: ObjectReference
  reason?: string
  message?: string
  source?: { component?: string; host?: string }
  firstTimestamp?: string
  lastTimestamp?: string
  count?: number
  type?: string
  eventTime?: string
  series?: { count?: number; lastObservedTime?: string }
  action?: string
  related?: ObjectReference
  reportingComponent?: string
  reportingInstance?: string
  [field: string]: unknown
}

const asEvent = (object: KubeObject): Event => object as unknown as Event

/** Fields that only differ in name: core/v1 on the left, events.k8s.io/v1 on the right. */
const RENAMED: readonly (readonly [string, string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
]

const rename = (object: KubeObject, apiVersion: string, names: ReadonlyMap<string, string>): KubeObject => {
  const renamed: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(object)) renamed[names.get(field) ?? field] = value
  return { ...renamed, apiVersion, kind: 'Event', metadata: object.metadata }
}

const TO_EVENTS = new Map(RENAMED)
const TO_CORE = new Map(RENAMED.map(([core, events]) => [events, core]))

const toEvents = (object: KubeObject): KubeObject => rename(object, 'events.k8s.io/v1', TO_EVENTS)

const toCore = (object: KubeObject): KubeObject => rename(object, 'v1', TO_CORE)

const COLUMNS: readonly Column[] = [
  column('Last Seen', 'Time since it was seen last.'),
  column('Type', 'Normal or Warning.'),
  column('Reason', 'Short, machine understandable reason.'),
  column('Object', 'The object this event is about.'),
  wideColumn('Subobject', 'The part of the object.'),
  wideColumn('Source', 'The component that reported it.'),
  column('Message', 'What happened, for people.'),
  wideColumn('First Seen', 'Time since it was seen first.'),
  wideColumn('Count', 'How often it was seen.'),
  wideColumn('Name', 'Name of the event.'),
]

const sourceText = ({ source, reportingComponent, reportingInstance }: Event): string =>
  [source?.component || reportingComponent, source?.host || reportingInstance].filter(Boolean).join(', ')

const objectText = ({ involvedObject }: Event): string => {
  const kind = (involvedObject?.kind ?? '').toLowerCase()
  return involvedObject?.name ? `${kind}/${involvedObject.name}` : kind
}

const eventRow = (event: Event, nowMs: number): Cell[] => {
  const first = translateTimestampSince(event.firstTimestamp ?? event.eventTime, nowMs)
  const last = event.lastTimestamp === undefined ? first : translateTimestampSince(event.lastTimestamp, nowMs)
  return [
    event.series ? translateTimestampSince(event.series.lastObservedTime, nowMs) : last,
    event.type ?? '',
    event.reason ?? '',
    objectText(event),
    event.involvedObject?.fieldPath ?? '',
    sourceText(event),
    (event.message ?? '').trim(),
    first,
    event.series?.count ?? (event.count || 1),
    nameOf(event),
  ]
}

/** The same values under the names that each spelling's field selectors use; upstream has core names for both. */
const fieldsOf = (event: Event): Record<string, string> => {
  const { involvedObject: about } = event
  return {
    'involvedObject.kind': about?.kind ?? '',
    'involvedObject.namespace': about?.namespace ?? '',
    'involvedObject.name': about?.name ?? '',
    'involvedObject.uid': about?.uid ?? '',
    'involvedObject.apiVersion': about?.apiVersion ?? '',
    'involvedObject.resourceVersion': about?.resourceVersion ?? '',
    'involvedObject.fieldPath': about?.fieldPath ?? '',
    reason: event.reason ?? '',
    reportingComponent: event.source?.component || (event.reportingComponent ?? ''),
    source: event.source?.component || (event.reportingComponent ?? ''),
    type: event.type ?? '',
  }
}

const EVENT = {
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  singular: 'event',
  shortNames: ['ev'],
  namespaced: true,
  hasStatus: false,
  hasGeneration: false,
  lazy: true,
  columns: COLUMNS,
  setDefaults: () => {},
} as const

export const eventKind: Kind = {
  ...EVENT,
  group: '',
  definition: 'io.k8s.api.core.v1.Event',
  validate: object => validateEvent(asEvent(object), 'reportingComponent'),
  validateUpdate: (object, old) => validateObjectMetaUpdate(object.metadata, old.metadata),
  row: (object, nowMs) => eventRow(asEvent(object), nowMs),
  fields: object => fieldsOf(asEvent(object)),
}

export const eventsEventKind: Kind = {
  ...EVENT,
  group: 'events.k8s.io',
  definition: 'io.k8s.api.events.v1.Event',
  storage: { group: '', plural: 'events', fromStored: toEvents, toStored: toCore },
  validate: object => validateNewEvent(asEvent(toCore(object))),
  validateUpdate: (object, old) => validateObjectMetaUpdate(object.metadata, old.metadata),
  row: (object, nowMs) => eventRow(asEvent(toCore(object)), nowMs),
  fields: object => {
    const fields = fieldsOf(asEvent(toCore(object)))
    const renamed = Object.entries(fields).map(([name, value]) => [name.replace('involvedObject.', 'regarding.'), value] as const)
    return { ...fields, ...Object.fromEntries(renamed), reportingController: fields['reportingComponent'] ?? '' }
  },
}
