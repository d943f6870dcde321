// A store that holds more than it keeps in memory: what is put away, what comes back, and what happens when it cannot be put away.

import { existsSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { createMemoryJournal, type OpenStoreDeps, openStore, openStoreOn, type Store } from '../../../src/store/store.ts'
import { configMap, dataOf, handClock, temporaryDir } from '../../contract/store-world.ts'

const HOT = 20_000

const place = (): { dir: string; open: (more?: Partial<OpenStoreDeps>) => Promise<Store> } => {
  const root = temporaryDir()
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  const dir = join(root, 'data')
  const open = (more = {}): Promise<Store> =>
    openStore({ dir, clock: handClock(), random: seededRandom('cold'), log: silentLog, hotBytesMax: HOT, ...more })
  return { dir, open }
}

const object = (i: number): ReturnType<typeof configMap> => configMap(`n${i}`, { i: String(i), x: 'x'.repeat(1000) })
const fill = (store: Store, count: number, from = 0): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, (_, i) => store.write({ do: 'create', key: `a/${from + i}`, object: object(from + i) })))

const isWhole = (store: Store, count: number): boolean =>
  Array.from({ length: count }, (_, i) => store.get(`a/${i}`)!).every(
    (entry, i) => dataOf(entry.object)['i'] === String(i) && JSON.parse(entry.value.toString()).data.i === String(i),
  )

t.test('a value read lately stays the same buffer, one not read for long is read anew', async each => {
  const { open } = place()
  const store = await open()
  await fill(store, 100)
  const used = store.get('a/50')!
  const unused = store.get('a/51')!
  const [usedValue, unusedValue] = [used.value, unused.value]
  for (let i = 0; i < 100; i++) if (i % 4 === 0) each.equal(store.get(`a/${i}`)!.value.length > 0 && used.value, usedValue)
  each.not(unused.value, unusedValue)
  each.same(unused.value, unusedValue)
  await store.close()
})

t.test('more than fits in memory survives a stop, a start and a snapshot; what the file held before is not read', async each => {
  const { dir, open } = place()
  let store = await open()
  await fill(store, 200)
  await store.snapshot()
  await store.close()
  each.notOk(existsSync(join(dir, 'store.cold')))
  writeFileSync(join(dir, 'store.cold'), 'garbage of a killed process')
  store = await open()
  each.ok(isWhole(store, 200))
  await store.close()
  writeFileSync(join(dir, 'store.db'), 'no database')
  store = await open()
  each.equal(store.recovery.kind, 'restored')
  each.ok(isWhole(store, 200))
  await store.close()
})

t.test('an object in hand stays what it was when it is replaced, deleted, or put away meanwhile', async each => {
  const { open } = place()
  const store = await open({ hotBytesMax: 0 })
  await fill(store, 3)
  const { entries, revision } = store.list({ prefix: 'a/' })
  const events: unknown[] = []
  const watch = store.watch({
    prefix: 'a/',
    fromRevision: revision,
    onEvents: batch => events.push(...batch.map(event => event.previous && dataOf(event.previous.object)['i'])),
    onClose: () => undefined,
  })
  await store.write({ do: 'update', key: 'a/0', object: configMap('n0', { i: 'new' }), expectRevision: entries[0]!.revision })
  await store.write({ do: 'delete', key: 'a/1' })
  await fill(store, 50, 10)
  each.same(events.slice(0, 2), ['0', '1'])
  each.same(
    entries.map(entry => [JSON.parse(entry.value.toString()).data.i, dataOf(entry.object)['i']]),
    [
      ['0', '0'],
      ['1', '1'],
      ['2', '2'],
    ],
  )
  each.same(
    store.list({ prefix: 'a/', atRevision: revision }).entries.map(entry => entry.value),
    entries.map(entry => entry.value),
  )
  watch.close()
  await store.close()
})

t.test('when nothing can be put away, what needs memory is refused, all else goes on, and it ends by itself', async each => {
  const { dir, open } = place()
  const store = await open()
  mkdirSync(join(dir, 'store.cold'))
  let written = 0
  const refusal = await (async (): Promise<unknown> => {
    for (; ; written++) {
      try {
        await fill(store, 1, written)
      } catch (error) {
        return error
      }
    }
  })()
  each.match(refusal, { reason: 'ServiceUnavailable', message: /cannot be put away: EISDIR/, hint: /free space/ })
  each.match(store.problem, /EISDIR/)
  each.ok(isWhole(store, written))
  const entry = store.get('a/0')!
  await store.write({ do: 'update', key: 'a/0', object: configMap('n0', { i: '0' }), expectRevision: entry.revision })
  await store.write({ do: 'delete', key: 'a/1' })
  rmdirSync(join(dir, 'store.cold'))
  each.equal(store.problem, undefined)
  await fill(store, 100, 1000)
  await store.close()
})

t.test('a start that cannot put values away keeps them in memory and says so', async each => {
  const { dir, open } = place()
  let store = await open()
  await fill(store, 100)
  await store.close()
  mkdirSync(join(dir, 'store.cold'))
  store = await open()
  each.ok(isWhole(store, 100))
  each.match(store.problem, /EISDIR/)
  rmdirSync(join(dir, 'store.cold'))
  each.equal(store.problem, undefined)
  await store.close()
})

t.test('commits that fail are a problem until one succeeds, which the store tries by itself', async each => {
  const clock = handClock()
  const disk = { full: true, tries: 0 }
  const journal = createMemoryJournal({
    epoch: 'epoch',
    defer(land) {
      disk.tries++
      land(disk.full ? new Error('database or disk is full') : undefined)
    },
  })
  const store = openStoreOn({ clock, random: seededRandom('full'), log: silentLog }, journal, journal.load())
  each.equal(store.problem, undefined)
  await each.rejects(store.write({ do: 'create', key: 'a/1', object: object(1) }), /disk is full/)
  each.match(store.problem, /disk is full/)
  clock.advance(600_000)
  each.match(store.problem, /disk is full/)
  each.ok(disk.tries > 5 && disk.tries < 20, `${disk.tries} tries`)
  disk.full = false
  clock.advance(60_000)
  each.equal(store.problem, undefined)
  each.equal(clock.waiting, 0)
  await store.write({ do: 'create', key: 'a/1', object: object(1) })
  await store.close()
})
