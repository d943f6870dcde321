// What only shows on a disk: compaction, snapshots by schedule, a full database, idleness.

import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { openDatabase } from '../../../src/store/database.ts'
import { COMPACT_ROWS_MIN, SNAPSHOTS_KEPT } from '../../../src/store/limits.ts'
import { type OpenStoreDeps, openStore } from '../../../src/store/store.ts'
import { configMap, handClock, temporaryDir, until } from '../../contract/store-world.ts'

const place = (): {
  clock: ReturnType<typeof handClock>
  dir: string
  open: (more?: Partial<OpenStoreDeps>) => ReturnType<typeof openStore>
} => {
  const root = temporaryDir()
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  const dir = join(root, 'data')
  const clock = handClock()
  return { clock, dir, open: (more = {}) => openStore({ dir, clock, random: seededRandom('disk'), log: silentLog, ...more }) }
}

t.test('the log on disk follows the window, in steps, also when the window got smaller meanwhile', async each => {
  const { dir, open } = place()
  let store = await open()
  for (let i = 0; i < 3000; i += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, k) => store.write({ do: 'create', key: `a/${i + k}`, object: configMap('a') })))
  }
  await store.close()
  store = await open({ window: { eventsMax: 100, bytesMax: 1_000_000, ageMsMax: 1_000 } })
  for (let i = 0; i < 10; i++) await store.write({ do: 'delete', key: `a/${i}` })
  await store.close()
  const database = await openDatabase(join(dir, 'store.db'))
  const [log] = await database.all<{ rows: number; newest: number }>('SELECT count(*) AS rows, max(revision) AS newest FROM log')
  await database.close()
  each.ok(log!.rows < 100 + COMPACT_ROWS_MIN + 10, `${log!.rows} rows`)
  each.equal(log!.newest, 3011)
})

t.test('snapshots follow writes: soon after the first, then at intervals, none at idle, few kept', async each => {
  const { clock, dir, open } = place()
  const store = await open()
  const snapshots = (): string[] => readdirSync(join(dir, 'snapshots')).filter(name => name.endsWith('.db'))
  each.equal(clock.waiting, 0)
  await store.write({ do: 'create', key: 'a/1', object: configMap('a') })
  clock.advance(61_000)
  await until(() => snapshots().length === 1)
  clock.advance(3 * 3_600_000)
  each.equal(clock.waiting, 0, 'nothing waits at idle')
  for (let i = 2; i < 6; i++) {
    const before = snapshots().join()
    await store.write({ do: 'create', key: `a/${i}`, object: configMap('a') })
    clock.advance(86_400_000)
    await until(() => snapshots().join() !== before)
  }
  await store.close()
  each.equal(snapshots().length, SNAPSHOTS_KEPT)
})

t.test('a full database refuses what does not fit and goes on', async each => {
  const { open } = place()
  const store = await open({ pagesMax: 200 })
  const failures: unknown[] = []
  let written = 0
  for (; failures.length === 0; written++) {
    await store
      .write({ do: 'create', key: `a/${written}`, object: configMap('a', { x: 'x'.repeat(20_000) }) })
      .catch((error: unknown) => failures.push(error))
  }
  each.match(failures[0], { reason: 'ServiceUnavailable', message: /full/, hint: /free space/ })
  each.equal(store.count('a/'), written - 1)
  for (let i = 0; i < written - 1; i++) each.ok(store.get(`a/${i}`)?.object)
  await store.write({ do: 'create', key: 'a/small', object: configMap('a') })
  await store.close()
  const again = await open({ pagesMax: 1000 })
  each.equal(again.recovery.kind, 'clean')
  each.equal(again.count('a/'), written)
  await again.close()
})

t.test('opening, idling and closing write little, and leave no write-ahead log', async each => {
  const { clock, dir, open } = place()
  const store = await open()
  await store.write({ do: 'create', key: 'a/1', object: configMap('a') })
  const stamp = (): number[] => ['store.db', 'store.db-wal'].map(name => statSync(join(dir, name)).mtimeMs)
  clock.advance(2 * 3_600_000)
  await until(() => existsSync(join(dir, 'snapshots')) && readdirSync(join(dir, 'snapshots')).some(name => name.endsWith('.db')))
  const before = stamp()
  clock.advance(30 * 86_400_000)
  await store.flush()
  each.same(stamp(), before)
  await store.close()
  each.notOk(existsSync(join(dir, 'store.db-wal')))
  each.equal(statSync(join(dir, 'store.db')).mode & 0o777, 0o600)
})

t.test('the file gets small again after what was large is gone, and commits go on meanwhile', async each => {
  const { dir, open } = place()
  const store = await open({ window: { eventsMax: 10, bytesMax: 100_000, ageMsMax: 1_000 } })
  const size = (): number => statSync(join(dir, 'store.db')).size
  for (let i = 0; i < 40; i++) await store.write({ do: 'create', key: `a/${i}`, object: configMap('a', { x: 'x'.repeat(1_000_000) }) })
  for (let i = 0; i < 40; i++) await store.write({ do: 'delete', key: `a/${i}`, object: configMap('a') })
  for (let i = 0; i < 600; i++) await store.write({ do: 'create', key: `b/${i}`, object: configMap('b') })
  const large = size()
  const snapshot = store.snapshot()
  await store.write({ do: 'create', key: 'b/meanwhile', object: configMap('b') })
  await snapshot
  await store.close()
  each.ok(large > 40_000_000 && size() < 20_000_000, `${large} to ${size()}`)
  const again = await open()
  each.equal(again.recovery.kind, 'clean')
  each.equal(again.count('b/'), 601)
  await again.close()
})
