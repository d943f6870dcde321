import t from 'tap'
import { WATCHES_PENDING_BYTES_MAX } from '../../../src/api/limits.ts'
import { configMap, createRig, pod } from './rig.ts'

const CMS = '/api/v1/namespaces/default/configmaps'
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io'

const summary = (events: readonly { type: string; object: { metadata: { name?: string } } }[]): string[] =>
  events.map(event => `${event.type} ${event.object.metadata.name ?? ''}`.trim())

t.test('without resourceVersion: the present state first, then changes in order, each once', async t => {
  const { ask, open } = await createRig()
  await ask('POST', CMS, configMap('a'))
  const watch = await open(`${CMS}?watch=true`)
  await ask('POST', CMS, configMap('b'))
  await ask('PUT', `${CMS}/a`, configMap('a', { k: 'v' }))
  await ask('DELETE', `${CMS}/b`)
  await watch.until(() => watch.events().length === 4)
  t.same(summary(watch.events()), ['ADDED a', 'ADDED b', 'MODIFIED a', 'DELETED b'])
  const versions = watch.events().map(event => Number(event.object.metadata.resourceVersion))
  t.same(
    versions,
    [...versions].sort((a, b) => a - b),
  )
  watch.hangUp()
  await watch.ended
})

t.test('with an exact resourceVersion: what came after it, from the past too', async t => {
  const { ask, open } = await createRig()
  const { json } = await ask('POST', CMS, configMap('a'))
  await ask('POST', CMS, configMap('b'))
  const watch = await open(`${CMS}?watch=true&resourceVersion=${json.metadata.resourceVersion}`)
  await ask('POST', CMS, configMap('c'))
  await watch.until(() => watch.events().length === 2)
  t.same(summary(watch.events()), ['ADDED b', 'ADDED c'])
  watch.hangUp()
  await watch.ended
})

t.test('a watch sees its namespace and kind only', async t => {
  const { ask, open } = await createRig({ namespaces: ['default', 'default2'] })
  const watch = await open(`${CMS}?watch=1`)
  await ask('POST', '/api/v1/namespaces/default2/configmaps', configMap('elsewhere'))
  await ask('POST', '/api/v1/namespaces/default/pods', pod('p'))
  await ask('POST', CMS, configMap('here'))
  await watch.until(() => watch.events().length > 0)
  t.same(summary(watch.events()), ['ADDED here'])
  watch.hangUp()
  await watch.ended
})

t.test('a filtered watch tells arrivals and departures', async t => {
  const { ask, open } = await createRig()
  const watch = await open(`${CMS}?watch=true&labelSelector=app%3Dx`)
  await ask('POST', CMS, configMap('a'))
  await ask('PUT', `${CMS}/a`, configMap('a', { n: '1' }, { app: 'x' }))
  await ask('PUT', `${CMS}/a`, configMap('a', { n: '2' }, { app: 'x' }))
  const left = await ask('PUT', `${CMS}/a`, configMap('a', { n: '3' }, { app: 'y' }))
  await ask('DELETE', `${CMS}/a`)
  await ask('POST', CMS, configMap('b', {}, { app: 'x' }))
  await watch.until(() => watch.events().length === 4)
  t.same(summary(watch.events()), ['ADDED a', 'MODIFIED a', 'DELETED a', 'ADDED b'])
  t.match(
    watch.events()[2]!.object,
    { data: { n: '2' }, metadata: { resourceVersion: left.json.metadata.resourceVersion! } },
    'as it was, at the revision it left',
  )
  watch.hangUp()
  await watch.ended
})

t.test('sendInitialEvents ends the state with a marked bookmark', async t => {
  const { ask, open, store } = await createRig()
  await ask('POST', CMS, configMap('a'))
  const query = 'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
  const watch = await open(`${CMS}?${query}`)
  await watch.until(() => watch.events().length === 2)
  t.same(summary(watch.events()), ['ADDED a', 'BOOKMARK'])
  t.match(watch.events()[1]!.object, {
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: { resourceVersion: String(store.revision), annotations: { 'k8s.io/initial-events-end': 'true' } },
  })
  watch.hangUp()
  await watch.ended
  const refused = await ask('GET', `${CMS}?watch=true&sendInitialEvents=true`)
  t.match(refused.json, {
    code: 422,
    message: /resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan/,
  })
})

t.test('bookmarks come once a minute when the revision moved; no timer is left behind', async t => {
  const { ask, open, clock, store } = await createRig()
  const before = clock.timers
  const watch = await open(`${CMS}?watch=true&allowWatchBookmarks=true&resourceVersion=${store.revision}`)
  await ask('POST', '/api/v1/namespaces/default/pods', pod('p'))
  clock.advance(60_000)
  t.same(summary(watch.events()), ['BOOKMARK'])
  t.equal(watch.events()[0]!.object.metadata.resourceVersion, String(store.revision))
  clock.advance(60_000)
  t.equal(watch.events().length, 1, 'nothing moved, nothing said')
  watch.hangUp()
  await watch.ended
  t.equal(clock.timers, before)
})

t.test('timeoutSeconds ends a watch cleanly', async t => {
  const { open, clock, store } = await createRig()
  const watch = await open(`${CMS}?watch=true&timeoutSeconds=5&resourceVersion=${store.revision}`)
  clock.advance(5_000)
  await watch.ended
  t.equal(watch.text(), '')
})

t.test('a revision too old to resume from is told as a 410 event', async t => {
  const { open, ask } = await createRig({ eventsMax: 10 })
  for (let i = 0; i < 20; i++) await ask('POST', CMS, configMap(`n${i}`))
  const watch = await open(`${CMS}?watch=true&resourceVersion=1`)
  await watch.ended
  t.match(watch.events(), [{ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } }])
})

t.test('a client that does not read is cut off', async t => {
  const { open, ask } = await createRig()
  const watch = await open(`${CMS}?watch=true`)
  watch.stall()
  for (let i = 0; i < 6; i++) await ask('POST', CMS, configMap(`big${i}`, { k: 'x'.repeat(1_000_000) }))
  await t.rejects(watch.ended, /does not read/, 'its stream is cut: what it did not take is not kept for it')
  t.ok(watch.events().length < 6)
})

t.test('many clients that do not read hold no more between them than what all may hold', async t => {
  const { open, ask } = await createRig()
  const watches = await Promise.all(Array.from({ length: 500 }, () => open(`${CMS}?watch=true&labelSelector=!x`)))
  const held = new Set(watches)
  for (const watch of watches) {
    watch.stall()
    watch.ended.catch(() => held.delete(watch))
  }
  for (let i = 0; i < 6; i++) await ask('POST', CMS, configMap(`big${i}`, { k: 'x'.repeat(400_000) }))
  const bytes = [...held].reduce((sum, watch) => sum + watch.text().length, 0)
  t.ok(bytes < WATCHES_PENDING_BYTES_MAX + held.size * 400_000, `${bytes} bytes for ${held.size} watches`)
  for (const watch of watches) watch.hangUp()
  await Promise.allSettled(watches.map(watch => watch.ended))
})

t.test('table watches send columns once', async t => {
  const { open, ask } = await createRig()
  const watch = await open(`${CMS}?watch=true`, { accept: TABLE })
  await ask('POST', CMS, configMap('a'))
  await ask('POST', CMS, configMap('b'))
  await watch.until(() => watch.events().length === 2)
  const [one, two] = watch.events() as unknown as { object: { kind: string; columnDefinitions: unknown[]; rows: { cells: unknown[] }[] } }[]
  t.equal(one!.object.kind, 'Table')
  t.ok(one!.object.columnDefinitions.length > 0)
  t.equal(two!.object.columnDefinitions.length, 0)
  t.equal(two!.object.rows[0]!.cells[0], 'b')
  watch.hangUp()
  await watch.ended
})

t.test('the watch of events.k8s.io shows its own spelling', async t => {
  const { open, ask } = await createRig()
  const watch = await open('/apis/events.k8s.io/v1/namespaces/default/events?watch=true')
  await ask('POST', '/api/v1/namespaces/default/events', {
    metadata: { name: 'e' },
    involvedObject: { namespace: 'default', name: 'p' },
    reason: 'R',
    message: 'm',
    type: 'Normal',
    source: { component: 'c' },
  })
  await watch.until(() => watch.events().length === 1)
  t.match(watch.events()[0]!.object, { apiVersion: 'events.k8s.io/v1', note: 'm', regarding: { name: 'p' } })
  watch.hangUp()
  await watch.ended
})
