import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { carryOut, compare, makeFolders, missingFolders } from '../../../../src/host/install/carry-out.ts'
import { intended, manifestText, parseManifest, settled } from '../../../../src/host/install/manifest.ts'
import { planOf } from '../../../../src/host/install/plan.ts'
import { openTree } from '../../../../src/host/install/tree.ts'

const folder = (t: { teardown(fn: () => void): void }): string => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-tree-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const plan = (configText = 'a\n') =>
  planOf({
    role: 'agent',
    init: 'systemd',
    dataDir: '/var/lib/heliopause',
    startsPods: true,
    configText,
    seed: { server: 'https://a:1', token: `helio1.${'a'.repeat(64)}.s` },
    launcher: '#!/bin/sh\n',
    systemdVersion: 252,
    canNotify: true,
    hasRunLevels: true,
  })

t.test('links of a foreign root do not lead out of it', async t => {
  const [root, outside] = [folder(t), folder(t)]
  symlinkSync(outside, join(root, 'etc'))
  const tree = openTree(root)
  t.throws(() => tree.write('/etc/x', 'x', 0o644), /leads out of it/)
  t.throws(() => tree.makeFolder('/etc/heliopause', 0o755), /leads out of it/)
  t.throws(() => tree.read('/etc/passwd'), /leads out of it/)
  t.throws(() => tree.remove('/a/../../etc/passwd'), /not absolute/)
  t.notOk(existsSync(join(outside, 'x')))
})

t.test('relative links inside a foreign root are followed, a link in the place of a file is replaced', async t => {
  const [root, outside] = [folder(t), folder(t)]
  mkdirSync(join(root, 'usr/lib'), { recursive: true })
  symlinkSync('usr/lib', join(root, 'lib'))
  const tree = openTree(root)
  tree.write('/lib/x', 'x', 0o644)
  t.equal(readFileSync(join(root, 'usr/lib/x'), 'utf8'), 'x')
  writeFileSync(join(outside, 'secret'), 'secret')
  symlinkSync(join(outside, 'secret'), join(root, 'usr/lib/y'))
  t.equal(tree.read('/lib/y'), undefined)
  tree.write('/lib/y', 'mine', 0o600)
  t.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret')
})

t.test('carried out twice, nothing is left to do; a used seed is not made anew', async t => {
  const root = folder(t)
  const tree = openTree(root)
  const made = missingFolders(tree, plan())
  t.ok(made.includes('/var') && made.includes('/etc/heliopause'), 'folders above count as well')
  makeFolders(tree, plan())
  carryOut(tree, plan())
  t.same(
    compare(tree, plan()).filter(each => each.state !== 'unchanged'),
    [],
  )
  t.equal(statSync(join(root, 'var')).mode & 0o777, 0o755)
  t.equal(statSync(join(root, 'var/lib/heliopause')).mode & 0o777, 0o711)
  t.equal(statSync(join(root, 'etc/heliopause/heliopause-seed.yaml')).mode & 0o777, 0o600)
  const seed = tree.read('/etc/heliopause/heliopause-seed.yaml') ?? ''
  writeFileSync(
    join(root, 'etc/heliopause/heliopause-seed.yaml'),
    seed.replace(/helio1\S+/, token => 'used'.padEnd(token.length)),
  )
  carryOut(tree, plan())
  t.match(tree.read('/etc/heliopause/heliopause-seed.yaml'), 'token: used')
})

t.test('a change is shown by lines, a secret is not', async t => {
  const tree = openTree(folder(t))
  makeFolders(tree, plan())
  carryOut(tree, plan('kind: x\na: 1\nb: 2\n'))
  const [config] = compare(tree, plan('kind: x\na: 2\nb: 2\n')).filter(each => each.state === 'changed')
  t.same(config?.diff, ['  kind: x', '- a: 1', '+ a: 2', '  b: 2'])
  tree.write('/etc/heliopause/heliopause-seed.yaml', 'token: helio1.other\n', 0o600)
  t.equal(compare(tree, plan('kind: x\na: 1\nb: 2\n')).find(each => each.what.endsWith('seed.yaml'))?.diff, undefined)
})

t.test('what a write that was cut off left is cleared, what others put there is not', async t => {
  const root = folder(t)
  const tree = openTree(root)
  makeFolders(tree, plan())
  const dir = join(root, 'etc/heliopause')
  for (const name of ['agent.yaml.123.tmp', 'agent.yaml.bak', 'agent.yaml.1.tmp.old']) writeFileSync(join(dir, name), '')
  carryOut(tree, plan())
  t.notOk(existsSync(join(dir, 'agent.yaml.123.tmp')))
  t.ok(existsSync(join(dir, 'agent.yaml.bak')) && existsSync(join(dir, 'agent.yaml.1.tmp.old')))
})

t.test('the manifest knows old and new while it is being done, and what is afterwards', async t => {
  const now = (sum: string) => ({
    version: '1',
    init: 'systemd' as const,
    roles: ['agent' as const],
    files: [{ path: '/a', sha256: [sum] }],
    links: [],
    folders: ['/x'],
  })
  const before = parseManifest(manifestText(now('old')))
  t.same(intended(before, now('new')).files, [{ path: '/a', sha256: ['new', 'old'] }])
  t.same(settled(before, now('new')).files, [{ path: '/a', sha256: ['new'] }])
  t.same(
    settled(before, { ...now('n'), files: [{ path: '/b', sha256: ['n'] }], folders: [] }).folders,
    ['/x'],
    'earlier folders stay known',
  )
  for (const text of [
    '',
    '{',
    '{}',
    '[]',
    manifestText(now('x')).replace('"/a"', '"../a"'),
    manifestText(now('x')).replace('/x', '/x/../..'),
  ])
    t.equal(parseManifest(text), undefined, JSON.stringify(text.slice(0, 30)))
})
