// Devices that do not follow a restored server until an operator decides: said once in the log, shown on the Node by the node controller,
// and the decision (an annotation of the Node) carried out as soon as the device is there and has said what it holds.

import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { KubeObject } from '../base/object.ts'
import { conflictMessage, FOLLOW, type HeadConflict, mayFollow } from '../kinds/conflict.ts'
import type { Node } from '../kinds/node.ts'
import type { Hub } from '../link/link.ts'
import type { LiveView } from './view.ts'

export interface FollowingDeps {
  readonly log: Log
  readonly view: Pick<LiveView, 'get'>
  readonly hub: () => Pick<Hub, 'contact' | 'resume'>
  /** Controllers look at the node again. */
  readonly onContact: (device: string) => void
}

export interface Following {
  /** As HubDeps.onConflict. */
  conflict(device: string, conflict: HeadConflict | null, isNews: boolean): void
  /** A Node changed; `old` undefined when it is new. */
  changed(node: KubeObject, old: KubeObject | undefined): void
}

export const createFollowing = ({ log, view, hub, onContact }: FollowingDeps): Following => {
  const follow = (device: string): void => {
    const { connected, conflict } = hub().contact(device) ?? {}
    if (!connected || !conflict || !mayFollow(view.get<Node>('Node', '', device), conflict.epoch)) return
    log.debug('device is to follow this server', { node: device, epoch: conflict.epoch })
    const resumed = hub().resume(device)
    // It went a moment ago: it says again what it holds when it is back.
    resumed.catch((error: unknown) => log.info('device is not there any more', { node: device, error: messageOf(error) }))
  }
  return {
    conflict(device, conflict, isNews) {
      if (isNews) onContact(device)
      if (!conflict) return
      const detail = `an operator must decide: ${conflictMessage(device, conflict)}`
      if (isNews) log.error('device refused its document', { node: device, why: 'conflict', detail })
      follow(device)
    },
    changed(node, old) {
      const decision = node.metadata.annotations?.[FOLLOW]
      if (decision !== undefined && decision !== old?.metadata.annotations?.[FOLLOW]) follow(node.metadata.name ?? '')
    },
  }
}
