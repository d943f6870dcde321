// What a restore leaves behind in the store: pods without a node may run somewhere under their old uid.

import t from 'tap'
import { createVerbs } from '../../../src/api/api.ts'
import { silentLog } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { KINDS } from '../../../src/kinds/index.ts'
import { renameUnboundPods } from '../../../src/server/restored.ts'
import { type Backup, createMemoryJournal, openStoreOn } from '../../../src/store/store.ts'
import { ADMIN, handClock, kindNamed } from '../api/rig.ts'

const worldOf = (backup?: Backup) => {
  const clock = handClock()
  const random = seededRandom(`restored ${backup !== undefined}`)
  const epoch = backup ? 'after' : 'before'
  const journal = createMemoryJournal({ epoch, defer: land => queueMicrotask(land), ...(backup ? { backup } : {}) })
  const store = openStoreOn({ clock, random, log: silentLog }, journal, journal.load())
  const verbs = createVerbs({ store, clock, random, kinds: KINDS })
  const pod = (name: string, nodeName?: string) =>
    verbs.create(
      ADMIN,
      { kind: kindNamed('Pod'), namespace: 'default' },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name },
        spec: { ...(nodeName ? { nodeName } : {}), containers: [{ name: 'c', image: 'x' }] },
      },
    )
  const uid = (name: string): string | undefined => verbs.get({ kind: kindNamed('Pod'), namespace: 'default', name }).metadata.uid
  return { journal, store, verbs, pod, uid, random }
}

t.test('pods without a node in a backup get new uids; bound ones and those of this epoch keep theirs', async t => {
  const before = worldOf()
  await before.verbs.create(ADMIN, { kind: kindNamed('Namespace'), namespace: '' }, { metadata: { name: 'default' } })
  await before.pod('waits')
  await before.pod('runs', 'n1')
  t.equal(await renameUnboundPods(before.store, before.random), 0, 'a store that was never restored keeps all')
  await before.store.flush()
  const after = worldOf(before.journal.backup())
  await after.pod('young')
  const young = after.uid('young')
  t.equal(await renameUnboundPods(after.store, after.random), 1)
  t.not(after.uid('waits'), before.uid('waits'))
  t.match(after.uid('waits'), /^[0-9a-f-]{36}$/)
  t.equal(after.uid('runs'), before.uid('runs'))
  t.equal(after.uid('young'), young)
})
