// Options: order of sources, refusals with a hint.

import t from 'tap'
import { describeOptions, nearest, type Option, parseFlags, resolveOptions } from '../../../src/base/options.ts'

const table: Option[] = [
  { flag: 'data-dir', type: 'text', default: '/d', describe: 'folder', value: 'DIR' },
  { flag: 'port', type: 'port', default: 6443, describe: 'port' },
  { flag: 'no-agent', type: 'switch', default: false, describe: 'no agent' },
  { flag: 'runtime', type: 'text', choices: ['auto', 'crun'], default: 'auto', describe: 'runtime' },
]

t.test('a flag wins over the environment, that over the file, that over the default', async t => {
  const file = { port: 3, dataDir: '/file' }
  t.same(resolveOptions(table, {}, {}, {}), { dataDir: '/d', port: 6443, noAgent: false, runtime: 'auto' })
  t.match(resolveOptions(table, {}, {}, file), { port: 3, dataDir: '/file' })
  t.match(resolveOptions(table, {}, { HELIO_PORT: '2' }, file), { port: 2, dataDir: '/file' })
  t.match(resolveOptions(table, { port: '1' }, { HELIO_PORT: '2' }, file), { port: 1 })
})

t.test('reads --x=y, --x y and switches', async t => {
  t.same(parseFlags(table, ['--data-dir=/a', '--port', '7', '--no-agent']), { 'data-dir': '/a', port: '7', 'no-agent': true })
})

t.test('refuses what it does not know and names the nearest', async t => {
  t.match(parseFlags(table, ['--data-dri', 'x']), { problem: 'unknown flag --data-dri', hint: 'did you mean --data-dir?' })
  t.match(parseFlags(table, ['--port']), { problem: '--port needs a value' })
  t.match(parseFlags(table, ['word']), { problem: 'unexpected argument "word"' })
  t.match(resolveOptions(table, { port: '70000' }, {}), { problem: /--port must be a port/ })
  t.match(resolveOptions(table, { runtime: 'docker' }, {}), { problem: /must be one of auto, crun/ })
  t.match(resolveOptions(table, {}, {}, { prot: 1 }), { problem: 'configuration: unknown field "prot"', hint: 'did you mean port?' })
  t.match(resolveOptions(table, {}, {}, { port: [1] }), { problem: 'configuration: port must be a plain value' })
})

t.test('nearest names nothing that is far away', async t => {
  t.equal(nearest('zzzzzz', ['port', 'data-dir']), undefined)
})

t.test('help lines align', async t => {
  const lines = describeOptions(table).split('\n')
  t.equal(new Set(lines.map(line => line.search(/ {2}[a-z]/))).size >= 1, true)
  t.match(lines[1], /--port VALUE\s+port \(default 6443\)/)
})
