// The seed: what a device takes from it, what is refused and how it is told, and the end of its token.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openMemory } from '../../../src/agent/memory.ts'
import { destroyTokens, findSeed, parseSeed, readSeed } from '../../../src/agent/seed.ts'
import { ApiError } from '../../../src/base/errors.ts'
import { silentLog } from '../../../src/base/log.ts'
import { systemFiles } from '../../../src/host/files.ts'
import { fc } from '../../property.ts'
import { openBench, SEALER } from './bench.ts'

const PIN = 'ab'.repeat(32)
const TOKEN = `helio1.${PIN}.${'s3cret'.repeat(6)}`
const HEAD = 'apiVersion: heliopause.io/v1\nkind: DeviceSeed\n'

const folder = (t: { teardown(fn: () => void): void }): string => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-seed-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}
const problemOf = async (text: string): Promise<string> => {
  try {
    await parseSeed(text, 'seed.yaml')
    return 'none'
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return `${error.message} | ${error.hint}`
  }
}

t.test('a whole seed is read, its site as two labels', async t => {
  const text = `${HEAD}nodeName: tower-17\nsite: north\nlabels: {rack: "3"}\nserver: https://192.0.2.1:6443\ntoken: ${TOKEN}\nlink: ws,mqtt\npodCIDR: 10.9.0.0/24\n`
  t.strictSame(await parseSeed(text, 'x'), {
    nodeName: 'tower-17',
    labels: { 'topology.kubernetes.io/zone': 'north', 'heliopause.io/site': 'north', rack: '3' },
    server: 'https://192.0.2.1:6443',
    token: TOKEN,
    used: false,
    ways: { link: 'ws,mqtt' },
    podCIDR: '10.9.0.0/24',
  })
})

t.test('what is wrong is said in one line with the file’s name and a hint', async t => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['nonsense', /seed\.yaml: it must hold apiVersion/],
    ['a: [', /it is not YAML/],
    [`${HEAD}kind: Other\n`, /it is not YAML: Map keys must be unique/],
    [`${HEAD}nodename: x\n`, /unknown field "nodename" \| did you mean nodeName\?/],
    [`${HEAD}nodeName: Tower_1\n`, /nodeName "Tower_1" is not a node name/],
    [`${HEAD}nodeName: 17\n`, /nodeName must be a text \| put it in quotes/],
    [`${HEAD}labels: {rack: 3}\n`, /labels\.rack: .*quote it/],
    [`${HEAD}labels: {node-role.kubernetes.io/control-plane: ""}\n`, /labels\.node-role.*reserved/],
    [`${HEAD}labels: {k8s.io/x: y}\n`, /reserved/],
    [`${HEAD}labels: {heliopause.io/public: y}\n`, /reserved/],
    [`${HEAD}labels: {"a b": y}\n`, /name part must consist/],
    [`${HEAD}labels: [x]\n`, /labels must be a map/],
    [`${HEAD}site: a/b\n`, /site "a\/b"/],
    [`${HEAD}server: http://x\n`, /server "http:\/\/x" is not https/],
    [`${HEAD}server: https://u:p@x\n`, /is not https/],
    [`${HEAD}token: helio1.short\n`, /token is not a join token/],
    [`${HEAD}token: "helio1.${PIN}.\\x61b"\n`, /token must stand in one line/],
    [`${HEAD}link: smoke\n`, /link "smoke"/],
    [`${HEAD}podCIDR: 10.0.0.0\n`, /podCIDR/],
    [`${HEAD}labels: {${Array.from({ length: 33 }, (_, i) => `l${i}: x`).join(', ')}}\n`, /at most 32 labels/],
    [`${HEAD}#${'x'.repeat(20_000)}\n`, /more than 16384 bytes/],
    [`${HEAD}labels: &a {x: y}\nsite: *a\n`, /YAML/],
  ]
  for (const [text, expected] of cases) t.match(await problemOf(text), expected)
  t.notMatch(await problemOf(`${HEAD}token: helio1.secret-but-wrong\n`), /secret-but-wrong/, 'a token is not shown')
})

t.test('no bytes make reading a seed fail otherwise than by refusing', async () => {
  const piece = fc.oneof(fc.string(), fc.constantFrom(HEAD, 'labels: ', '{', '}', '&a ', '*a', '\n', 'token: ', TOKEN, ': ', '- ', '!!js '))
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async pieces => {
      await problemOf(HEAD + pieces.join(''))
    }),
  )
})

t.test('the first place that has a file counts, and a folder in its place is refused', async t => {
  const dir = folder(t)
  t.equal(findSeed([join(dir, 'a'), join(dir, 'b')]), undefined)
  writeFileSync(join(dir, 'b'), HEAD)
  t.equal(findSeed([join(dir, 'a'), join(dir, 'b')]), join(dir, 'b'))
  await t.rejects(readSeed(dir), { message: /read seed/ })
})

t.test('a token is overwritten where it stands, and the file stays a seed', async t => {
  const file = join(folder(t), 'seed.yaml')
  const text = `${HEAD}# ${TOKEN}\nnodeName: a\ntoken: "${TOKEN}"\n`
  writeFileSync(file, text)
  t.equal(
    destroyTokens(file, token => token !== TOKEN),
    false,
    'another server’s is left alone',
  )
  t.equal(readFileSync(file, 'utf8'), text)
  t.equal(
    destroyTokens(file, token => token === TOKEN),
    true,
  )
  const after = readFileSync(file, 'utf8')
  t.notOk(after.includes('helio1'))
  t.equal(after.length, text.length, 'the same blocks')
  t.match(await readSeed(file), { nodeName: 'a', used: true })
  t.equal((await readSeed(file)).token, undefined)
})

const memoryOf = (dir: string) => openMemory({ dir, files: systemFiles, log: silentLog, sealer: SEALER })

t.test('a broken seed keeps a device that has nothing else to do from starting, and no state is left open', async t => {
  const b = openBench(t.teardown)
  const seed = join(folder(t), 'seed.yaml')
  writeFileSync(seed, `${HEAD}nodename: x\n`)
  const places = { seed: { places: [seed], nameGiven: false } }
  await t.rejects(b.start(places), { message: /unknown field "nodename"/ })
  writeFileSync(seed, `${HEAD}nodeName: mended\n`)
  const agent = await b.start(places)
  t.equal(agent.nodeName, 'mended')
  await agent.close()
})

t.test('the name that was asked for wins over the seed’s', async t => {
  const b = openBench(t.teardown)
  const seed = join(folder(t), 'seed.yaml')
  writeFileSync(seed, `${HEAD}nodeName: from-seed\n`)
  const agent = await b.start({ seed: { places: [seed], nameGiven: true } })
  t.equal(agent.nodeName, 'tower-1')
  await agent.close()
})

t.test('a used seed alone is refused; a device with an identity does not care', async t => {
  const b = openBench(t.teardown)
  const seed = join(folder(t), 'seed.yaml')
  writeFileSync(seed, `${HEAD}nodeName: a\nserver: https://192.0.2.1:6443\ntoken: used\n`)
  await t.rejects(b.start({ seed: { places: [seed], nameGiven: false } }), { message: /its token was used/, hint: /new seed/ })
  await b.join()
  const agent = await b.start({ seed: { places: [seed], nameGiven: false } })
  t.equal(agent.nodeName, 'tower-1', 'the name it joined with')
  await agent.close()
  const memory = await memoryOf(b.dir)
  t.equal(memory.identity?.server, 'https://192.0.2.1:6443')
  await memory.close()
  t.ok(existsSync(seed))
})

t.test('a seed that comes late is noticed, once, while there is nowhere to join; with an identity nobody looks', async t => {
  const b = openBench(t.teardown)
  const seed = join(folder(t), 'seed.yaml')
  const told: string[] = []
  const places = { seed: { places: [seed], nameGiven: false, appeared: () => void told.push('appeared') } }
  const agent = await b.start(places)
  writeFileSync(seed, `${HEAD}nodeName: late\n`)
  await b.until('it is noticed', () => told.length === 1)
  await agent.close()
  const again = await b.start(places)
  t.equal(again.nodeName, 'late')
  await again.close()
  t.strictSame(told, ['appeared'])
})
