import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createMemoryJournal, type Store } from '../../../src/store/store.ts'
import { configMap } from '../../contract/store-world.ts'
import { fc } from '../../property.ts'
import { createScene, openAt, type Picture, pictureOf, rewrite } from './scene.ts'

const scene = await createScene()
t.teardown(() => scene.end())
const last = scene.history.at(-1)!
const newestSnapshot = scene.snapshots.at(-1)!

/** Opens what is there, looks, and closes; the store must be usable whatever it found. */
const opened = async <T>(dir: string, look: (store: Store) => Promise<T> | T): Promise<T> => {
  const store = await openAt(dir)
  try {
    const result = await look(store)
    await store.write({ do: 'create', key: 'pods/default/probe', object: configMap('probe') })
    await store.write({ do: 'delete', key: 'pods/default/probe' })
    return result
  } finally {
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

const restored = (each: Test, store: Store, picture: Picture): void => {
  each.equal(store.recovery.kind, 'restored')
  each.same(pictureOf(store), picture)
  each.not(store.epoch, scene.epoch)
  each.ok(store.revision >= 1_000_000_000, 'revisions go on above all that were handed out')
  each.notMatch(store.recovery.message, /\n/)
}

t.test('after a kill everything is there, in the same epoch', each =>
  opened(scene.copy(), store => {
    each.equal(store.recovery.kind, 'clean')
    each.equal(store.epoch, scene.epoch)
    each.same(pictureOf(store), last)
  }),
)

t.test(
  'a snapshot that an operator put in the place of the database is a new epoch, which says what it knows, from then on',
  async each => {
    const dir = scene.copy()
    const name = readdirSync(join(dir, 'snapshots')).sort().at(-1)!
    copyFileSync(join(dir, 'snapshots', name), join(dir, 'store.db'))
    rmSync(join(dir, 'store.db-wal'))
    const first = await openAt(dir)
    each.match(first.recovery, { kind: 'repaired', message: /store.db is a snapshot of revision \d+ that was put in its place/ })
    each.same(pictureOf(first), newestSnapshot)
    each.not(first.epoch, scene.epoch)
    each.equal(first.base, Number(/\d+/.exec(name)?.[0]))
    each.ok(first.revision >= 1_000_000_000)
    await first.close()
    await opened(dir, store => {
      each.equal(store.recovery.kind, 'clean')
      each.match({ epoch: store.epoch, base: store.base }, { epoch: first.epoch, base: first.base })
    })
  },
)

t.test('a truncated database: the newest snapshot takes over and the damaged file is kept', async each => {
  for (const part of [0, 0.1, 0.5, 0.9]) {
    const dir = scene.copy()
    rmSync(join(dir, 'store.db-wal'))
    rewrite(join(dir, 'store.db'), bytes => bytes.subarray(0, Math.floor(bytes.length * part)))
    await opened(dir, store => {
      restored(each, store, newestSnapshot)
      each.match(store.recovery.message, /database was damaged .*restored snapshot-.*damaged files are in damaged-2026/)
      each.ok(existsSync(join(dir, store.recovery.kept!, 'store.db')))
    })
  }
})

t.test('garbage instead of a database, and the newest snapshot damaged too: the one before takes over', async each => {
  const dir = scene.copy()
  rewrite(join(dir, 'store.db'), bytes => Buffer.alloc(bytes.length, 'garbage '))
  const newest = readdirSync(join(dir, 'snapshots')).sort().at(-1)
  rewrite(join(dir, 'snapshots', newest!), bytes => bytes.fill(7, bytes.length / 2))
  await opened(dir, store => restored(each, store, scene.snapshots.at(-2)!))
})

t.test('damage without a good snapshot: the store starts empty and says so', async each => {
  const dir = scene.copy()
  rmSync(join(dir, 'snapshots'), { recursive: true })
  writeFileSync(join(dir, 'store.db'), 'not a database at all, only words')
  await opened(dir, store => {
    restored(each, store, [])
    each.match(store.recovery.message, /starts empty/)
  })
})

t.test('a deleted database with its write-ahead log left behind: the log is set aside, the snapshot takes over', async each => {
  const dir = scene.copy()
  rmSync(join(dir, 'store.db'))
  await opened(dir, store => {
    restored(each, store, newestSnapshot)
    each.ok(existsSync(join(dir, store.recovery.kept!, 'store.db-wal')))
  })
})

t.test('a deleted database without a log: the snapshot takes over', async each => {
  const dir = scene.copy()
  rmSync(join(dir, 'store.db'))
  rmSync(join(dir, 'store.db-wal'))
  await opened(dir, store => restored(each, store, newestSnapshot))
})

t.test('a write-ahead log that is gone is noticed: a new epoch, and no revision comes again', async each => {
  const dir = scene.copy()
  rmSync(join(dir, 'store.db-wal'))
  await opened(dir, store => {
    each.match(store.recovery, { kind: 'repaired', message: /write-ahead log of the last run is missing/ })
    each.not(store.epoch, scene.epoch)
    each.same(pictureOf(store), scene.history[scene.inFile - 1])
    each.ok(store.revision > 1_000_000_000)
  })
})

t.test('restoring is not undone by the next start', async each => {
  const dir = scene.copy()
  rewrite(join(dir, 'store.db'), bytes => bytes.fill(1, 100))
  rmSync(join(dir, 'store.db-wal'))
  const first = await openAt(dir)
  const { epoch, revision } = first
  await first.close()
  await opened(dir, store => {
    each.equal(store.recovery.kind, 'clean')
    each.equal(store.epoch, epoch)
    each.ok(store.revision >= revision)
    each.same(pictureOf(store), newestSnapshot)
  })
})

t.test('bits flipped anywhere are never served: the state is whole, or one the store had and says it went back to', async each => {
  const found: Record<string, number> = {}
  const flips = fc.record({
    file: fc.constantFrom('store.db', 'store.db', 'store.db-wal'),
    /** Millionths of the file. */
    at: fc.noBias(fc.nat(999_999)),
    bit: fc.nat(7),
    /** Some hit the header, where the format lives. */
    head: fc.integer({ min: 0, max: 3 }).map(die => die === 0),
  })
  const numRuns = Number(process.env['HELIO_FLIPS'] ?? 120)
  await fc.assert(
    fc.asyncProperty(flips, async ({ file, at, bit, head }) => {
      const dir = scene.copy()
      rewrite(join(dir, file), bytes => {
        const place = Math.floor((at / 1_000_000) * (head ? 128 : bytes.length))
        bytes[place]! ^= 1 << bit
        return bytes
      })
      await opened(dir, store => {
        const { kind } = store.recovery
        found[kind] = (found[kind] ?? 0) + 1
        const picture = JSON.stringify(pictureOf(store))
        for (const entry of store.list({ prefix: '' }).entries) JSON.parse(entry.value.toString())
        const at = scene.history.findLastIndex(past => JSON.stringify(past) === picture)
        if (at === -1) throw new Error(`${kind}: a state that never was`)
        const whole = at === scene.history.length - 1
        const lastCommitTorn = file === 'store.db-wal' && at === scene.history.length - 2
        if (!whole && !lastCommitTorn && store.epoch === scene.epoch) throw new Error(`${kind}: went back to write ${at} silently`)
        if (!whole && !lastCommitTorn && kind === 'clean') throw new Error(`clean, but back at write ${at}`)
      })
    }),
    { numRuns },
  )
  each.ok((found['repaired'] ?? 0) > 0 && (found['clean'] ?? 0) > 0, JSON.stringify(found))
  each.comment(JSON.stringify(found))
})

t.test('a database of a newer format is left alone', async each => {
  const dir = scene.copy()
  const { openDatabase } = await import('../../../src/store/database.ts')
  const { crc32 } = await import('../../../src/store/checksum.ts')
  const database = await openDatabase(join(dir, 'store.db'))
  const meta = { format: 3, epoch: 'e', ceiling: 9, open: false }
  const sum = crc32(Buffer.from('3\ne\n9\nfalse'))
  await database.run('UPDATE meta SET value = ?', [JSON.stringify({ ...meta, sum })])
  await database.close()
  await each.rejects(openAt(dir), { message: /its format 3 is newer/ })
  each.ok(existsSync(join(dir, 'store.db')))
  each.notOk(readdirSync(dir).some(name => name.startsWith('damaged')))
})

t.test('two stores cannot open one directory, and the lock goes with its holder', async each => {
  const dir = scene.copy()
  const first = await openAt(dir)
  await each.rejects(openAt(dir), { message: /another server is using it/, hint: /--data-dir/ })
  await first.close()
  await opened(dir, store => void each.equal(store.recovery.kind, 'clean'))
})

t.test('garbage in the lock file does not keep a store closed', async each => {
  const dir = scene.copy()
  writeFileSync(join(dir, 'store.lock'), 'garbage'.repeat(100))
  await opened(dir, store => void each.same(pictureOf(store), last))
})

t.test('a directory that cannot hold a store is an error with a hint, not a restore', async each => {
  const dir = scene.copy()
  rmSync(join(dir, 'store.db'))
  mkdirSync(join(dir, 'store.db'))
  await each.rejects(openAt(dir), { message: /open store/, hint: /permissions/ })
})

t.test('an interrupted restore is taken up again', async each => {
  const dir = scene.copy()
  copyFileSync(join(dir, 'store.db'), join(dir, 'store.db.draft'))
  rewrite(join(dir, 'store.db.draft'), bytes => bytes.subarray(0, 5000))
  rmSync(join(dir, 'store.db'))
  rmSync(join(dir, 'store.db-wal'))
  await opened(dir, store => restored(each, store, newestSnapshot))
})

t.test('a journal in memory starts where its commits ended', async each => {
  const journal = createMemoryJournal({ epoch: 'e', defer: land => land() })
  each.match(journal.load(), { revision: 1, current: [], floor: 1 })
})
