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

/** `<id> by <who> at <time>`. */
export const holdText = ({ id, by, at }: { readonly id: string; readonly by: string; readonly at: string }): string =>
  `${id} by ${by} at ${at}`

/** The hold's text; undefined when the pod is not held. */
export const holdOf = (pod: Annotated): string | undefined => pod.metadata.annotations?.[HOLD]

export const isHeld = (pod: Annotated): boolean => holdOf(pod) !== undefined
