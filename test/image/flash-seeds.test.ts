// Seeds for a fleet from a CSV: what is written, and that a wrong row writes nothing.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseCsv } from '../../scripts/flashing/csv.ts'
import { writeSeeds } from '../../scripts/flashing/fleet.ts'
import { Refusal } from '../../scripts/flashing/refusal.ts'
import { parseSeed } from '../../src/agent/seed.ts'
import { deviceToken } from '../../src/server/device-token.ts'
import { fc } from '../property.ts'

const TOKEN = `helio1.${'ab'.repeat(32)}.sekrit`
const dir = mkdtempSync(join(tmpdir(), 'helio-fleet-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
const csv = (text: string): string => {
  const path = join(dir, 'devices.csv')
  writeFileSync(path, text)
  return path
}
const request = (text: string, name: string) => ({ csv: csv(text), out: join(dir, name), server: 'https://192.0.2.1:6443', token: TOKEN })

t.test('each row becomes a seed with its name, labels and a token of its own', async t => {
  const text = '\ufeffname,site,label:rack,label:note\r\ntower-1,north,3,"a"\r\n\r\ntower-2,,"",\r\n"tower-3","south","4","x"'
  t.equal(await writeSeeds(request(text, 'fleet')), 3)
  t.strictSame(readdirSync(join(dir, 'fleet')).sort(), ['tower-1', 'tower-2', 'tower-3'])
  const file = join(dir, 'fleet/tower-1/heliopause-seed.yaml')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.ok(statSync(file).size < 1024, 'small')
  const seed = await parseSeed(readFileSync(file, 'utf8'), file)
  t.match(seed, {
    nodeName: 'tower-1',
    server: 'https://192.0.2.1:6443',
    token: deviceToken(TOKEN, 'tower-1'),
    labels: { rack: '3', note: 'a', 'heliopause.io/site': 'north' },
  })
  const second = await parseSeed(readFileSync(join(dir, 'fleet/tower-2/heliopause-seed.yaml'), 'utf8'), 'x')
  t.strictSame(second.labels, {}, 'empty fields are no labels')
  t.not(second.token, seed.token)
})

t.test('a wrong row is refused with its line, and nothing is written', async t => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /there is no row/],
    ['name,site\n', /names no device/],
    ['site\nnorth\n', /line 1: there is no column name/],
    ['name,plaice\na,b\n', /line 1: unknown column "plaice"/],
    ['name,name\na,b\n', /line 1: two columns/],
    ['name,site\na,north\nb\n', /line 3: 1 fields, the first row has 2/],
    ['name,site\na,north\nb,south\na,east\n', /line 4: a is in line 2 already/],
    ['name,site\n,north\n', /line 2: the name is empty/],
    ['name,site\n"a\nb",north\n', /line 2: .*not a node name/],
    ['name\n../../etc\n', /line 2: .*not a node name/],
    ['name,label:kubernetes.io/x\na,b\n', /line 2: .*reserved/],
    ['name,label:x\na,"b c"\n', /line 2: .*labels/],
    ['name,server\na,http://x\n', /line 2: .*not https/],
    ['name\n"a\n', /line 2: a quote is never closed/],
    ['name,site\na,no"rth"\n', /line 2: a quote within/],
    ['name,site\n"a"b,north\n', /line 2: text behind a closing quote/],
    [`name\n${'x,'.repeat(100)}\n`, /line 2: more than 64 fields/],
  ]
  for (const [text, expected] of cases) await t.rejects(writeSeeds(request(text, 'refused')), { message: expected }, JSON.stringify(text))
  t.notOk(existsSync(join(dir, 'refused')) || existsSync(join(dir, 'refused.part')))
  await t.rejects(writeSeeds({ ...request('name\na\n', 'refused'), token: 'nonsense' }), { message: /not a join token/ })
  await t.rejects(writeSeeds(request('name\na\n', 'fleet')), { message: /is there already/ })
})

t.test('every table of texts comes back as it was written', async () => {
  const field = fc.oneof(fc.string(), fc.constantFrom('', 'a,b', 'say "x"', 'two\nlines', ' edge ', '\r\n'))
  fc.assert(
    fc.property(fc.array(fc.array(field, { minLength: 2, maxLength: 5 }), { maxLength: 8 }), fc.constantFrom('\n', '\r\n'), (rows, end) => {
      const text = rows.map(row => row.map(each => `"${each.replaceAll('"', '""')}"`).join(',')).join(end)
      return JSON.stringify(parseCsv(text).map(row => row.fields)) === JSON.stringify(rows)
    }),
  )
})

t.test('no bytes make reading a CSV fail otherwise than by refusing', async () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('"', ',', '\n', '\r', 'a', '\ufeff', ' '), { maxLength: 40 }), pieces => {
      try {
        parseCsv(pieces.join(''))
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
      }
    }),
  )
})
