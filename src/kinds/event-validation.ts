// Rules of events. Source: k8s pkg/apis/core/validation/events.go: the old API asks little, the new one (eventTime set) more.

import type { Cause } from './causes.ts'
import { forbidden, invalid, invalidAll, notSupported, required } from './causes.ts'
import type { Event } from './event.ts'
import { EVENT_NOTE_BYTES_MAX, EVENT_REASON_LENGTH_MAX } from './limits.ts'
import { validateObjectMeta } from './meta-validation.ts'
import { byteLength, dns1123Subdomain, qualifiedName } from './names.ts'

const noLongerThan = (field: string, value: string | undefined, bytesMax: number): Cause[] =>
  byteLength(value ?? '') > bytesMax ? [invalid(field, value, `can have at most ${bytesMax} characters`)] : []

/** Events live beside the object they are about; those about cluster-scoped objects in `default` (or without a namespace). */
const validateNamespaces = ({ metadata, involvedObject }: Event, field: string): Cause[] => {
  const about = involvedObject?.namespace ?? ''
  const fits = about === '' ? ['', 'default'].includes(metadata.namespace ?? '') : about === metadata.namespace
  return fits ? [] : [invalid(field, about, 'does not match event.namespace')]
}

/** What the newer fields demand once `eventTime` is set. */
const validateReport = (event: Event, names: { readonly controller: string; readonly message: string }): Cause[] => {
  const causes: Cause[] = []
  const { reportingComponent = '', reportingInstance = '', action = '', reason = '' } = event
  if (reportingComponent === '') causes.push(required(names.controller))
  causes.push(...(reportingComponent === '' ? [] : invalidAll(names.controller, reportingComponent, qualifiedName(reportingComponent))))
  if (reportingInstance === '') causes.push(required('reportingInstance'))
  causes.push(...noLongerThan('reportingInstance', reportingInstance, EVENT_REASON_LENGTH_MAX))
  if (action === '') causes.push(required('action'))
  causes.push(...noLongerThan('action', action, EVENT_REASON_LENGTH_MAX))
  if (reason === '') causes.push(required('reason'))
  causes.push(
    ...noLongerThan('reason', reason, EVENT_REASON_LENGTH_MAX),
    ...noLongerThan(names.message, event.message, EVENT_NOTE_BYTES_MAX),
  )
  return causes
}

/** The core/v1 spelling. */
export const validateEvent = (event: Event, controllerField: string): Cause[] => [
  ...validateObjectMeta(event.metadata, true, dns1123Subdomain),
  ...validateNamespaces(event, 'involvedObject.namespace'),
  ...(event.eventTime === undefined ? [] : validateReport(event, { controller: controllerField, message: 'message' })),
]

/** The events.k8s.io/v1 spelling, given in its stored form: `eventTime` is needed, the deprecated fields must stay empty. */
export const validateNewEvent = (event: Event): Cause[] => {
  const causes = [...validateObjectMeta(event.metadata, true, dns1123Subdomain), ...validateNamespaces(event, 'regarding.namespace')]
  // Events written through core/v1 come back through this spelling on update; the strict rules are for new ones.
  if (event.eventTime === undefined) return event.firstTimestamp === undefined ? [...causes, required('eventTime')] : causes
  causes.push(...validateReport(event, { controller: 'reportingController', message: 'note' }))
  if (event.type !== 'Normal' && event.type !== 'Warning') causes.push(notSupported('type', event.type ?? '', ['Normal', 'Warning']))
  if (event.firstTimestamp !== undefined) causes.push(forbidden('deprecatedFirstTimestamp', 'needs to be unset'))
  if (event.lastTimestamp !== undefined) causes.push(forbidden('deprecatedLastTimestamp', 'needs to be unset'))
  if (event.count) causes.push(forbidden('deprecatedCount', 'needs to be unset'))
  if (event.source?.component || event.source?.host) causes.push(forbidden('deprecatedSource', 'needs to be unset'))
  if (event.series && (event.series.count ?? 0) < 2) causes.push(invalid('series.count', event.series.count ?? 0, 'should be at least 2'))
  return causes
}
