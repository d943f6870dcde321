import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openImageStore } from '../../../../src/agent/images/image-store.ts'
import { oneImage, storeDeps, writeFolder } from './oci.ts'

const STORE = new URL('../../../../src/agent/images/image-store.ts', import.meta.url).href
const OCI = new URL('./oci.ts', import.meta.url).href

const CODE = `
import { openImageStore } from ${JSON.stringify(STORE)}
import { storeDeps } from ${JSON.stringify(OCI)}
const [dir, path, at] = process.argv.slice(1)
let calls = 0
await openImageStore(dir, storeDeps).import(path, { onProgress: () => { if (calls++ === Number(at)) process.kill(process.pid, 'SIGKILL') } })
`

t.test('killed at any step of an import, the store opens with the old images whole and takes the import again', async t => {
  const dir = t.testdir()
  const store = join(dir, 'store')
  await openImageStore(store, storeDeps).import(writeFolder(await oneImage('old', [[{ name: 'old', body: 'old' }]]), join(dir, 'old')))
  const body = Buffer.from(Array.from({ length: 400_000 }, (_, i) => (i * 2654435761) >>> 24))
  const path = writeFolder(
    await oneImage('new', [[{ name: 'a', body }], [{ name: 'b', body }, { name: '.wh.a' }]], { compress: 'none' }),
    join(dir, 'new'),
  )
  for (let at = 0; at < 6; at++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', CODE, store, path, String(at)], { stdio: 'inherit' })
    const [code, signal] = await once(child, 'exit')
    const opened = openImageStore(store, storeDeps)
    const old = opened.resolve('old')
    t.equal(readFileSync(join(old?.layers[0] ?? '', 'old'), 'utf8'), 'old', `step ${at}`)
    t.notOk(existsSync(join(store, 'scratch')))
    if (signal !== 'SIGKILL') {
      t.equal(code, 0)
      t.ok(opened.resolve('new'))
      await opened.remove('new')
    } else t.equal(readdirSync(join(store, 'layers')).length, 1, 'no garbage')
  }
  const again = openImageStore(store, storeDeps)
  const [image] = await again.import(path)
  t.equal(image?.layers.length, 2)
})
