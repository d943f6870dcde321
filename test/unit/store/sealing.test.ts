// Values that are sealed on disk: no file tells them, whatever happened to the database; the key decides whether it opens, and nothing is
// changed where it does not.

import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Log } from '../../../src/base/log.ts'
import { silentLog } from '../../../src/base/log.ts'
import type { KubeObject } from '../../../src/base/object.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { openDatabase } from '../../../src/store/database.ts'
import { type OpenStoreDeps, openStore, type Sealing, type Store } from '../../../src/store/store.ts'
import { dataOf, handClock, sealingOf, temporaryDir } from '../../contract/store-world.ts'

const PREFIX = '//secrets/'
const WORD = 'correct-horse-battery'
const OPEN_WORD = 'no-secret-at-all'
const secret = (name: string, i: number): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'default' },
  data: { word: `${WORD}-${i}`, filling: 'x'.repeat(500) },
})

const place = () => {
  const root = temporaryDir()
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  const dir = join(root, 'store')
  const open = (sealing: Sealing | undefined, more: Partial<OpenStoreDeps> = {}): Promise<Store> =>
    openStore({ dir, clock: handClock(), random: seededRandom(dir), log: silentLog, ...(sealing ? { sealing } : {}), ...more })
  return { dir, open }
}

const filesBelow = (dir: string): readonly string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .sort()

/** Names of the files that hold the word. */
const telling = (dir: string, word: string): readonly string[] =>
  filesBelow(dir)
    .filter(file => readFileSync(file).includes(word))
    .map(file => file.slice(dir.length + 1))

/** This process's descriptors of a file, also of one that has no name any more. */
const descriptorsOf = (path: string): readonly string[] =>
  readdirSync('/proc/self/fd')
    .map(fd => `/proc/self/fd/${fd}`)
    .filter(fd => lstatSync(fd, { throwIfNoEntry: false }) !== undefined && readlinkSync(fd).startsWith(path))

const contents = (dir: string): readonly (readonly [string, string])[] =>
  filesBelow(dir)
    .filter(file => !file.endsWith('.lock'))
    .map(file => [file, readFileSync(file).toString('latin1')] as const)

const seal = (more: Partial<Sealing> = {}): Sealing => sealingOf([PREFIX], 7, more)

/** Creates, replaces and deletes secrets and others; n5 to n19 stay, each at its second value. */
const live = async (store: Store): Promise<void> => {
  const each = (work: (i: number) => Promise<unknown>, count = 20): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, (_, i) => work(i)))
  await each(i => store.write({ do: 'create', key: `${PREFIX}default/n${i}`, object: secret(`n${i}`, i) }))
  await store.write({
    do: 'create',
    key: '//configmaps/default/open',
    object: { ...secret('open', 0), kind: 'ConfigMap', data: { word: OPEN_WORD } },
  })
  await each(i => {
    const key = `${PREFIX}default/n${i}`
    return store.write({ do: 'update', key, object: secret(`n${i}`, 100 + i), expectRevision: store.get(key)!.revision })
  })
  await each(i => store.write({ do: 'delete', key: `${PREFIX}default/n${i}` }), 5)
}

const isWhole = (store: Store): boolean => {
  const { entries } = store.list({ prefix: PREFIX })
  return (
    entries.length === 15 &&
    entries.every(({ object }) => dataOf(object)['word'] === `${WORD}-${100 + Number(object.metadata.name?.slice(1))}`)
  )
}

t.test(
  'no file tells a sealed value: not the database, its log, a snapshot, nor what a kill leaves; all others are as they were',
  async t => {
    const { dir, open } = place()
    const first = await open(seal())
    await live(first)
    t.same(telling(dir, WORD), [], 'the write-ahead log included')
    t.same(telling(dir, OPEN_WORD), ['store.db-wal'])
    await first.snapshot()
    t.same(telling(dir, WORD), [])
    cpSync(dir, `${dir}-killed`, { recursive: true })
    t.teardown(() => rmSync(`${dir}-killed`, { recursive: true, force: true }))
    const killed = await open(seal(), { dir: `${dir}-killed` })
    t.equal(killed.recovery.kind, 'clean')
    t.ok(isWhole(killed))
    await killed.close()
    await first.close()
    t.same([...telling(dir, WORD), ...telling(`${dir}-killed`, WORD)], [])
    const again = await open(seal())
    t.ok(isWhole(again))
    const events: string[] = []
    again.watch({
      prefix: PREFIX,
      fromRevision: 1,
      onEvents: batch => events.push(...batch.map(e => dataOf(e.object)['word'] ?? '')),
      onClose: () => undefined,
    })
    t.equal(events.length, 45, 'what happened before is told as it was')
    t.ok(events.every(word => word.startsWith(WORD)))
    await again.close()
  },
)

t.test('values put away lie sealed in the file that has no name', async t => {
  const { dir, open } = place()
  const store = await open(seal(), { hotBytesMax: 0 })
  await live(store)
  const files = descriptorsOf(join(dir, 'store.cold'))
  t.equal(files.length, 1)
  const bytes = readFileSync(files[0] ?? '')
  t.notOk(bytes.includes(WORD))
  t.ok(bytes.includes(OPEN_WORD), 'the right file was looked into')
  t.ok(isWhole(store))
  await store.close()
})

t.test('a start with another key, or with none, refuses, says why, changes nothing; with the right one all is there', async t => {
  const { dir, open } = place()
  const store = await open(seal())
  await live(store)
  await store.close()
  const before = contents(dir)
  const kept: string[] = []
  const others: readonly (readonly [Sealing | undefined, RegExp])[] = [
    [
      sealingOf([PREFIX], 8, { keep: () => void kept.push('wrong') }),
      /sealed with key [0-9a-f]{8}; \/keys\/server.key holds key [0-9a-f]{8}$/,
    ],
    [sealingOf([PREFIX], 8, { isNew: true, keep: () => void kept.push('new') }), /there is no key file \/keys\/server.key$/],
    [undefined, /no key was given$/],
  ]
  for (const [sealing, message] of others) await t.rejects(open(sealing), { message, hint: /nothing was changed; put the key file/ })
  t.same(kept, [], 'a key that opens nothing takes nobody’s place')
  t.same(contents(dir), before)
  const again = await open(seal({ isNew: true, keep: () => void kept.push('right') }))
  t.equal(again.recovery.kind, 'clean')
  t.ok(isWhole(again))
  t.same(kept, ['right'])
  await again.close()
})

t.test('a snapshot and its key are enough; without its key a damaged database is still kept aside and nothing is lost', async t => {
  const { dir, open } = place()
  const store = await open(seal())
  await live(store)
  await store.close()
  writeFileSync(join(dir, 'store.db'), 'garbage '.repeat(2000))
  await t.rejects(open(sealingOf([PREFIX], 8)), { message: /sealed with key/ })
  const restored = await open(seal())
  t.ok(isWhole(restored))
  await restored.close()
  t.equal(readdirSync(dir).filter(name => name.startsWith('damaged-')).length, 1)
  t.same(telling(dir, WORD), [])
})

t.test('what an older version stored in plain is sealed at the first start: rows, free pages, the write-ahead log, snapshots', async t => {
  const { dir, open } = place()
  const old = await open(undefined)
  await live(old)
  await old.snapshot()
  const { epoch, revision } = old
  cpSync(dir, `${dir}-old`, { recursive: true })
  t.teardown(() => rmSync(`${dir}-old`, { recursive: true, force: true }))
  await old.close()
  for (const from of [dir, `${dir}-old`]) {
    t.not(telling(from, WORD).length, 0, 'there is something to seal')
    const store = await open(seal(), { dir: from })
    t.same(telling(from, WORD), [])
    t.match(store, { epoch, recovery: { kind: 'clean' } })
    t.ok(store.revision >= revision)
    t.ok(isWhole(store))
    await store.close()
    t.same(telling(from, WORD), [])
    rmSync(join(from, 'store.db'))
    const restored = await open(seal(), { dir: from })
    t.ok(isWhole(restored), 'the sealed snapshot is a good one')
    await restored.close()
  }
})

t.test('sealing what is old, cut off half-way, is done again; a disk that refuses keeps the server going and is told of', async t => {
  const { dir, open } = place()
  const old = await open(undefined)
  await live(old)
  await old.close()
  const sealed = await open(seal())
  await sealed.close()
  const database = await openDatabase(join(dir, 'store.db'))
  await database.exec('PRAGMA user_version = 0')
  await database.close()
  const said: string[] = []
  const log: Log = { ...silentLog, error: message => void said.push(message), info: message => void said.push(message) }
  const again = await open(seal(), { log })
  t.ok(isWhole(again))
  t.same(said, ['Secrets of an older version are sealed'])
  await again.close()
  const full = place()
  const plain = await full.open(undefined)
  await live(plain)
  const obstacle = join(full.dir, 'snapshots', `${await plain.snapshot()}.draft`)
  await plain.close()
  mkdirSync(obstacle)
  const hindered = await full.open(seal(), { log })
  t.ok(isWhole(hindered))
  t.equal(said.at(-1), 'Secrets of an older version could not be sealed yet')
  await hindered.close()
  t.not(telling(full.dir, WORD).length, 0)
  rmdirSync(obstacle)
  const later = await full.open(seal())
  await later.close()
  t.same(telling(full.dir, WORD), [])
})

t.test('a sealed value under another name is damage, not an answer', async t => {
  const { dir, open } = place()
  const store = await open(seal())
  await live(store)
  const good = store.get(`${PREFIX}default/n9`)!
  await store.close()
  const { createCodec } = await import('../../../src/store/codec.ts')
  const { rowSum } = await import('../../../src/store/checksum.ts')
  const value = createCodec(seal()).toDisk(`${PREFIX}default/n9`, good.value)
  const database = await openDatabase(join(dir, 'store.db'))
  const [row] = await database.all<{ revision: number; createRevision: number }>(
    `SELECT revision, createRevision FROM current WHERE key = ? ORDER BY key`,
    [`${PREFIX}default/n8`],
  )
  const key = `${PREFIX}default/n8`
  await database.run('UPDATE current SET value = ?, sum = ? WHERE key = ?', [value, rowSum({ ...row!, key, value }), key])
  await database.close()
  const restored = await open(seal())
  t.match(restored.recovery, { kind: 'restored', message: /n8 was not sealed under this name/ })
  t.ok(isWhole(restored))
  await restored.close()
})
