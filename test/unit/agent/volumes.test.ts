// What volumes shall hold, and that the disk then holds it: all at once, only when different, never outside.

import { existsSync, mkdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Surroundings } from '../../../src/agent/device.ts'
import { resolveSubPath } from '../../../src/agent/sub-path.ts'
import { removeFolder, writeFiles, writeLayout } from '../../../src/agent/volume-writer.ts'
import { type PodLayout, podLayout } from '../../../src/agent/volumes.ts'
import { systemExec } from '../../../src/host/exec.ts'
import type { PodSpec } from '../../../src/kinds/pod.ts'
import { device, pod } from './model.ts'

const around: Surroundings = {
  podCIDR: '',
  clusterCIDR: '',
  configMap: (_n, name) =>
    name === 'settings'
      ? { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { b: '2', a: '1' }, binaryData: { bin: 'AAEC' } }
      : undefined,
  secret: (_n, name) => (name === 'keys' ? { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: { key: 'aGk=' } } : undefined),
}
const layout = (spec: Partial<PodSpec>, podsDir = '/data/pods'): PodLayout => {
  const made = podLayout(pod('a', spec, { labels: { app: 'x' } }), '10.42.3.9', device(new Map(), { podsDir }), around)
  if ('problem' in made) throw new Error(made.problem)
  return made
}
const problem = (spec: Partial<PodSpec>): string => {
  const made = podLayout(pod('a', spec), undefined, device(new Map()), around)
  return 'problem' in made ? made.problem : ''
}

t.test('layout: ConfigMap, Secret, downward API and projected files with their modes', async t => {
  const { volumes } = layout({
    volumes: [
      { name: 'c', configMap: { name: 'settings', items: [{ key: 'a', path: 'deep/one', mode: 0o600 }] } },
      { name: 's', secret: { secretName: 'keys', defaultMode: 0o400 } },
      { name: 'd', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
      { name: 'p', projected: { sources: [{ configMap: { name: 'settings' } }, { secret: { name: 'keys' } }] } },
      { name: 'e', emptyDir: {} },
      { name: 'm', emptyDir: { medium: 'Memory', sizeLimit: '2Mi' } },
      { name: 'h', hostPath: { path: '/x', type: 'Directory' } },
    ],
  })
  t.match(volumes, [
    { holds: 'files', files: [{ path: 'deep/one', mode: 0o600, text: '1' }] },
    { holds: 'files', files: [{ path: 'key', mode: 0o400, base64: 'aGk=' }] },
    { holds: 'files', files: [{ path: 'labels', text: 'app="x"' }] },
    { holds: 'files', files: [{ path: 'a' }, { path: 'b' }, { path: 'bin', base64: 'AAEC' }, { path: 'key' }] },
    { holds: 'empty', dir: '/data/pods/uid-a/volumes/e' },
    { holds: 'memory', sizeBytes: 2 * 1024 * 1024 },
    { holds: 'host', path: '/x', type: 'Directory' },
  ])
})

t.test('layout: what is missing or not offered is said, optional things are left out', async t => {
  t.equal(
    problem({ volumes: [{ name: 'v', configMap: { name: 'no' } }] }),
    'MountVolume.SetUp failed for volume "v" : configmap "no" not found',
  )
  t.match(
    problem({ volumes: [{ name: 'v', secret: { secretName: 'keys', items: [{ key: 'x', path: 'x' }] } }] }),
    /references non-existent config key: x/,
  )
  t.match(problem({ volumes: [{ name: 'v', nfs: { server: 'x' } }] }), /nfs is not offered on this device/)
  t.match(
    problem({ volumes: [{ name: 'v', configMap: { name: 'settings', items: [{ key: 'a', path: '../../etc/x' }] } }] }),
    /leaves the volume/,
  )
  t.equal(problem({ volumes: [{ name: 'v', configMap: { name: 'no', optional: true } }] }), '')
})

t.test('layout: /etc files, and a revision that changes with content only', async t => {
  const { etc, revision } = layout({ hostAliases: [{ ip: '1.2.3.4', hostnames: ['db'] }], subdomain: 'sub' })
  t.match(etc.files[0]?.text, /10\.42\.3\.9\ta\.sub\.default\.svc\.cluster\.local\ta\n1\.2\.3\.4\tdb\n$/)
  t.equal(etc.files[1]?.text, 'a\n')
  t.equal(etc.files[2]?.text, 'nameserver 192.0.2.53\n')
  t.equal(layout({ hostAliases: [{ ip: '1.2.3.4', hostnames: ['db'] }], subdomain: 'sub' }).revision, revision)
  t.not(layout({}).revision, revision)
  const dns = layout({
    dnsPolicy: 'None',
    dnsConfig: { nameservers: ['9.9.9.9'], searches: ['x', 'y'], options: [{ name: 'ndots', value: '2' }] },
  })
  t.equal(dns.etc.files[2]?.text, 'nameserver 9.9.9.9\nsearch x y\noptions ndots:2\n')
  t.equal(layout({ hostNetwork: true }).etc.files[0]?.text, '127.0.0.1 localhost\n')
})

t.test('writer: swaps a set of files at once and writes nothing that is already so', async t => {
  const dir = join(t.testdir(), 'v')
  const file = (path: string, text: string, mode = 0o644) => ({ path, text, mode })
  writeFiles(dir, [file('a', '1', 0o600), file('deep/b', '2')], undefined)
  t.equal(readFileSync(join(dir, 'a'), 'utf8'), '1')
  t.equal(readFileSync(join(dir, 'deep/b'), 'utf8'), '2')
  t.equal(statSync(join(dir, 'a')).mode & 0o777, 0o600)
  const first = readlinkSync(join(dir, '..data'))
  const inode = statSync(join(dir, 'a')).ino
  writeFiles(dir, [file('a', '1', 0o600), file('deep/b', '2')], undefined)
  t.equal(statSync(join(dir, 'a')).ino, inode)
  writeFiles(dir, [file('a', 'new', 0o600)], undefined)
  t.not(readlinkSync(join(dir, '..data')), first)
  t.equal(readFileSync(join(dir, 'a'), 'utf8'), 'new')
  t.notOk(existsSync(join(dir, 'deep')))
  t.notOk(existsSync(join(dir, first)), 'the old set is gone')
})

t.test('writer: what a power cut left half is written anew', async t => {
  const dir = join(t.testdir(), 'v')
  const files = [{ path: 'a', text: 'whole', mode: 0o644 }]
  writeFiles(dir, files, undefined)
  writeFileSync(join(dir, readlinkSync(join(dir, '..data')), 'a'), '')
  mkdirSync(join(dir, '..2'))
  writeFileSync(join(dir, '..2', 'junk'), 'x')
  writeFiles(dir, files, undefined)
  t.equal(readFileSync(join(dir, 'a'), 'utf8'), 'whole')
})

t.test('writer: host paths are checked or made by their type', async t => {
  const root = t.testdir({ file: 'x', dir: {} })
  const write = (path: string, type: string) =>
    writeLayout(
      { volumes: [{ holds: 'host', path: join(root, path), type }], etc: { dir: join(root, 'etc'), files: [] }, revision: '' },
      systemExec,
    )
  await write('new/deep', 'DirectoryOrCreate')
  t.ok(statSync(join(root, 'new/deep')).isDirectory())
  await write('new/file', 'FileOrCreate')
  t.ok(statSync(join(root, 'new/file')).isFile())
  await write('file', 'File')
  await t.rejects(write('file', 'Directory'), /not a directory/)
  await t.rejects(write('nothing', 'Directory'), /not a directory/)
  await t.rejects(write('dir', 'Socket'), /not a socket/)
  await t.rejects(write('file/below', ''), /EEXIST/)
  const out = join(...root.split('/').map(() => '..'))
  for (const type of ['', 'DirectoryOrCreate'])
    await t.rejects(write(`${out}/proc/none/such`, type), /ENOENT/, 'which Node’s own mkdir never answers')
})

t.test('removal takes the whole folder and survives its absence', async t => {
  const dir = join(t.testdir({ pod: { volumes: { e: { f: 'x' } } } }), 'pod')
  await removeFolder(dir, systemExec)
  t.notOk(existsSync(dir))
  await removeFolder(dir, systemExec)
})

t.test('sub-paths are made inside the volume and never lead out of it', async t => {
  const root = t.testdir({ vol: { real: { x: '1' } }, outside: { secret: 's' } })
  const vol = join(root, 'vol')
  t.equal(resolveSubPath(vol, 'new/deep'), join(vol, 'new/deep'))
  t.ok(statSync(join(vol, 'new/deep')).isDirectory())
  symlinkSync('real', join(vol, 'inside'))
  t.equal(resolveSubPath(vol, 'inside/x'), join(vol, 'real/x'))
  symlinkSync(join(root, 'outside'), join(vol, 'abs'))
  symlinkSync('../outside/secret', join(vol, 'rel'))
  symlinkSync('../../../../../etc', join(vol, 'far'))
  for (const bad of ['abs', 'abs/secret', 'rel', 'far/passwd', '..', 'real/../../outside']) t.throws(() => resolveSubPath(vol, bad), bad)
  t.notOk(existsSync(join(root, 'outside/new')))
  t.throws(() => resolveSubPath(vol, 'abs/new'))
  t.notOk(existsSync(join(root, 'outside/new')), 'nothing is made outside either')
})
