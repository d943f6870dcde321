// Actions against the real verbs: preconditions hold, a conflict is quiet, a refusal is not.

import t from 'tap'
import { createVerbs } from '../../../src/api/api.ts'
import { silentLog } from '../../../src/base/log.ts'
import type { KubeObject } from '../../../src/base/object.ts'
import { seededRandom } from '../../../src/base/random.ts'
import type { Action } from '../../../src/controllers/controller.ts'
import { KINDS } from '../../../src/kinds/index.ts'
import { splitKey } from '../../../src/kinds/meta.ts'
import { createExecutor } from '../../../src/server/actions.ts'
import type { Outcome } from '../../../src/server/loop-core.ts'
import { createEventRecorder } from '../../../src/server/loop-events.ts'
import { openMemoryStore, type Store } from '../../../src/store/store.ts'
import { ADMIN, handClock, kindNamed } from '../api/rig.ts'

interface Rig {
  readonly store: Store
  readonly run: (action: Action) => Promise<Outcome>
  get(kind: string, key: string): KubeObject
  remove(kind: string, key: string): Promise<KubeObject>
}

const rig = async (): Promise<Rig> => {
  const clock = handClock()
  const random = seededRandom('actions')
  const store = openMemoryStore({ clock, random, log: silentLog })
  const verbs = createVerbs({ store, clock, random, kinds: KINDS })
  const run = createExecutor({ verbs, kinds: KINDS, events: createEventRecorder({ clock }), revision: () => store.revision })
  const target = (kind: string, key: string) => ({ kind: kindNamed(kind), ...splitKey(key) })
  await run({ do: 'create', object: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } } })
  return {
    store,
    run,
    get: (kind, key) => verbs.get(target(kind, key)),
    remove: (kind, key) => verbs.delete(ADMIN, target(kind, key)),
  }
}

const pod: KubeObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default' },
  spec: { containers: [{ name: 'main', image: 'busybox' }] },
}

const KEY = 'default/web'

t.test('create stores the object; again it is a quiet conflict', async t => {
  const { run, get, store } = await rig()
  t.same(await run({ do: 'create', object: pod }), { ok: true, revision: store.revision })
  t.ok(get('Pod', KEY).metadata.uid)
  t.match(await run({ do: 'create', object: pod }), { ok: false, quiet: true })
})

t.test('an invalid object is refused aloud', async t => {
  const { run } = await rig()
  const outcome = await run({ do: 'create', object: { ...pod, spec: { containers: [] } } })
  t.match(outcome, { ok: false, quiet: false, message: /spec.containers: Required value/ })
})

t.test('every write with a stale version or another uid is a quiet conflict and changes nothing', async t => {
  const { run, get, store } = await rig()
  await run({ do: 'create', object: pod })
  const { uid, resourceVersion } = get('Pod', KEY).metadata
  const stale = { uid: uid!, resourceVersion: '1' }
  const other = { uid: 'other', resourceVersion: resourceVersion! }
  const before = store.revision
  for (const wrong of [stale, other]) {
    const actions: Action[] = [
      { do: 'patch', kind: 'Pod', key: KEY, patch: { metadata: { labels: { a: 'b' } } }, ...wrong },
      { do: 'patchStatus', kind: 'Pod', key: KEY, status: { phase: 'Failed' }, ...wrong },
      { do: 'delete', kind: 'Pod', key: KEY, ...wrong },
      { do: 'bind', key: KEY, node: 'node-1', ...wrong },
      { do: 'update', object: { ...get('Pod', KEY), metadata: { ...get('Pod', KEY).metadata, labels: { a: 'b' }, ...wrong } } },
    ]
    for (const action of actions) t.match(await run(action), { ok: false, quiet: true }, `${action.do} ${wrong.uid}`)
  }
  t.equal(store.revision, before)
})

t.test('patchStatus replaces the status and leaves the spec', async t => {
  const { run, get } = await rig()
  await run({ do: 'create', object: pod })
  const seen = (): { uid: string; resourceVersion: string } => {
    const { uid, resourceVersion } = get('Pod', KEY).metadata
    return { uid: uid!, resourceVersion: resourceVersion! }
  }
  await run({ do: 'patchStatus', kind: 'Pod', key: KEY, status: { phase: 'Pending', message: 'a', reason: 'b' }, ...seen() })
  await run({ do: 'patchStatus', kind: 'Pod', key: KEY, status: { phase: 'Pending', reason: 'c' }, ...seen() })
  t.match(get('Pod', KEY).status, { phase: 'Pending', reason: 'c' })
  t.notOk((get('Pod', KEY).status as { message?: string }).message)
})

t.test('a pod is bound once', async t => {
  const { run, get } = await rig()
  await run({ do: 'create', object: pod })
  const { uid, resourceVersion } = get('Pod', KEY).metadata
  t.ok((await run({ do: 'bind', key: KEY, uid: uid!, resourceVersion: resourceVersion!, node: 'node-1' })).ok)
  const again = await run({ do: 'bind', key: KEY, uid: uid!, resourceVersion: get('Pod', KEY).metadata.resourceVersion!, node: 'node-2' })
  t.match(again, { ok: false, quiet: true })
  t.match(get('Pod', KEY).spec, { nodeName: 'node-1' })
})

t.test('deleting what is gone is done; patching it is a quiet conflict', async t => {
  const { run } = await rig()
  t.match(await run({ do: 'delete', kind: 'Pod', key: KEY, uid: 'gone' }), { ok: true })
  t.match(await run({ do: 'patch', kind: 'Pod', key: KEY, uid: 'gone', patch: {} }), { ok: false, quiet: true })
})

t.test('finalize lets a terminating namespace go', async t => {
  const { run, get, remove } = await rig()
  await run({ do: 'create', object: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'site' } } })
  await remove('Namespace', 'site')
  t.match(await run({ do: 'create', object: { ...pod, metadata: { name: 'late', namespace: 'site' } } }), { ok: false, quiet: true })
  const { uid, resourceVersion } = get('Namespace', 'site').metadata
  t.ok((await run({ do: 'finalize', kind: 'Namespace', key: 'site', uid: uid!, resourceVersion: resourceVersion! })).ok)
  t.throws(() => get('Namespace', 'site'), /not found/)
})

t.test('an Event repeated is one Event with a count, even when it was cleaned up in between', async t => {
  const { run, store, remove } = await rig()
  const event: Action = {
    do: 'event',
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'web', uid: 'u' },
    type: 'Normal',
    reason: 'Pulled',
    note: 'image is here',
    source: 'test',
  }
  const events = (): KubeObject[] => store.list({ prefix: '//events/' }).entries.map(entry => entry.object)
  await run(event)
  await run(event)
  t.match(events(), [{ count: 2, message: 'image is here' }])
  await remove('Event', `default/${events()[0]!.metadata.name}`)
  t.ok((await run(event)).ok)
  t.match(events(), [{ count: 3 }])
})
