import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openImageStore } from '../../../../src/agent/images/image-store.ts'
import { systemExec } from '../../../../src/host/exec.ts'
import { addImage, INDEX, named, newLayout, oneImage, setIndex, sha256, storeDeps, tarOf, writeArchive, writeFolder } from './oci.ts'

const BASE = [
  { name: 'bin/', type: 'directory' as const, mode: 0o755 },
  { name: 'bin/app', body: '#!/bin/sh\n', mode: 0o4755, uid: 7, gid: 8 },
  { name: 'bin/link', type: 'symlink' as const, linkname: '/bin/app' },
  { name: 'bin/hard', type: 'link' as const, linkname: 'bin/app' },
  { name: 'etc/', type: 'directory' as const, mode: 0o700 },
  { name: 'etc/old', body: 'old' },
  { name: 'etc/sub/x', body: 'x' },
]

const asRoot = process.getuid?.() === 0
const isWhiteout = (path: string): boolean => lstatSync(path).isCharacterDevice() && lstatSync(path).rdev === 0

t.test('imports a layout folder: config, modes, owners, times and links are as the layer says', async t => {
  const dir = t.testdir()
  const layout = await oneImage('app:1', [BASE], { config: { Entrypoint: ['/bin/app'], Labels: { a: 'b' }, StopSignal: 'SIGINT' } })
  const store = openImageStore(join(dir, 'store'), storeDeps)
  const [image] = await store.import(writeFolder(layout, join(dir, 'layout')))
  t.same(image?.names, ['docker.io/library/app:1'])
  t.same(image?.config, {
    entrypoint: ['/bin/app'],
    cmd: ['/bin/app'],
    env: ['PATH=/bin'],
    workingDir: '/srv',
    user: '1000:1000',
    stopSignal: 'SIGINT',
    labels: { a: 'b' },
  })
  const root = image?.layers[0] ?? ''
  const app = statSync(join(root, 'bin/app'))
  t.equal(app.mode & 0o7777, asRoot ? 0o4755 : 0o755)
  if (asRoot) t.same([app.uid, app.gid], [7, 8])
  t.equal(app.mtime.toISOString(), '2020-02-02T02:02:02.000Z')
  t.equal(statSync(join(root, 'bin/hard')).ino, app.ino)
  t.equal(lstatSync(join(root, 'bin/link')).isSymbolicLink(), true)
  t.equal(statSync(join(root, 'etc')).mode & 0o777, 0o700)
  t.equal(statSync(join(root, 'etc')).mtime.toISOString(), '2020-02-02T02:02:02.000Z')
  t.equal(readFileSync(join(root, 'etc/sub/x'), 'utf8'), 'x')
})

t.test('finds an image by short name, full name, id, digest and name with digest, also after opening again', async t => {
  const dir = t.testdir()
  const layout = await oneImage('team/app:2', [BASE])
  const manifest = JSON.parse(layout.files.get('index.json')?.toString() ?? '').manifests[0].digest as string
  const store = openImageStore(join(dir, 'store'), storeDeps)
  const [image] = await store.import(await writeArchive(layout, join(dir, 'a.tar')))
  const again = openImageStore(join(dir, 'store'), storeDeps)
  const id = image?.id ?? ''
  for (const reference of [
    'team/app:2',
    'docker.io/team/app:2',
    id,
    id.slice(7),
    manifest,
    `team/app@${manifest}`,
    `other/name:9@${manifest}`,
  ]) {
    t.equal(store.resolve(reference)?.id, id, reference)
    t.equal(again.resolve(reference)?.id, id, reference)
  }
  t.equal(again.resolve('team/app:3'), undefined)
  t.equal(again.resolve('not a name'), undefined)
})

t.test('a second process sees the import after refresh', async t => {
  const dir = t.testdir()
  const reader = openImageStore(join(dir, 'store'), storeDeps)
  await openImageStore(join(dir, 'store'), storeDeps).import(writeFolder(await oneImage('app', [BASE]), join(dir, 'l')))
  t.equal(reader.resolve('app'), undefined)
  reader.refresh()
  t.ok(reader.resolve('app'))
})

t.test('reads gzip archives, zstd and plain layers, and reports progress up to the total', async t => {
  const dir = t.testdir()
  const zstd = systemExec.find('zstd')
  const body = Buffer.alloc(300_000, 'some text that packs well ')
  const items = [{ name: 'big', body }]
  const store = openImageStore(join(dir, 'store'), storeDeps)
  const seen: number[][] = []
  await store.import(await writeArchive(await oneImage('plain', [items], { compress: 'none' }), join(dir, 'p.tgz'), true), {
    onProgress: (done, total) => seen.push([done, total]),
  })
  const last = seen[seen.length - 1]
  t.ok(last && last[0] === last[1] && last[1]! > 300_000, `${last}`)
  t.same(readFileSync(join(store.resolve('plain')?.layers[0] ?? '', 'big')), body)
  if (zstd === undefined) return t.comment('zstd is not installed: its layers are not tried')
  const compress = (tar: Buffer): Buffer => execFileSync(zstd, ['-c'], { input: tar, maxBuffer: 1 << 26 })
  await store.import(writeFolder(await oneImage('z', [[...items, { name: 'z', body: 'z' }]], { compress }), join(dir, 'z')))
  t.same(readFileSync(join(store.resolve('z')?.layers[0] ?? '', 'big')), body)
  const cut = await oneImage('cut', [[{ name: 'c', body: Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 7919) & 255)) }]], {
    compress: tar => compress(tar).subarray(0, -9),
  })
  await t.rejects(store.import(writeFolder(cut, join(dir, 'cut'))), /unpack layer|verify layer/)
})

t.test('takes the image of this platform out of nested indexes', async t => {
  const dir = t.testdir()
  const layout = newLayout()
  const ours = addImage(layout, [await tarOf([{ name: 'amd64' }])])
  const theirs = addImage(layout, [await tarOf([{ name: 'arm64' }])], { architecture: 'arm64' })
  const index = layout.blob(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: INDEX,
      manifests: [
        { ...theirs, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
        { ...ours, platform: { os: 'linux', architecture: 'amd64' } },
      ],
    }),
    INDEX,
  )
  setIndex(layout, [named(index, 'multi:1')])
  const path = writeFolder(layout, join(dir, 'l'))
  const store = openImageStore(join(dir, 'store'), storeDeps)
  const [image] = await store.import(path)
  t.same(readdirSync(image?.layers[0] ?? ''), ['amd64'])
  t.equal(store.resolve(`multi@${index.digest}`)?.id, image?.id)
  const arm = openImageStore(join(dir, 'arm'), { ...storeDeps, platform: { os: 'linux', architecture: 'arm64', variant: '' } })
  t.same(readdirSync((await arm.import(path))[0]?.layers[0] ?? ''), ['arm64'])
  const riscv = openImageStore(join(dir, 'rv'), { ...storeDeps, platform: { os: 'linux', architecture: 'riscv64', variant: '' } })
  await t.rejects(riscv.import(path), /choose platform of multi:1: none for linux\/riscv64 among linux\/arm64\/v8, linux\/amd64/)
})

t.test('reads docker archives', async t => {
  const dir = t.testdir()
  const tar = await tarOf(BASE)
  const config = JSON.stringify({ config: { Cmd: ['x'] }, rootfs: { type: 'layers', diff_ids: [sha256(tar)] } })
  const manifest = [{ Config: 'c.json', RepoTags: ['app:d'], Layers: ['l1/layer.tar'] }]
  const archive = await tarOf([
    { name: 'aaaa.tar', body: tar },
    { name: 'l1/', type: 'directory' },
    { name: 'l1/layer.tar', type: 'symlink', linkname: '../aaaa.tar' },
    { name: 'c.json', body: config },
    { name: 'manifest.json', body: JSON.stringify(manifest) },
  ])
  writeFileSync(join(dir, 'd.tar'), archive)
  const store = openImageStore(join(dir, 'store'), storeDeps)
  const [image] = await store.import(join(dir, 'd.tar'))
  t.equal(image?.id, sha256(config))
  t.same(image?.config.cmd, ['x'])
  t.equal(store.resolve('app:d')?.id, image?.id)
})

t.test('an image without a name needs one, and --name gives it', async t => {
  const dir = t.testdir()
  const layout = newLayout()
  setIndex(layout, [addImage(layout, [await tarOf(BASE)])])
  const path = writeFolder(layout, join(dir, 'l'))
  const store = openImageStore(join(dir, 'store'), storeDeps)
  await t.rejects(store.import(path), /has no name in the archive; give one with --name/)
  await t.rejects(store.import(path, { name: 'Bad Name' }), /is not an image name/)
  t.same((await store.import(path, { name: 'mine' }))[0]?.names, ['docker.io/library/mine:latest'])
})

t.test('whiteouts become character devices; opaque directories hide each name below', { skip: asRoot ? false : 'needs root' }, async t => {
  const dir = t.testdir()
  const upper = [
    { name: 'bin/.wh.link' },
    { name: 'etc/.wh..wh..opq' },
    { name: 'etc/new', body: 'new' },
    { name: 'etc/sub/', type: 'directory' as const },
    { name: 'etc/sub/y', body: 'y' },
  ]
  const store = openImageStore(join(dir, 'store'), storeDeps)
  const [image] = await store.import(writeFolder(await oneImage('app', [BASE, upper]), join(dir, 'l')))
  const [lower, top] = image?.layers ?? []
  t.ok(isWhiteout(join(top ?? '', 'bin/link')))
  t.ok(isWhiteout(join(top ?? '', 'etc/old')))
  t.ok(isWhiteout(join(top ?? '', 'etc/sub/x')))
  t.same(readdirSync(join(top ?? '', 'etc')).sort(), ['new', 'old', 'sub'])
  const merged = join(dir, 'merged')
  mkdirSync(merged)
  const mounted = await systemExec.run('mount', ['-t', 'overlay', 'overlay', '-o', `ro,lowerdir=${top}:${lower}`, merged])
  if (mounted.code !== 0) return t.comment(`overlay cannot be mounted here: ${mounted.stderr}`)
  try {
    t.same(readdirSync(join(merged, 'etc')).sort(), ['new', 'sub'])
    t.same(readdirSync(join(merged, 'etc/sub')), ['y'])
    t.same(readdirSync(join(merged, 'bin')).sort(), ['app', 'hard'])
    await store.remove('app')
    t.ok(existsSync(lower ?? ''), 'layers of a mounted overlay stay')
  } finally {
    await systemExec.run('umount', [merged])
  }
})

t.test('the same layer over another stack is written out anew when it is opaque', { skip: asRoot ? false : 'needs root' }, async t => {
  const dir = t.testdir()
  const opaque = [{ name: 'etc/.wh..wh..opq' }, { name: 'etc/new', body: 'n' }]
  const store = openImageStore(join(dir, 'store'), storeDeps)
  const alone = await store.import(writeFolder(await oneImage('alone', [opaque]), join(dir, 'a')))
  const over = await store.import(writeFolder(await oneImage('over', [BASE, opaque]), join(dir, 'b')))
  t.notOk(existsSync(join(alone[0]?.layers[0] ?? '', 'etc/old')))
  t.ok(isWhiteout(join(over[0]?.layers[1] ?? '', 'etc/old')))
})

t.test('a directory deleted below and made anew shows nothing of the old', { skip: asRoot ? false : 'needs root' }, async t => {
  const dir = t.testdir()
  const store = openImageStore(join(dir, 'store'), storeDeps)
  const upper = [{ name: '.wh.etc' }, { name: 'etc/', type: 'directory' as const }, { name: 'etc/new', body: 'n' }]
  const [image] = await store.import(writeFolder(await oneImage('app', [BASE, upper]), join(dir, 'l')))
  t.ok(isWhiteout(join(image?.layers[1] ?? '', 'etc/old')))
  t.ok(isWhiteout(join(image?.layers[1] ?? '', 'etc/sub')))
})

t.test('a name moves to the newer image; the older stays until removed, shared layers as long as one needs them', async t => {
  const dir = t.testdir()
  const store = openImageStore(join(dir, 'store'), storeDeps)
  const [old] = await store.import(writeFolder(await oneImage('app', [BASE, [{ name: 'v1' }]]), join(dir, 'a')))
  const [now] = await store.import(writeFolder(await oneImage('app', [BASE, [{ name: 'v2' }]]), join(dir, 'b')))
  t.equal(store.resolve('app')?.id, now?.id)
  t.same(store.resolve(old?.id ?? '')?.names, [])
  t.equal(old?.layers[0], now?.layers[0])
  await store.remove(old?.id ?? '')
  t.equal(store.resolve(old?.id ?? ''), undefined)
  t.notOk(existsSync(old?.layers[1] ?? ''))
  t.ok(existsSync(now?.layers[0] ?? ''))
  await store.remove('app')
  t.same(store.list(), [])
  t.same(readdirSync(join(dir, 'store/layers')), [])
  await t.rejects(store.remove('app'), /remove image: app is not here/)
})

t.test('an archive made by skopeo is taken', async t => {
  const skopeo = systemExec.find('skopeo')
  if (skopeo === undefined) return t.comment('skopeo is not installed')
  const dir = t.testdir()
  writeFolder(await oneImage('localhost/app:1', [BASE]), join(dir, 'l'))
  for (const target of [`oci-archive:${dir}/o.tar:localhost/app:2`, `docker-archive:${dir}/d.tar:localhost/app:3`]) {
    const copied = await systemExec.run(skopeo, ['copy', '-q', '--insecure-policy', `oci:${dir}/l:localhost/app:1`, target], {
      env: { TMPDIR: dir },
    })
    t.equal(copied.code, 0, copied.stderr)
  }
  const store = openImageStore(join(dir, 'store'), storeDeps)
  await store.import(join(dir, 'o.tar'))
  await store.import(join(dir, 'd.tar'))
  t.equal(store.resolve('localhost/app:2')?.layers[0], store.resolve('localhost/app:3')?.layers[0])
  t.ok(existsSync(join(store.resolve('localhost/app:2')?.layers[0] ?? '', 'bin/app')))
})

t.test('opening clears what a killed import left, and falls back when the index is damaged', async t => {
  const dir = t.testdir()
  const store = join(dir, 'store')
  await openImageStore(store, storeDeps).import(writeFolder(await oneImage('a', [BASE]), join(dir, 'a')))
  await openImageStore(store, storeDeps).import(writeFolder(await oneImage('b', [[{ name: 'b' }]]), join(dir, 'b')))
  mkdirSync(join(store, 'scratch/layer/half'), { recursive: true })
  mkdirSync(join(store, 'layers/feedfacefeedfacefeedfacefeedface'))
  openImageStore(store, storeDeps)
  t.notOk(existsSync(join(store, 'scratch')))
  t.notOk(existsSync(join(store, 'layers/feedfacefeedfacefeedfacefeedface')))
  chmodSync(join(store, 'index.json'), 0o600)
  writeFileSync(join(store, 'index.json'), '{"version":1,"ima')
  const errors: string[] = []
  const damaged = openImageStore(store, { ...storeDeps, log: { ...storeDeps.log, error: message => errors.push(message) } })
  t.ok(damaged.resolve('a'))
  t.match(errors, ['image index damaged, using the one before it'])
  await damaged.import(join(dir, 'b'))
  t.ok(openImageStore(store, storeDeps).resolve('b'))
  t.ok(existsSync(join(store, 'index.damaged.json')))
})
