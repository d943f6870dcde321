import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isSafeVersion, openDatabase, sqliteVersion } from '../../../src/store/database.ts'
import { inspectWalBytes } from '../../../src/store/wal.ts'
import { temporaryDir } from '../../contract/store-world.ts'

const dir = temporaryDir()
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

/** The log of five commits, and how many frames SQLite takes from a version of it. */
const file = join(dir, 'a.db')
const database = await openDatabase(file)
await database.exec('PRAGMA journal_mode = WAL; CREATE TABLE a(b)')
for (let i = 0; i < 4; i++) await database.run('INSERT INTO a VALUES (?)', ['x'.repeat(9000)])
cpSync(file, join(dir, 'b.db'))
cpSync(`${file}-wal`, join(dir, 'b.db-wal'))
const [state] = await database.all<{ log: number }>('PRAGMA wal_checkpoint(PASSIVE)')
await database.close()
const bytes = readFileSync(join(dir, 'b.db-wal'))

t.test('a sound log is read as SQLite reads it', async each => {
  each.same(inspectWalBytes(bytes, 4096), { frames: state!.log, commitsBehind: 0 })
})

t.test('a flipped bit hides the commits from there on; they are counted', async each => {
  for (const [part, least] of [
    [0.01, 4],
    [0.5, 2],
    [0.99, 1],
  ] as const) {
    const bad = Buffer.from(bytes)
    bad[Math.floor(bad.length * part)]! ^= 4
    each.ok(inspectWalBytes(bad, 4096).commitsBehind >= least)
  }
})

t.test('a damaged header hides all commits', async each => {
  const bad = Buffer.from(bytes)
  bad[20]! ^= 1
  each.match(inspectWalBytes(bad, 4096), { frames: 0, commitsBehind: 5 })
})

t.test('a log cut short, empty or absurd holds no hidden commit', async each => {
  each.same(inspectWalBytes(Buffer.alloc(0), 4096), { frames: 0, commitsBehind: 0 })
  each.equal(inspectWalBytes(bytes.subarray(0, bytes.length - 100), 4096).commitsBehind, 0)
})

t.test('versions of SQLite with the WAL reset race are refused', async each => {
  for (const version of [3_044_005, 3_045_001, 3_050_006, 3_051_002]) each.notOk(isSafeVersion(version), String(version))
  for (const version of [3_044_006, 3_050_007, 3_051_003, 3_052_000, sqliteVersion()]) each.ok(isSafeVersion(version), String(version))
})
