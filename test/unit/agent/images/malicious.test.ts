import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openImageStore } from '../../../../src/agent/images/image-store.ts'
import { addImage, named, newLayout, oneImage, setIndex, storeDeps, type TarItem, tarOf, writeArchive, writeFolder } from './oci.ts'

const GOOD: TarItem[] = [{ name: 'good', body: 'good' }]

/** The store with one good image, and what must still be so after a refusal. */
const prepared = async (t: Test) => {
  const dir = t.testdir()
  const store = openImageStore(join(dir, 'store'), storeDeps)
  await store.import(writeFolder(await oneImage('good', [GOOD]), join(dir, 'good')))
  const look = () => ({ index: readFileSync(join(dir, 'store/index.json'), 'utf8'), layers: readdirSync(join(dir, 'store/layers')) })
  const before = look()
  const unchanged = (): void => {
    t.same(look(), before)
    t.notOk(existsSync(join(dir, 'store/scratch')))
    t.notOk(existsSync(join(dir, 'escaped')))
    t.ok(store.resolve('good'))
  }
  return { dir, store, unchanged }
}

const LAYERS: Record<string, { items: TarItem[]; error: RegExp }> = {
  'an absolute path': { items: [{ name: '/etc/passwd', body: 'x' }], error: /absolute path "\/etc\/passwd"/ },
  'a path with ..': { items: [{ name: 'a/../../../escaped', body: 'x' }], error: /leaves the layer/ },
  'a file written through a symlink': {
    items: [
      { name: 'a', type: 'symlink', linkname: '../../..' },
      { name: 'a/escaped', body: 'x' },
    ],
    error: /a\/escaped leads through a symlink/,
  },
  'a hard link to the outside': { items: [{ name: 'a', type: 'link', linkname: '../../../good/index.json' }], error: /leaves the layer/ },
  'a hard link through a symlink': {
    items: [
      { name: 'a', type: 'symlink', linkname: '/etc' },
      { name: 'b', type: 'link', linkname: 'a/passwd' },
    ],
    error: /leads through a symlink/,
  },
  'a whiteout of ..': { items: [{ name: 'a/.wh...' }], error: /whiteout of "\.\."/ },
  'a whiteout through a symlink': {
    items: [{ name: 'a', type: 'symlink', linkname: '../../..' }, { name: 'a/.wh.good' }],
    error: /leads through a symlink/,
  },
  'a path too deep': { items: [{ name: `${'d/'.repeat(200)}f`, body: 'x' }], error: /deeper than 128/ },
  'a name too long': { items: [{ name: 'n'.repeat(300), body: 'x' }], error: /longer than 255 bytes/ },
  'a file as its root': { items: [{ name: './', body: 'x', type: 'file' }], error: /root is not a directory|unpack/ },
}

for (const [what, { items, error }] of Object.entries(LAYERS)) {
  t.test(`refuses a layer with ${what} and changes nothing`, async t => {
    const { dir, store, unchanged } = await prepared(t)
    const path = writeFolder(await oneImage('bad', [GOOD, items]), join(dir, 'bad'))
    await t.rejects(store.import(path), { message: error })
    unchanged()
  })
}

t.test('a symlink may be replaced by a directory, and then be written into', async t => {
  const { dir, store } = await prepared(t)
  const items: TarItem[] = [
    { name: 'a', type: 'symlink', linkname: '/etc' },
    { name: 'a/', type: 'directory' },
    { name: 'a/f', body: 'inside' },
  ]
  const [image] = await store.import(writeFolder(await oneImage('ok', [items]), join(dir, 'ok')))
  t.equal(readFileSync(join(image?.layers[0] ?? '', 'a/f'), 'utf8'), 'inside')
})

t.test('a known directory replaced by a symlink is not written through', async t => {
  const { dir, store, unchanged } = await prepared(t)
  const items: TarItem[] = [
    { name: 'a/b/', type: 'directory' },
    { name: 'a/b/one', body: '1' },
    { name: 'a', type: 'symlink', linkname: '../../..' },
    { name: 'a/b/escaped', body: 'x' },
  ]
  await t.rejects(store.import(writeFolder(await oneImage('bad', [items]), join(dir, 'bad'))), /leads through a symlink/)
  unchanged()
})

t.test('refuses blobs whose bytes are not what their digest says', async t => {
  const { dir, store, unchanged } = await prepared(t)
  for (const which of ['manifest', 'config', 'layer'] as const) {
    const layout = newLayout()
    const descriptor = addImage(layout, [await tarOf([{ name: 'f', body: 'f'.repeat(5000) }])], { compress: 'none' })
    setIndex(layout, [named(descriptor, 'bad')])
    const manifest = JSON.parse(layout.files.get(`blobs/sha256/${descriptor.digest.slice(7)}`)?.toString() ?? '')
    const digest: string =
      which === 'manifest' ? descriptor.digest : which === 'config' ? manifest.config.digest : manifest.layers[0].digest
    const bytes = layout.files.get(`blobs/sha256/${digest.slice(7)}`)!
    // One byte of the file's body, or of a JSON string, so that it still parses.
    const at = which === 'layer' ? 600 : bytes.indexOf('linux') === -1 ? bytes.indexOf('vnd') : bytes.indexOf('linux')
    bytes[at] = bytes[at]! ^ 1
    await t.rejects(store.import(writeFolder(layout, join(dir, which))), /verify (manifest|config|layer).*have digest/, which)
    unchanged()
  }
})

t.test('refuses a layer that unpacks to something else than its config says, a missing blob and a wrong size', async t => {
  const { dir, store, unchanged } = await prepared(t)
  const other = await oneImage('bad', [[{ name: 'f' }]], { diffIds: [`sha256:${'0'.repeat(64)}`] })
  await t.rejects(store.import(writeFolder(other, join(dir, 'a'))), /it unpacks to sha256:/)
  const missing = await oneImage('bad', [[{ name: 'g' }]])
  const layer = [...missing.files.keys()].find(name => name.startsWith('blobs/'))!
  missing.files.delete(layer)
  await t.rejects(store.import(writeFolder(missing, join(dir, 'b'))), /is not in the archive/)
  const layout = newLayout()
  const descriptor = addImage(layout, [await tarOf([{ name: 'h' }])])
  setIndex(layout, [named({ ...descriptor, size: descriptor.size + 1 }, 'bad')])
  await t.rejects(store.import(writeFolder(layout, join(dir, 'c'))), /its descriptor says/)
  unchanged()
})

t.test('refuses garbage with one line', async t => {
  const { dir, store, unchanged } = await prepared(t)
  const cases: [string, Buffer, RegExp][] = [
    ['text', Buffer.from('hello'.repeat(300)), /not a tar file/],
    ['empty', Buffer.alloc(0), /neither index.json/],
    ['cut', (await tarOf([{ name: 'index.json', body: 'x'.repeat(5000) }])).subarray(0, 2048), /ends in the middle/],
    ['json', await tarOf([{ name: 'index.json', body: '[]' }]), /index.json: not a JSON object/],
    ['list', await tarOf([{ name: 'index.json', body: '{}' }]), /index.json: no manifests/],
    ['digest', await tarOf([{ name: 'index.json', body: '{"manifests":[{"digest":"md5:1","size":1}]}' }]), /is not sha256/],
  ]
  for (const [name, bytes, error] of cases) {
    writeFileSync(join(dir, name), bytes)
    await t.rejects(store.import(join(dir, name)), error, name)
  }
  await t.rejects(store.import(join(dir, 'nowhere')), /ENOENT/)
  const gz = await writeArchive(await oneImage('bad', [GOOD]), join(dir, 'x.tgz'), true)
  writeFileSync(gz, readFileSync(gz).subarray(0, 200))
  await t.rejects(store.import(gz), /decompress archive/)
  unchanged()
})

t.test('an aborted import leaves nothing', async t => {
  const { dir, store, unchanged } = await prepared(t)
  const path = writeFolder(
    await oneImage('bad', [[{ name: 'f', body: Buffer.alloc(3_000_000, 'x') }]], { compress: 'none' }),
    join(dir, 'l'),
  )
  const abort = new AbortController()
  await t.rejects(store.import(path, { signal: abort.signal, onProgress: () => abort.abort(new Error('enough')) }), /enough/)
  unchanged()
})
