// After a restore of the server: a device that holds what the backup does not know keeps running it until an operator decides. Its Node
// shows that as a condition, and carries the decision as an annotation. The server's node controller alone writes the condition.

import type { Condition } from './meta.ts'

/** Condition of a Node, True while its device does not follow this server. */
export const CONFLICT = 'heliopause.io/Conflict'
export const SERVER_RESTORED = 'ServerRestored'

/**
 * Node annotation, the operator's decision: the epoch of the server that the device is to follow, whatever it runs. It names the epoch, so
 * that it never decides about a later restore.
 */
export const FOLLOW = 'heliopause.io/follow'

/** A device and its server that know different things. */
export interface HeadConflict {
  /** What the device holds and runs. */
  readonly held: { readonly epoch: string; readonly generation: number }
  /** The server's. `base`: of other epochs it knows everything up to this generation, and nothing above; absent where that is not known. */
  readonly epoch: string
  readonly base?: number
}

type Conditioned = { readonly status?: { readonly conditions?: readonly Condition[] } | undefined }

/** The condition of a node in conflict; undefined for all others. */
export const conflictCondition = (node: Conditioned | undefined): Condition | undefined =>
  node?.status?.conditions?.find(each => each.type === CONFLICT && each.status === 'True')

/** In a form that `conflictEpoch` reads. */
export const conflictMessage = (node: string, { held, epoch, base }: HeadConflict): string =>
  `this server was restored and is in epoch ${epoch}${base === undefined ? '' : `, which knows nothing after generation ${base}`}; ` +
  `the device holds generation ${held.generation} of epoch ${held.epoch} and keeps running it, until: helio node follow ${node}`

/** The epoch that an operator decides for, from the node's condition; undefined for a node that is not in conflict. */
export const conflictEpoch = (node: Conditioned | undefined): string | undefined =>
  /^this server was restored and is in epoch ([^\s,;]+)/.exec(conflictCondition(node)?.message ?? '')?.[1]

/** An operator wants this device to follow the server of this epoch. */
export const mayFollow = (
  node: { readonly metadata: { readonly annotations?: Readonly<Record<string, string>> } } | undefined,
  epoch: string,
): boolean => node?.metadata.annotations?.[FOLLOW] === epoch
