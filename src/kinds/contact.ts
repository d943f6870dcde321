// Contact with a device as its Node shows it: Online, Offline (silent by design), Unknown (silent beyond that), Dead (declared). The
// server's node controller alone writes these conditions; everybody else reads them here.

import { CONFLICT } from './conflict.ts'
import type { Condition, KubeObject } from './meta.ts'
import type { Node } from './node.ts'

export type ContactState = 'Online' | 'Offline' | 'Unknown' | 'Dead'

/** Condition of a Node: its reason is the state, its last heartbeat when a silent node was last seen. */
export const CONTACT = 'heliopause.io/Contact'
/** Condition of a Node, and of the Namespace kube-system for the whole cluster: many fell silent together, so nothing is moved. */
export const CONTACT_BRAKE = 'heliopause.io/ContactBrake'
/** Conditions of Nodes that are the server's word; a device may not report them. */
export const SERVER_CONDITIONS: ReadonlySet<string> = new Set([CONTACT, CONTACT_BRAKE, CONFLICT])

/** The taint that declares a node dead, and its value when a fencing policy set it. */
export const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service'
export const FENCED = 'fence-after'
/** On a Node: when a fencing policy last declared it dead. It outlives the taint, so that a node that came back still counts for the pace. */
export const FENCED_AT = 'heliopause.io/fenced-at'

const STATES: readonly string[] = ['Online', 'Offline', 'Unknown', 'Dead']

type Conditioned = { readonly status?: { readonly conditions?: readonly Condition[] } | undefined }

export const contactCondition = (node: Conditioned): Condition | undefined => node.status?.conditions?.find(each => each.type === CONTACT)

/** The recorded state; undefined for a node that has not been judged yet. */
export const contactState = (node: Conditioned | undefined): ContactState | undefined => {
  const reason = node && contactCondition(node)?.reason
  return reason !== undefined && STATES.includes(reason) ? (reason as ContactState) : undefined
}

/** Declared dead: by an operator, or by a fencing policy. */
export const isDeclaredDead = (node: Pick<Node, 'spec'>): boolean =>
  node.spec?.taints?.some(taint => taint.key === OUT_OF_SERVICE && taint.effect === 'NoExecute') ?? false

export const brakeCondition = (object: Conditioned | KubeObject | undefined): Condition | undefined =>
  (object as Conditioned | undefined)?.status?.conditions?.find(each => each.type === CONTACT_BRAKE)
