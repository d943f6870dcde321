// Pre-loaded manifests: what becomes of them on a device that no server has spoken to, and that they end with a server's first document.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readPreload } from '../../../src/agent/preload.ts'
import { hasPreload, replacePreload } from '../../../src/agent/preload-folder.ts'
import { systemFiles } from '../../../src/host/files.ts'
import { openBench } from './bench.ts'

const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: main, image: "app:1"}]}\n'
const MAP = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: page}\ndata: {a: b}\n'

const folder = (t: { teardown(fn: () => void): void }, files: Readonly<Record<string, string>>): string => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-preload-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  give(dir, files)
  return dir
}
const give = (dir: string, files: Readonly<Record<string, string>>): void => {
  mkdirSync(join(dir, 'preload'), { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, 'preload', name), text)
}
const read = (dir: string, device = 'tower-1') => readPreload({ dir, files: systemFiles }, { device })

t.test('manifests become the document of the device, with what a server would have filled in', async t => {
  const { document, problems } = await read(folder(t, { 'a.yaml': `${POD}---\n${MAP}` }))
  t.strictSame(problems, [])
  t.equal(document?.pods[0]?.spec.nodeName, 'tower-1')
  t.equal(document?.pods[0]?.spec.restartPolicy, 'Always')
  t.equal(document?.pods[0]?.metadata.namespace, 'default')
  t.equal(document?.configMaps[0]?.metadata.name, 'page')
  t.equal(document?.podCIDR, '10.42.0.0/24')
})

t.test('a pod keeps its uid over starts and has another on another device or with another manifest', async t => {
  const dir = folder(t, { 'a.yaml': POD })
  const uid = async (where: string, device?: string) => (await read(where, device)).document?.pods[0]?.metadata.uid
  const first = await uid(dir)
  t.match(first, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
  t.equal(await uid(dir), first)
  give(dir, { '0.yaml': MAP, 'a.yaml': `# a comment\n${POD}` })
  t.equal(await uid(dir), first, 'what stands beside it does not matter')
  t.not(await uid(dir, 'tower-2'), first)
  give(dir, { 'a.yaml': POD.replace('app:1', 'app:2') })
  t.not(await uid(dir), first)
})

t.test('a broken manifest is named and does not stop the others', async t => {
  const dir = folder(t, {
    'a.yaml': 'a: [\n',
    'b.yaml': `${POD.replace('web', 'Web')}---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {name: d}\n---\n- 1\n---\n${POD}`,
    'c.yaml': POD,
    'd.yml': POD.replace('containers:', 'cotainers: [], containers:').replace('web', 'typo'),
    'e.yaml': POD.replace('web', 'other').replace('spec: {', 'spec: {nodeName: elsewhere, '),
    'f.yaml': 'apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n',
    'g.yaml': `${POD.replace('web', 'big')}#${'x'.repeat(2 * 1024 * 1024)}\n`,
    'notes.txt': 'not a manifest',
    '.hidden.yaml': 'a: [\n',
  })
  mkdirSync(join(dir, 'preload/folder.yaml'))
  const { document, problems } = await read(dir)
  t.strictSame(
    document?.pods.map(pod => pod.metadata.name),
    ['web'],
  )
  const expected = [
    /^preload\/a\.yaml: /,
    /^preload\/g\.yaml: read .*2097152 are allowed/,
    /^preload\/b\.yaml: Pod Web: metadata\.name/,
    /^preload\/b\.yaml: apps\/v1 Deployment: only Pod, ConfigMap and Secret/,
    /^preload\/c\.yaml: Pod default\/web is there already/,
    /^preload\/d\.yml: .*cotainers/,
    /^preload\/e\.yaml: Pod other: it is for node elsewhere/,
    /^preload\/b\.yaml: a document is not an object/,
  ]
  for (const each of expected)
    t.ok(
      problems.some(problem => each.test(problem)),
      `${each} among ${problems.join(' ; ')}`,
    )
  t.equal(problems.length, expected.length)
})

t.test('without manifests there is no document, and none after a server’s came', async t => {
  const dir = folder(t, {})
  t.equal((await read(dir)).document, undefined)
  give(dir, { 'a.yaml': MAP })
  t.equal((await read(dir)).document, undefined, 'a ConfigMap alone runs nothing')
  give(dir, { 'b.yaml': POD })
  t.equal(hasPreload(dir), true)
  replacePreload(dir, systemFiles)
  t.equal(hasPreload(dir), false)
  t.equal((await read(dir)).document, undefined)
  t.equal(hasPreload(join(dir, 'nowhere')), false)
})

t.test('pre-loaded pods run before any server, are adopted by the next agent, and give way to a server’s document', async t => {
  const b = openBench(t.teardown)
  give(b.dir, { 'a.yaml': POD, 'b.yaml': 'a: [\n' })
  const running = () =>
    b.device
      .inspect()
      .containers.filter(each => each.state === 'running')
      .map(each => each.id)
  const first = await b.start()
  await b.until('the pod runs', () => running().length === 1)
  const ids = running()
  await first.close()
  await b.join()
  const second = await b.start()
  await b.until('the link', () => b.hooks !== undefined)
  t.strictSame(running(), ids, 'the same container, joined or not')
  await b.give({
    apiVersion: 'heliopause.io/v1',
    kind: 'DeviceDocument',
    device: 'tower-1',
    podCIDR: '10.42.3.0/24',
    clusterCIDR: '10.42.0.0/16',
    pods: [],
    configMaps: [],
    secrets: [],
  })
  await b.until('it gave way', () => running().length === 0)
  t.ok(existsSync(join(b.dir, 'preload/replaced')))
  await second.close()
  const third = await b.start()
  t.strictSame(running(), [], 'for good')
  await third.close()
})
