// What every store keeps, whatever stands behind it. Run by store.test.ts on SQLite and in memory.

import type { Test } from 'tap'
import { isReason } from '../../src/base/errors.ts'
import type { Entry, Store, StoreEvent } from '../../src/store/store.ts'
import { fc } from '../property.ts'
import { type Backend, configMap, dataOf, listen, until, type World } from './store-world.ts'

/** A commit above this fails where the disk is small. */
const DISK_BYTES = 400_000

type Body = (t: Test, world: World) => Promise<void>

const small = { eventsMax: 50, bytesMax: 1_000_000, ageMsMax: 3_600_000 }

const key = (name: string): string => `configmaps/default/${name}`

export const create = (store: Store, name: string, data: Record<string, string> = {}, lazy = false): Promise<Entry> =>
  store.write({ do: 'create', key: key(name), object: configMap(name, data), lazy })

export const update = (store: Store, name: string, data: Record<string, string>, lazy = false): Promise<Entry> =>
  store.write({ do: 'update', key: key(name), object: configMap(name, data), expectRevision: store.getStaged(key(name))!.revision, lazy })

const remove = (store: Store, name: string): Promise<Entry> => store.write({ do: 'delete', key: key(name) })

const reasonOf = async (work: () => Promise<unknown>): Promise<string> => {
  try {
    await work()
    return 'none'
  } catch (error) {
    return (error as { reason: string }).reason
  }
}

const thrownBy = (work: () => unknown): unknown => {
  try {
    return work()
  } catch (error) {
    return error
  }
}

const names = (entries: readonly { readonly key: string }[]): string[] => entries.map(entry => entry.key.slice(key('').length))

const writesAndReads: Record<string, Body> = {
  'an empty store is at revision 1, and the first write makes it 2': async (t, { store }) => {
    t.equal(store.revision, 1)
    const entry = await create(store, 'a', { x: '1' })
    t.equal(entry.revision, 2)
    t.equal(store.revision, 2)
    t.equal(store.get(key('a')), entry)
  },
  'the stored bytes carry their own resourceVersion, and creation keeps its revision': async (t, { store }) => {
    await create(store, 'a', { x: '1' })
    const entry = await update(store, 'a', { x: '2' })
    t.equal(entry.createRevision, 2)
    t.equal(entry.revision, 3)
    t.same(JSON.parse(entry.value.toString()), {
      ...configMap('a', { x: '2' }),
      metadata: { ...configMap('a').metadata, resourceVersion: '3' },
    })
    t.same(entry.object, JSON.parse(entry.value.toString()))
  },
  'what the store gives is frozen, and what it was given stays the caller’s': async (t, { store }) => {
    const object = configMap('a', { x: '1' })
    const entry = await store.write({ do: 'create', key: key('a'), object })
    t.ok(Object.isFrozen(entry.object) && Object.isFrozen(dataOf(entry.object)))
    object.metadata.name = 'changed'
    t.equal(store.get(key('a'))?.object.metadata.name, 'a')
    t.notOk(Object.isFrozen(object))
  },
  'create refuses a key that exists, update and delete one that does not': async (t, { store }) => {
    await create(store, 'a')
    t.equal(await reasonOf(() => create(store, 'a')), 'AlreadyExists')
    t.equal(await reasonOf(() => remove(store, 'b')), 'NotFound')
    t.equal(await reasonOf(() => store.write({ do: 'update', key: key('b'), object: configMap('b'), expectRevision: 2 })), 'NotFound')
    t.equal(store.revision, 2)
  },
  'an old revision never wins, on update and on delete': async (t, { store }) => {
    await create(store, 'a')
    await update(store, 'a', { x: '2' })
    t.equal(await reasonOf(() => store.write({ do: 'update', key: key('a'), object: configMap('a'), expectRevision: 2 })), 'Conflict')
    t.equal(await reasonOf(() => store.write({ do: 'delete', key: key('a'), expectRevision: 2 })), 'Conflict')
    t.same(dataOf(store.get(key('a'))!.object), { x: '2' })
  },
  'preconditions see what is staged, readers only what is committed': async (t, { store }) => {
    const first = create(store, 'a', { x: '1' })
    t.equal(store.get(key('a')), undefined)
    t.equal(store.getStaged(key('a'))?.revision, 2)
    t.equal(store.count('configmaps/'), 0)
    t.equal(await reasonOf(() => create(store, 'a')), 'AlreadyExists')
    const second = update(store, 'a', { x: '2' })
    const third = remove(store, 'a')
    t.equal(store.getStaged(key('a')), undefined)
    t.same(
      (await Promise.all([first, second, third])).map(entry => entry.revision),
      [2, 3, 4],
    )
    t.equal(store.get(key('a')), undefined)
    t.equal((await create(store, 'a')).createRevision, 5)
  },
  'a deleted object’s last state is the one given, at the revision of its deletion': async (t, { store }) => {
    await create(store, 'a', { x: '1' })
    const heard = listen(store, 'configmaps/', store.revision)
    const gone = await store.write({ do: 'delete', key: key('a'), object: configMap('a', { x: 'last' }) })
    t.equal(gone.object.metadata.resourceVersion, '3')
    t.same(
      heard.events.map(event => [event.type, event.revision, dataOf(event.object)]),
      [['DELETED', 3, { x: 'last' }]],
    )
  },
  'writes that arrive together share commits': async (t, { store }) => {
    await Promise.all(Array.from({ length: 500 }, (_, i) => create(store, `n${i}`)))
    t.ok(store.stats.commits < 20, `${store.stats.commits} commits`)
    t.equal(store.count('configmaps/'), 500)
  },
  'no increment is lost among concurrent read-modify-writes': async (t, { store }) => {
    await create(store, 'counter', { n: '0' })
    let conflicts = 0
    const increment = async (): Promise<void> => {
      for (;;) {
        const base = store.get(key('counter'))!
        const object = configMap('counter', { n: String(Number(dataOf(base.object)['n']) + 1) })
        try {
          await store.write({ do: 'update', key: key('counter'), object, expectRevision: base.revision })
          return
        } catch (error) {
          if (!isReason(error, 'Conflict')) throw error
          conflicts++
          await new Promise(resolve => setImmediate(resolve))
        }
      }
    }
    await Promise.all(Array.from({ length: 20 }, increment))
    t.equal(dataOf(store.get(key('counter'))!.object)['n'], '20')
    t.ok(conflicts > 0, 'writers met')
  },
  'an object above the size bound is refused and nothing changes': async (t, { store }) => {
    t.equal(await reasonOf(() => create(store, 'big', { x: 'x'.repeat(2_000_000) })), 'RequestEntityTooLarge')
    t.equal(store.getStaged(key('big')), undefined)
    t.equal((await create(store, 'a')).revision, 2)
  },
}

const failures: Record<string, Body> = {
  'a failed commit refuses its writers and those after them, changes nothing, and the next write succeeds': async (t, { store }) => {
    await create(store, 'a', { x: '1' })
    const heard = listen(store, '', store.revision)
    const outcomes = await Promise.allSettled([
      create(store, 'big', { x: 'x'.repeat(DISK_BYTES * 2) }),
      update(store, 'a', { x: '2' }),
      create(store, 'b'),
    ])
    t.same(
      outcomes.map(outcome => outcome.status),
      ['rejected', 'rejected', 'rejected'],
    )
    t.equal((outcomes[0] as PromiseRejectedResult).reason.reason, 'ServiceUnavailable')
    t.equal(store.getStaged(key('big')), undefined)
    t.equal(store.getStaged(key('b')), undefined)
    t.same(dataOf(store.getStaged(key('a'))!.object), { x: '1' })
    t.same(heard.events, [])
    const next = await update(store, 'a', { x: '3' })
    t.ok(next.revision > 4, 'revisions of refused writes are not given again')
    t.same(
      heard.events.map(event => event.revision),
      [next.revision],
    )
  },
  'lazy writes outlive a failed commit': async (t, world) => {
    await create(world.store, 'status', { x: '1' }, true)
    await t.rejects(create(world.store, 'big', { x: 'x'.repeat(DISK_BYTES * 2) }))
    t.ok(world.store.get(key('status')))
    await world.store.flush()
    await world.crash()
    t.ok(world.store.get(key('status')), 'the flush after the failure wrote it')
  },
}

const lists: Record<string, Body> = {
  'lists are in key order, cut by limit, and continue after a key': async (t, { store }) => {
    for (const name of ['c', 'a', 'e', 'b', 'd']) await create(store, name)
    await store.write({ do: 'create', key: 'secrets/default/a', object: configMap('a') })
    const page = store.list({ prefix: 'configmaps/', limit: 2 })
    t.same(names(page.entries), ['a', 'b'])
    t.match(page, { more: true, remaining: 3, revision: 7 })
    const rest = store.list({ prefix: 'configmaps/', after: key('b'), limit: 3 })
    t.same(names(rest.entries), ['c', 'd', 'e'])
    t.match(rest, { more: false, remaining: 0 })
    t.equal(store.count('configmaps/'), 5)
    t.equal(store.count(''), 6)
    t.equal(store.count('pods/'), 0)
  },
  'pages taken at one revision make one consistent list, whatever is written meanwhile': async (t, { store }) => {
    const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g')
    await fc.assert(
      fc.asyncProperty(
        fc.array(name, { maxLength: 10 }),
        fc.array(name, { maxLength: 25 }),
        fc.integer({ min: 1, max: 4 }),
        async (before, during, limit) => {
          for (const each of before) await toggle(store, each)
          const whole = store.list({ prefix: 'configmaps/' })
          const paged: Entry[] = []
          for (let more = true, after: string | undefined; more; ) {
            const page = store.list({ prefix: 'configmaps/', limit, atRevision: whole.revision, ...(after === undefined ? {} : { after }) })
            t.equal(page.revision, whole.revision)
            t.equal(page.remaining, whole.entries.length - paged.length - page.entries.length)
            paged.push(...page.entries)
            more = page.more
            after = page.entries.at(-1)?.key
            const next = during.shift()
            if (next !== undefined) await toggle(store, next)
          }
          t.same(
            paged.map(entry => [entry.key, entry.revision]),
            whole.entries.map(entry => [entry.key, entry.revision]),
          )
        },
      ),
      { numRuns: 40 },
    )
  },
  'a revision of the future is a timeout that says which': async (t, { store }) => {
    t.match(
      thrownBy(() => store.list({ prefix: '', atRevision: 9 })),
      { reason: 'Timeout', message: /Too large resource version: 9, current: 1/ },
    )
  },
}

/** Creates, changes or deletes by turns. */
const toggle = async (store: Store, name: string, lazy = false): Promise<void> => {
  const base = store.getStaged(key(name))
  if (!base) await create(store, name, {}, lazy)
  else if (base.revision % 3 === 0) await store.write({ do: 'delete', key: key(name), lazy })
  else await update(store, name, { at: String(base.revision) }, lazy)
}

const watches: Record<string, Body> = {
  'events say what changed and what it replaced': async (t, { store }) => {
    const heard = listen(store, 'configmaps/', 1)
    await create(store, 'a', { x: '1' })
    await update(store, 'a', { x: '2' })
    await remove(store, 'a')
    t.same(
      heard.events.map(({ type, revision, previous, object }) => [type, revision, previous?.revision, object.metadata.resourceVersion]),
      [
        ['ADDED', 2, undefined, '2'],
        ['MODIFIED', 3, 2, '3'],
        ['DELETED', 4, 3, '4'],
      ],
    )
  },
  'ordered, unique, atomic, reliable, resumable: every watcher hears every event of its prefix once, in order, from wherever it starts':
    async (t, { store }) => {
      const all = listen(store, '', store.revision)
      const step = fc.record({
        name: fc.constantFrom('a', 'b', 'ab', 'c'),
        lazy: fc.boolean(),
        wait: fc.boolean(),
        watch: fc.boolean(),
        back: fc.nat(8),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async steps => {
          const watchers: { from: number; prefix: string; heard: ReturnType<typeof listen> }[] = []
          const writes: Promise<void>[] = []
          for (const { name, lazy, wait, watch, back } of steps) {
            writes.push(toggle(store, name, lazy))
            if (wait) await Promise.all(writes)
            const from = Math.max(1, store.revision - back)
            if (watch) watchers.push({ from, prefix: key(name), heard: listen(store, key(name), from) })
          }
          await Promise.all(writes)
          for (const { from, prefix, heard } of watchers) {
            const expected = all.events.filter(event => event.revision > from && event.key.startsWith(prefix))
            t.same(
              heard.events.map(event => event.revision),
              expected.map(event => event.revision),
            )
            heard.close()
          }
        }),
        { numRuns: 40 },
      )
      const revisions = all.events.map(event => event.revision)
      t.same(
        revisions,
        [...new Set(revisions)].sort((a, b) => a - b),
        'strictly rising',
      )
      t.same(
        replay(all.events),
        store.list({ prefix: '' }).entries.map(entry => [entry.key, entry.revision]),
        'events add up to the state',
      )
    },
  'a watch from the future waits for it': async (t, { store }) => {
    const heard = listen(store, '', 3)
    await create(store, 'a')
    await create(store, 'b')
    await create(store, 'c')
    t.same(
      heard.events.map(event => event.revision),
      [4],
    )
  },
  'a watch from far ahead comes from a history that a restore ended: it has to list again': async (t, { store }) => {
    t.match(
      thrownBy(() => listen(store, '', 1_000_000_000)),
      { reason: 'Expired', code: 410 },
    )
  },
  'a watcher that does not take its events is closed as slow, others go on': async (t, { store }) => {
    const closed: string[] = []
    let untaken = 0
    store.watch({
      prefix: '',
      fromRevision: 1,
      pendingBytes: () => untaken,
      onEvents: () => {},
      onClose: reason => void closed.push(reason),
    })
    const heard = listen(store, '', 1)
    await create(store, 'a')
    untaken = 100_000_000
    await create(store, 'b')
    await create(store, 'c')
    t.same(closed, ['slow'])
    t.equal(heard.events.length, 3)
  },
  'a callback that throws ends its own watch only': async (t, { store }) => {
    const closed: string[] = []
    const fail = (): void => {
      throw new Error('callback')
    }
    store.watch({ prefix: '', fromRevision: 1, onEvents: fail, onClose: reason => void closed.push(reason) })
    const heard = listen(store, '', 1)
    await create(store, 'a')
    await create(store, 'b')
    t.same(closed, ['slow'])
    t.equal(heard.events.length, 2)
  },
  'callbacks may write, watch and close: order holds for everyone': async (t, { store }) => {
    const late: StoreEvent[] = []
    let begun = false
    const first = store.watch({
      prefix: key('a'),
      fromRevision: 1,
      onEvents: () => {
        first.close()
        void create(store, 'lazy', {}, true)
      },
      onClose: () => {},
    })
    store.watch({
      prefix: '',
      fromRevision: 1,
      onEvents: () => {
        if (begun) return
        begun = true
        store.watch({ prefix: '', fromRevision: 1, onEvents: events => void late.push(...events), onClose: () => {} })
      },
      onClose: () => {},
    })
    const heard = listen(store, '', 1)
    await create(store, 'a')
    await create(store, 'b')
    const revisions = [2, 3, 4]
    t.same(
      heard.events.map(event => event.revision),
      revisions,
    )
    t.same(
      late.map(event => event.revision),
      revisions,
    )
  },
  'watches resume across a restart': async (t, world) => {
    await create(world.store, 'a', { x: '1' })
    await update(world.store, 'a', { x: '2' })
    await remove(world.store, 'a')
    await world.reopen()
    t.equal(world.store.revision, world.store.revision)
    const heard = listen(world.store, 'configmaps/', 2)
    t.same(
      heard.events.map(event => [event.type, event.revision]),
      [
        ['MODIFIED', 3],
        ['DELETED', 4],
      ],
    )
    await create(world.store, 'b')
    t.equal(heard.events.length, 3)
  },
  'closing the store ends watches and refuses writes': async (t, world) => {
    const heard = listen(world.store, '', 1)
    const store = world.store
    await create(store, 'status', {}, true)
    await world.reopen()
    t.same(heard.closed, ['closed'])
    t.equal(await reasonOf(() => create(store, 'b')), 'ServiceUnavailable')
    t.ok(world.store.get(key('status')), 'lazy writes were flushed')
  },
}

const replay = (events: readonly StoreEvent[]): [string, number][] => {
  const state = new Map<string, number>()
  for (const event of events) {
    if (event.type === 'DELETED') state.delete(event.key)
    else state.set(event.key, event.revision)
  }
  return [...state].sort(([a], [b]) => (a < b ? -1 : 1))
}

const windows: Record<string, Body> = {
  'what is older than the window is expired, for watches and for lists': async (t, { store }) => {
    for (let i = 0; i < 60; i++) await create(store, `n${i}`)
    t.match(
      thrownBy(() => listen(store, '', 5)),
      {
        reason: 'Expired',
        code: 410,
        message: 'The resourceVersion for the provided watch is too old.',
      },
    )
    t.match(
      thrownBy(() => store.list({ prefix: '', atRevision: 5 })),
      { reason: 'Expired', message: /provided list is too old/ },
    )
    t.match(
      thrownBy(() => store.list({ prefix: '', atRevision: 5, after: key('n1') })),
      {
        reason: 'Expired',
        message: /^The provided continue parameter is too old/,
      },
    )
    t.equal(listen(store, '', store.revision - 50).events.length, 50)
  },
  'events leave the window by age, and an idle store has no timer and writes nothing': async (t, world) => {
    await create(world.store, 'a')
    const { commits } = world.store.stats
    world.clock.advance(25 * 3_600_000)
    await world.store.flush()
    await world.reopen()
    world.clock.advance(25 * 3_600_000)
    t.match(
      thrownBy(() => listen(world.store, '', 1)),
      { reason: 'Expired' },
    )
    t.equal(world.clock.waiting, 0)
    t.equal(commits, 1)
    t.equal(world.store.stats.commits, 0)
  },
}

const lazies: Record<string, Body> = {
  'a lazy write is visible at once, to readers and watchers': async (t, { store }) => {
    const heard = listen(store, '', 1)
    const done = create(store, 'status', { x: '1' }, true)
    t.equal(store.get(key('status'))?.revision, 2)
    t.equal(store.revision, 2)
    t.equal(heard.events.length, 1)
    t.equal((await done).revision, 2)
    t.equal(store.stats.commits, 0)
  },
  'a lazy write behind a durable one waits for its turn': async (t, { store }) => {
    const durable = create(store, 'a')
    const lazy = create(store, 'status', {}, true)
    t.equal(store.get(key('status')), undefined)
    await Promise.all([durable, lazy])
    t.equal(store.get(key('status'))?.revision, 3)
  },
  'lazy writes reach the disk after some seconds, once for each key': async (t, world) => {
    await create(world.store, 'status', { n: '0' }, true)
    for (let n = 1; n < 20; n++) await update(world.store, 'status', { n: String(n) }, true)
    world.clock.advance(4_000)
    t.equal(world.store.stats.commits, 0)
    world.clock.advance(1_500)
    await until(() => world.store.stats.commits === 1)
    t.equal(world.store.stats.bytesWritten, world.store.get(key('status'))!.value.length)
    await world.crash()
    t.same(dataOf(world.store.get(key('status'))!.object), { n: '19' })
  },
  'lazy writes ride with the next durable one': async (t, world) => {
    await create(world.store, 'status', {}, true)
    await create(world.store, 'a')
    t.equal(world.store.stats.commits, 1)
    await world.crash()
    t.ok(world.store.get(key('status')))
  },
  'after a crash no revision is given twice, and those who saw a lost one have to list again': async (t, world) => {
    await create(world.store, 'a')
    await create(world.store, 'status', {}, true)
    const lost = await update(world.store, 'status', { x: '2' }, true)
    await world.crash()
    t.equal(world.store.get(key('status')), undefined)
    t.ok(world.store.revision > lost.revision)
    t.ok((await create(world.store, 'b')).revision > lost.revision)
    t.match(
      thrownBy(() => listen(world.store, '', lost.revision)),
      { reason: 'Expired' },
    )
    t.same(names(listen(world.store, '', 2).events), ['b'])
  },
  'what one crash has lost is still known to be lost after the next one': async (t, world) => {
    await create(world.store, 'a')
    const lost = await create(world.store, 'status', {}, true)
    await world.crash()
    const kept = await create(world.store, 'b')
    await world.crash()
    t.match(
      thrownBy(() => listen(world.store, '', lost.revision)),
      { reason: 'Expired' },
    )
    await create(world.store, 'c')
    t.same(names(listen(world.store, '', 2).events), ['b', 'c'])
    t.same(names(listen(world.store, '', kept.revision).events), ['c'])
  },
  'an event of before the start does not claim to replace what only lazy writes replaced': async (t, world) => {
    const before = await create(world.store, 'a', { x: '1' })
    await update(world.store, 'a', { x: '2' }, true)
    await update(world.store, 'a', { x: '3' }, true)
    const b = await create(world.store, 'b', { x: '1' })
    await update(world.store, 'b', { x: '2' })
    await world.crash()
    const { events } = listen(world.store, '', before.revision)
    t.same(
      events.map(({ type, key: at, previous }) => [type, at.split('/').at(-1), previous?.revision]),
      [
        ['MODIFIED', 'a', undefined],
        ['ADDED', 'b', undefined],
        ['MODIFIED', 'b', b.revision],
      ],
    )
  },
  'a day of status refreshes stays within the byte budget': async (t, { store, clock }) => {
    await create(store, 'status', { x: 'x'.repeat(2000) }, true)
    for (let second = 0; second < 86_400; second += 10) {
      clock.advance(10_000)
      await store.write({
        do: 'update',
        key: key('status'),
        object: configMap('status', { at: String(second), x: 'x'.repeat(2000) }),
        expectRevision: store.get(key('status'))!.revision,
        lazy: true,
      })
      await new Promise(resolve => setImmediate(resolve))
    }
    await store.flush()
    t.ok(store.stats.commits > 24, `${store.stats.commits} flushes`)
    t.ok(store.stats.commits * 16_384 + store.stats.bytesWritten * 2 < 2.5 * 1024 * 1024)
  },
}

const durability: Record<string, Body> = {
  'what was acknowledged is there after a crash, what was deleted is not': async (t, world) => {
    await Promise.all(Array.from({ length: 300 }, (_, i) => create(world.store, `n${i}`)))
    await Promise.all(Array.from({ length: 100 }, (_, i) => remove(world.store, `n${i}`)))
    const before = world.store.list({ prefix: '' })
    await world.crash()
    const after = world.store.list({ prefix: '' })
    t.same(
      after.entries.map(entry => [entry.key, entry.revision, entry.createRevision]),
      before.entries.map(e => [e.key, e.revision, e.createRevision]),
    )
    t.ok(after.revision >= before.revision)
  },
  'flush makes lazy writes durable': async (t, world) => {
    await create(world.store, 'status', {}, true)
    await world.store.flush()
    await world.crash()
    t.ok(world.store.get(key('status')))
  },
  'a clean close keeps the revision and the epoch': async (t, world) => {
    await create(world.store, 'a')
    await create(world.store, 'status', {}, true)
    const { epoch } = world.store
    await world.reopen()
    t.equal(world.store.epoch, epoch)
    t.ok(world.store.get(key('status')))
    t.equal(world.store.recovery.kind, 'clean')
  },
}

/** Registers the suite for one backend. */
export const storeContract = (t: Test, backend: Backend): void => {
  const run = (title: string, bodies: Record<string, Body>, options = {}): void => {
    for (const [name, body] of Object.entries(bodies)) {
      void t.test(`${backend.name}: ${title}: ${name}`, async each => {
        const world = await backend.open(options)
        try {
          await body(each, world)
        } finally {
          await world.end()
        }
      })
    }
  }
  run('writes', writesAndReads)
  run('failures', failures, { diskBytes: DISK_BYTES })
  run('lists', lists)
  run('watches', watches)
  run('window', windows, { window: small })
  run('lazy', lazies)
  run('durability', durability)
}
