// Secrets on the server's disk: no file but the key file tells one, whatever happens to the store; the key is needed to start, and its
// place is the operator's choice.

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort, helio, type Running, run, SELF, startServer, temporaryDir, wipe } from './cluster.ts'

const WORD = 'correct-horse-battery-staple'
const WORDS = [WORD, Buffer.from(WORD).toString('base64')]
const dir = temporaryDir()
const elsewhere = temporaryDir()
const world: { server?: Running; port: number } = { port: 0 }

t.setTimeout(180_000)
t.teardown(async () => {
  await world.server?.stop()
  for (const each of [dir, elsewhere]) wipe(each)
})

const telling = (): readonly string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .filter(file => WORDS.some(word => readFileSync(file).includes(word)))

const start = async (...more: string[]): Promise<void> => {
  world.server = await startServer(dir, world.port, '--no-agent', '--cluster-cidr', '10.87.0.0/16', ...more)
}
const secret = (name: string): string =>
  `apiVersion: v1\nkind: Secret\nmetadata: {name: ${name}}\nstringData: {word: "${WORD}"}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {word: plain-to-see}\n`
const apply = (name: string) => run(SELF.command, [...SELF.args, 'apply', '-f', '-', '--data-dir', dir], secret(name))
const wordOf = async (name: string): Promise<string> => {
  const { stdout } = await helio('get', 'secret', name, '--output', 'json', '--data-dir', dir)
  return Buffer.from((JSON.parse(stdout) as { data: { word: string } }).data.word, 'base64').toString()
}

t.test('no file of the server tells a Secret: not while it is written, nor after it was deleted, a kill, a stop', async t => {
  world.port = await freePort()
  await start()
  for (const name of ['a', 'b', 'c']) t.match(await apply(name), { code: 0 })
  t.same(telling(), [], 'the write-ahead log included')
  t.ok(readFileSync(join(dir, 'store/store.db-wal')).includes('plain-to-see'), 'the right files were looked into')
  t.equal(statSync(join(dir, 'server.key')).mode & 0o777, 0o600)
  t.match(await helio('delete', 'secret', 'c', '--data-dir', dir), { code: 0 })
  t.same(telling(), [])
  await world.server?.kill()
  t.same(telling(), [])
  await start()
  t.equal(await wordOf('a'), WORD)
  t.match(await apply('d'), { code: 0 })
  t.equal(await world.server?.stop(), 0)
  t.ok(readdirSync(join(dir, 'store/snapshots')).length > 0)
  t.same(telling(), [], 'snapshots included')
})

t.test('without its key the server says what is missing and changes nothing; with it, wherever it lies, all is there', async t => {
  const key = join(elsewhere, 'server.key')
  renameSync(join(dir, 'server.key'), `${key}.moved`)
  const port = String(world.port)
  const tried = await helio('server', '--data-dir', dir, '--port', port, '--no-agent')
  t.match(tried, {
    code: 1,
    stderr: /Secrets are sealed with key [0-9a-f]{8}; there is no key file .*server\.key\nhint: nothing was changed; put the key/,
  })
  t.notOk(readdirSync(dir).includes('server.key'), 'no new key takes its place')
  renameSync(`${key}.moved`, key)
  await start('--secret-key-file', key)
  t.equal(await wordOf('b'), WORD)
  t.equal(await world.server?.stop(), 0)
})

t.test('a snapshot and the key bring Secrets back', async t => {
  const key = join(elsewhere, 'server.key')
  const kept = join(elsewhere, 'kept')
  mkdirSync(kept)
  const newest = readdirSync(join(dir, 'store/snapshots')).sort().at(-1) ?? ''
  renameSync(join(dir, 'store/snapshots', newest), join(kept, newest))
  rmSync(join(dir, 'store'), { recursive: true })
  mkdirSync(join(dir, 'store'), { mode: 0o700 })
  renameSync(join(kept, newest), join(dir, 'store/store.db'))
  await start('--secret-key-file', key)
  t.equal(await wordOf('a'), WORD)
  t.same(telling(), [])
  t.equal(await world.server?.stop(), 0)
})
