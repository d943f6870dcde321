// Holds: an operator at the device stopped a pod and keeps it stopped. The server shows the hold as an annotation; whoever removes the
// annotation lifts the hold. HOLD_ID remembers which hold that was, HOLD_LIFTED tells the device to drop it.

import type { ObjectMeta } from './meta.ts'

export const HOLD = 'heliopause.io/hold'
export const HOLD_ID = 'heliopause.io/hold-id'
export const HOLD_LIFTED = 'heliopause.io/hold-lifted'
/** Who writes HOLD and HOLD_ID. */
export const HOLD_MANAGER = 'heliopause.io/device'
/** Condition of a workload that has held pods. */
export const HELD = 'heliopause.io/Held'

type Annotated = { readonly metadata: ObjectMeta }

/** Characters of the reason of a hold; the device refuses longer ones, the server cuts them. */
export const HOLD_REASON_CHARS_MAX = 256

/** Who and when are words without a space; the reason may say anything on one line. */
export interface HoldWords {
  readonly id: string
  readonly by: string
  /** RFC 3339. */
  readonly at: string
  readonly reason?: string
}

/** `<id> by <who> at <time>`, and `: <reason>` where one was given. */
export const holdText = ({ id, by, at, reason }: HoldWords): string => `${id} by ${by} at ${at}${reason === undefined ? '' : `: ${reason}`}`

/** Undefined when the text is not one of holdText's. */
export const parseHold = (text: string): HoldWords | undefined => {
  const [, id, by, at, reason] = /^(\S+) by (\S+) at (\S+?)(?:: (.*))?$/.exec(text) ?? []
  if (id === undefined || by === undefined || at === undefined) return undefined
  return { id, by, at, ...(reason === undefined ? {} : { reason }) }
}

/** The hold's text; undefined when the pod is not held. */
export const holdOf = (pod: Annotated): string | undefined => pod.metadata.annotations?.[HOLD]

export const isHeld = (pod: Annotated): boolean => holdOf(pod) !== undefined
