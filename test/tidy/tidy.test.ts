// The house rules as a test: layers, purity, bans, file shape; and the production dependency tree against the list in git.

import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import t from 'tap'
import { checkBans, checkFiles, checkLayers, checkSql, type Source } from './rules.ts'

const root = join(import.meta.dirname, '../..')

const sourcesUnder = (dir: string): Source[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
    .map(file => ({ path: relative(dir, file), text: readFileSync(file, 'utf8') }))

const show = (violations: readonly { path: string; line: number; rule: string; detail: string }[]): string[] =>
  violations.map(v => `${v.path}:${v.line} ${v.rule}: ${v.detail}`)

t.test('the source keeps the layers, the doors and the purity of the design', async t => {
  const sources = sourcesUnder(join(root, 'src'))
  t.ok(sources.length > 20, 'the sources were found')
  t.strictSame(show(checkLayers(sources)), [])
})

t.test('the source contains nothing that is banned', async t => {
  t.strictSame(show(checkBans(sourcesUnder(join(root, 'src')))), [])
})

t.test('files have headers, plain names and a length a reader can hold', async t => {
  t.strictSame(show(checkFiles(sourcesUnder(join(root, 'src')))), [])
})

t.test('SQL that returns rows says in which order', async t => {
  t.strictSame(show(checkSql(sourcesUnder(join(root, 'src')))), [])
})

t.test('each rule fails on the fixture that breaks it', async t => {
  const sources = sourcesUnder(join(root, 'test/fixtures/tidy'))
  const found = [...checkLayers(sources), ...checkBans(sources), ...checkFiles(sources), ...checkSql(sources)]
  for (const rule of [
    'layers',
    'doors',
    'purity',
    'time',
    'timers',
    'randomness',
    'state',
    'errors',
    'leftover',
    'defaults',
    'types',
    'header',
    'names',
    'sql',
    'order',
  ])
    t.ok(
      found.some(v => v.rule === rule),
      `a violation of "${rule}" is found`,
    )
})

t.test('tests neither sleep nor wait for timers', async t => {
  const offenders = sourcesUnder(join(root, 'test'))
    .filter(s => !s.path.startsWith('fixtures/') && !s.path.startsWith('tidy/') && !s.path.startsWith('bench/'))
    .filter(s => s.path.startsWith('unit/') || s.path.startsWith('contract/') || s.path.startsWith('sim/'))
    .filter(s => /\bsetTimeout\(|\bsetInterval\(/.test(s.text))
  t.strictSame(
    offenders.map(s => s.path),
    [],
  )
})

t.test('the production dependency tree is the one that was decided', async t => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version?: string; dev?: boolean; optional?: boolean; devOptional?: boolean }>
  }
  const names = Object.entries(lock.packages)
    .filter(([path, entry]) => path !== '' && !entry.dev && !entry.devOptional && !entry.optional)
    .map(([path, entry]) => `${path.replace(/^.*node_modules\//, '')} ${entry.version ?? '?'}`)
  const production = [...new Set(names)].sort()
  const decided = readFileSync(join(root, 'test/dependencies.txt'), 'utf8').trim().split('\n')
  t.strictSame(production, decided, 'a new dependency is a decision: its reason goes to ARCHITECTURE.md, its name to test/dependencies.txt')
})
