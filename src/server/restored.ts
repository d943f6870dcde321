// After a restore: pods that had no node in the backup may have got one since, and run there under their uid, unknown to this server. Before
// anything is scheduled they get new uids, so that one uid never runs in two places; what still runs under the old one is removed when its
// device follows this server again.

import { isObject } from '../base/json.ts'
import { type Random, uuid } from '../base/random.ts'
import { kindByName } from '../kinds/index.ts'
import { storePrefix } from '../kinds/kind.ts'
import type { Store } from '../store/store.ts'

/** Settles with the number of pods renamed; none in a store that was never restored. Their writes are staged when this returns. */
export const renameUnboundPods = async (store: Store, random: Random): Promise<number> => {
  const { base = 0 } = store
  const unbound = store.list({ prefix: storePrefix(kindByName('Pod')!) }).entries.filter(({ createRevision, object }) => {
    const { spec } = object as { readonly spec?: unknown }
    return createRevision <= base && isObject(spec) && !spec['nodeName']
  })
  await Promise.all(
    unbound.map(({ key, object, revision }) =>
      store.write({
        do: 'update',
        key,
        object: { ...object, metadata: { ...object.metadata, uid: uuid(random) } },
        expectRevision: revision,
      }),
    ),
  )
  return unbound.length
}
