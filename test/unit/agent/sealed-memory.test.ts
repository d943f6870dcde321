// Secrets at rest: nothing on the disk but the key file says what a Secret holds; a lost key is said plainly and loses nothing that runs.

import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sqlite3 from 'sqlite3'
import t from 'tap'
import { openMemory } from '../../../src/agent/memory.ts'
import { silentLog } from '../../../src/base/log.ts'
import type { Sealer } from '../../../src/base/sealer.ts'
import { systemFiles } from '../../../src/host/files.ts'
import { openSealer, sealerOf } from '../../../src/host/seal.ts'
import type { Document, Head } from '../../../src/link/link.ts'
import { IDENTITY, openBench } from './bench.ts'
import { document, pod } from './model.ts'

const WORD = 'correct-horse-battery'
const BASE64 = Buffer.from(WORD).toString('base64')
const SECRET = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'default' }, data: { word: BASE64 } } as const
const HEAD: Head = { epoch: 'e', generation: 1, sha256: '', size: 0, sig: '' }
const DOCUMENT: Document = document([pod('a')], { secrets: [SECRET] })
const KEY = '-----BEGIN PRIVATE KEY-----'

const filesBelow = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))

/** Files that hold one of the words; at least one is read. */
const telling = (dir: string, words: readonly string[]): string[] => {
  const files = filesBelow(dir)
  if (files.length === 0) throw new Error('there are no files to look into')
  return files.filter(file => words.some(word => readFileSync(file).includes(word)))
}

const open = (dir: string, sealer: Sealer) => openMemory({ dir, files: systemFiles, log: silentLog, sealer })

t.test('no file but the key file tells a Secret or the private key, while the agent runs and afterwards', async t => {
  const dir = join(t.testdir(), 'd')
  mkdirSync(dir)
  const { sealer, made } = openSealer(systemFiles, join(dir, '../device.key'))
  t.equal(made, true)
  t.equal(statSync(join(dir, '../device.key')).mode & 0o777, 0o600)
  const memory = await open(dir, sealer)
  await memory.saveIdentity({ ...IDENTITY, key: KEY })
  await memory.saveFact('pending/p/n', { keyPem: KEY, requestPem: 'r' })
  for (let i = 0; i < 5; i++) await memory.link.save({ ...HEAD, generation: i }, { ...DOCUMENT, podCIDR: `10.42.${i}.0/24` })
  t.same(telling(dir, [WORD, BASE64, KEY, 'BEGIN']), [], 'the write-ahead log included')
  await memory.close()
  t.same(telling(dir, [WORD, BASE64, KEY, 'BEGIN']), [])
  const again = openSealer(systemFiles, join(dir, '../device.key'))
  t.equal(again.made, false)
  const found = await open(dir, again.sealer)
  t.equal(found.held?.document.secrets[0]?.data?.['word'], BASE64)
  t.equal(found.identity?.key, KEY)
  t.same(found.warnings, [])
  await found.close()
})

/** The folder as the version before sealing left it. */
const oldFolder = async (dir: string): Promise<void> => {
  mkdirSync(join(dir, 'agent.copy'), { recursive: true })
  const held = JSON.stringify({ head: HEAD, document: DOCUMENT })
  const identity = JSON.stringify({ ...IDENTITY, key: KEY })
  writeFileSync(join(dir, 'agent.copy/held.json'), held)
  writeFileSync(join(dir, 'agent.copy/identity.json'), identity)
  writeFileSync(join(dir, 'agent.db.damaged'), held)
  await new Promise<void>((resolve, reject) => {
    const database = new sqlite3.Database(join(dir, 'agent.db'))
    database.serialize(() => {
      database.exec(`PRAGMA journal_mode = WAL; CREATE TABLE fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE pod (uid TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;`)
      for (let i = 0; i < 20; i++) database.run('INSERT OR REPLACE INTO fact VALUES (?, ?)', [`old/${i}`, held])
      database.run('DELETE FROM fact')
      database.run('INSERT INTO fact VALUES (?, ?)', ['held', held])
      database.run('INSERT INTO fact VALUES (?, ?)', ['identity', identity])
      database.run('INSERT INTO pod VALUES (?, ?)', ['uid-a', JSON.stringify({ status: { message: WORD }, failures: {} })])
    })
    database.close(error => (error ? reject(error) : resolve()))
  })
}

t.test('the state of an older version is taken over, and its traces are gone: free pages, log, copies', async t => {
  const dir = join(t.testdir(), 'd')
  await oldFolder(dir)
  t.ok(telling(dir, [BASE64]).length >= 3, 'it was in plain')
  const sealer = sealerOf(Buffer.alloc(32, 1))
  const memory = await open(dir, sealer)
  t.equal(memory.identity?.key, KEY)
  t.equal(memory.held?.document.secrets[0]?.data?.['word'], BASE64)
  t.equal(memory.pods.get('uid-a')?.status.message, WORD)
  t.same(memory.warnings, [])
  t.same(telling(dir, [WORD, BASE64, KEY]), [], 'at once')
  await memory.close()
  const again = await open(dir, sealer)
  t.equal(again.identity?.key, KEY)
  await again.close()
})

t.test('a lost key: it is said plainly, what is stored stays, and the key put back opens it again', async t => {
  const dir = join(t.testdir(), 'd')
  const [right, wrong] = [sealerOf(Buffer.alloc(32, 1)), sealerOf(Buffer.alloc(32, 2))]
  const first = await open(dir, right)
  await first.saveIdentity(IDENTITY)
  await first.link.save(HEAD, DOCUMENT)
  await first.close()
  const without = await open(dir, wrong)
  t.equal(without.keyLost, true)
  t.equal(without.identity, undefined)
  t.equal(without.held, undefined)
  t.match(without.warnings, [/key file was lost or is another one/])
  await without.saveFact('node', { since: 'then' })
  await without.close()
  const back = await open(dir, right)
  t.equal(back.identity?.nodeName, 'tower-1')
  t.equal(back.held?.head.generation, 1)
  t.equal(back.fact('node'), undefined, 'what the other key sealed is gone')
  await back.close()
  const later = await open(dir, right)
  t.same([later.keyLost, later.warnings], [false, []])
  await later.close()
})

t.test('a device without its key keeps running what runs, and starts over and over without harm', async t => {
  const b = openBench(t.teardown)
  await b.join()
  const first = await b.start()
  await b.until('the link', () => b.hooks !== undefined)
  await b.give(DOCUMENT)
  await b.until('it runs', () => b.device.inspect().containers.some(c => c.state === 'running'))
  await first.close()
  const before = b.device.inspect().containers.map(c => c.pid)
  for (const key of [2, 3]) {
    const agent = await b.start({ sealer: sealerOf(Buffer.alloc(32, key)) })
    t.same(
      b.device.inspect().containers.map(c => c.pid),
      before,
    )
    await agent.close()
  }
})

t.test('a sealed value opens under its own name and key only, whole only', t => {
  const sealer = sealerOf(Buffer.alloc(32, 1))
  const sealed = sealer.seal('held', WORD)
  t.equal(sealer.open('held', sealed), WORD)
  t.equal(sealer.open('identity', sealed), undefined)
  t.equal(sealerOf(Buffer.alloc(32, 2)).open('held', sealed), undefined)
  for (let i = 0; i < sealed.length; i++) if (sealer.open('held', sealed.slice(0, i)) !== undefined) t.fail(`opens when cut at ${i}`)
  t.equal(sealer.open('held', `${sealed.slice(0, -6)}AAAAA=`), undefined)
  t.not(sealer.seal('held', WORD), sealed, 'never the same twice')
  t.end()
})

t.test('a key file that can be neither read nor made is told, and the device starts all the same', t => {
  const dir = t.testdir({ file: 'x', key: {} })
  t.match(openSealer(systemFiles, join(dir, 'key')).problem, /EISDIR/)
  const { sealer, problem } = openSealer(systemFiles, join(dir, 'file/key'))
  t.match(problem, /it is a file/)
  t.equal(sealer.open('a', sealer.seal('a', 'b')), 'b')
  t.end()
})

t.test('a damaged key file is kept aside, not overwritten', t => {
  const dir = t.testdir({ 'device.key': 'half a k' })
  t.equal(openSealer(systemFiles, join(dir, 'device.key')).made, true)
  t.equal(readFileSync(join(dir, 'device.key.damaged'), 'utf8'), 'half a k')
  copyFileSync(join(dir, 'device.key'), join(dir, 'saved'))
  rmSync(join(dir, 'device.key.damaged'))
  t.equal(openSealer(systemFiles, join(dir, 'device.key')).made, false)
  t.equal(readFileSync(join(dir, 'device.key'), 'utf8'), readFileSync(join(dir, 'saved'), 'utf8'))
  t.end()
})
