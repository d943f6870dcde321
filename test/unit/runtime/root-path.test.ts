import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { hasProgram, makeMountPoint, resolveInRoot } from '../../../src/runtime/root-path.ts'

t.test('links inside an image never lead out of it', async t => {
  const root = mkdtempSync(join(tmpdir(), 'helio-root-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  mkdirSync(join(root, 'run'))
  mkdirSync(join(root, 'var'))
  symlinkSync('/run', join(root, 'var/run'))
  symlinkSync('../../../../etc', join(root, 'up'))
  symlinkSync('loop', join(root, 'loop'))
  t.equal(await resolveInRoot(root, '/var/run/secrets'), join(root, 'run/secrets'))
  t.equal(await resolveInRoot(root, '/up/passwd'), join(root, 'etc/passwd'))
  t.equal(await resolveInRoot(root, '/../../x'), join(root, 'x'))
  await t.rejects(resolveInRoot(root, '/loop/x'), /too many links/)

  writeFileSync(join(root, 'source'), '')
  t.equal(await makeMountPoint(root, '/var/run/token', join(root, 'source')), join(root, 'run/token'))
  t.ok(statSync(join(root, 'run/token')).isFile())
  t.ok(statSync(await makeMountPoint(root, '/var/run/dir', root)).isDirectory())

  writeFileSync(join(root, 'run/tool'), '', { mode: 0o755 })
  t.ok(await hasProgram(root, 'tool', '/', '/nowhere:/var/run'))
  t.ok(await hasProgram(root, './tool', '/run', ''))
  t.notOk(await hasProgram(root, '/bin/sh', '/', '/bin'), 'the host’s programs are not the image’s')
})
