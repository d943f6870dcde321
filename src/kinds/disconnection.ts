// What a workload asks for when its device falls silent: annotations of the pod, with defaults from the same annotations of its
// Namespace. Absent = keep: nothing is ever done. Values are checked when they are written, so what is read here is as it should be.

import type { Cause } from './causes.ts'
import { invalid, notSupported } from './causes.ts'
import { DURATION_MS_MAX } from './limits.ts'
import type { ObjectMeta } from './meta.ts'

/** Replaced elsewhere after so long a silence; `0s` = as soon as the node is Unknown. */
export const REPLACE_AFTER = 'heliopause.io/replace-after'
/** The device itself stops the pod after so long without the server. */
export const STOP_AFTER = 'heliopause.io/stop-after'
/** Which of the two copies stays when the device is back. */
export const ON_RECONNECT = 'heliopause.io/on-reconnect'
/** On a Node: it calls only so often, and is Offline by design in between. */
export const CONTACT_INTERVAL = 'heliopause.io/contact-interval'
/** On a Node: the interval that the device itself announced, for servers that have not heard it yet. CONTACT_INTERVAL wins over it. */
export const ANNOUNCED_INTERVAL = 'heliopause.io/announced-contact-interval'
/** On a Node: after so long a silence it is declared dead. */
export const FENCE_AFTER = 'heliopause.io/fence-after'

/** On a pod whose node is silent and that no longer counts among its siblings: when that began. */
export const SUPERSEDED = 'heliopause.io/superseded'
/** On a pod made in the place of a superseded one: that one's uid. */
export const REPLACES = 'heliopause.io/replaces'

const ON_RECONNECT_VALUES = ['keep-original', 'keep-replacement'] as const
const DURATIONS = [REPLACE_AFTER, STOP_AFTER, CONTACT_INTERVAL, FENCE_AFTER]

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const DURATION = /^(?:\d{1,9}(?:\.\d{1,9})?(?:ms|[smhd])){1,5}$/
const PART = /(\d+(?:\.\d+)?)(ms|[smhd])/g

/** Milliseconds of `5m`, `1h30m`, `0s`, `7d`; undefined when it is no duration, or longer than DURATION_MS_MAX. */
export const parseDuration = (text: string): number | undefined => {
  if (!DURATION.test(text)) return undefined
  let totalMs = 0
  for (const [, amount, unit] of text.matchAll(PART)) totalMs += Number(amount) * (UNITS_MS[unit ?? ''] ?? 0)
  return totalMs <= DURATION_MS_MAX ? totalMs : undefined
}

type Annotated = { readonly metadata: ObjectMeta } | undefined

/** A duration in an annotation; undefined when it is absent or none. */
export const durationOf = (object: Annotated, key: string): number | undefined => {
  const text = object?.metadata.annotations?.[key]
  return text === undefined ? undefined : parseDuration(text)
}

export interface DisconnectionPolicy {
  /** Undefined = keep. */
  readonly replaceAfterMs: number | undefined
  readonly onReconnect: (typeof ON_RECONNECT_VALUES)[number]
}

/** The pod's own words, else its namespace's, each for itself. */
export const policyOf = (pod: Annotated, namespace: Annotated): DisconnectionPolicy => {
  const word = (key: string): Annotated => (pod?.metadata.annotations?.[key] === undefined ? namespace : pod)
  const onReconnect = word(ON_RECONNECT)?.metadata.annotations?.[ON_RECONNECT]
  return {
    replaceAfterMs: durationOf(word(REPLACE_AFTER), REPLACE_AFTER),
    onReconnect: onReconnect === 'keep-replacement' ? onReconnect : 'keep-original',
  }
}

/** Values of these annotations on any object: a misspelt one must not silently mean "keep". */
export const validatePolicyAnnotations = (annotations: Readonly<Record<string, string>>, path: string): Cause[] => {
  const causes: Cause[] = []
  for (const key of DURATIONS) {
    const value = annotations[key]
    if (value !== undefined && parseDuration(value) === undefined)
      causes.push(invalid(`${path}[${key}]`, value, 'must be a duration of at most 10 years, such as 30s, 5m, 1h30m or 7d'))
  }
  const onReconnect = annotations[ON_RECONNECT]
  if (onReconnect !== undefined && !ON_RECONNECT_VALUES.some(each => each === onReconnect))
    causes.push(notSupported(`${path}[${ON_RECONNECT}]`, onReconnect, ON_RECONNECT_VALUES))
  return causes
}

export const isSuperseded = (pod: { readonly metadata: ObjectMeta }): boolean => pod.metadata.annotations?.[SUPERSEDED] !== undefined
