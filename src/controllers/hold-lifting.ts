// Lifting a hold on the server: whoever may change the pod removes the annotation that shows the hold; HOLD_ID still says which one it
// was, so the device can be told to drop that hold and no other.

import { HOLD_ID, HOLD_LIFTED, isHeld } from '../kinds/hold.ts'
import type { ObjectMeta } from '../kinds/meta.ts'
import { keyOf, splitKey } from '../kinds/meta.ts'
import type { Pod } from '../kinds/pod.ts'
import type { Controller } from './controller.ts'
import { eventAbout, uidOf } from './reference.ts'

const isLifted = (pod: { readonly metadata: ObjectMeta }): boolean => pod.metadata.annotations?.[HOLD_ID] !== undefined && !isHeld(pod)

export const holdLifting: Controller = {
  name: 'hold-lifting',
  watches: [{ kind: 'Pod', keys: pod => (isLifted(pod) ? [keyOf(pod.metadata)] : []) }],
  reconcile(view, key) {
    const { namespace, name } = splitKey(key)
    const pod = view.get<Pod>('Pod', namespace, name)
    if (!pod || !isLifted(pod)) return { actions: [] }
    const annotations = { [HOLD_LIFTED]: pod.metadata.annotations?.[HOLD_ID], [HOLD_ID]: null }
    const resourceVersion = pod.metadata.resourceVersion ?? ''
    return {
      actions: [
        { do: 'patch', kind: 'Pod', key, uid: uidOf(pod), resourceVersion, patch: { metadata: { annotations } } },
        eventAbout(pod, {
          type: 'Normal',
          reason: 'HoldLifted',
          note: `The hold was lifted on the server: the device on ${pod.spec.nodeName ?? 'no node'} starts the pod again`,
          source: 'hold-controller',
          after: 0,
        }),
      ],
    }
  },
}
