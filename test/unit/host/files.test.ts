import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeFolder, systemFiles } from '../../../src/host/files.ts'

t.test('a whole file is written with its folders, for its owner alone', async t => {
  const dir = join(t.testdir(), 'a/b')
  systemFiles.write(join(dir, 'f'), 'text', 0o600)
  t.equal(readFileSync(join(dir, 'f'), 'utf8'), 'text')
  t.same(
    [dir, join(dir, 'f')].map(path => statSync(path).mode & 0o777),
    [0o700, 0o600],
  )
  makeFolder(dir)
})

t.test('a folder that cannot be is refused, below a file as below what the system alone fills', async t => {
  const dir = t.testdir()
  writeFileSync(join(dir, 'f'), '')
  t.throws(() => makeFolder(join(dir, 'f')), { code: 'EEXIST' })
  t.throws(() => makeFolder(join(dir, 'f/g/h')), { code: 'EEXIST' })
  t.throws(() => makeFolder('/proc/none/such'), { code: 'ENOENT' })
  t.throws(() => systemFiles.write('/proc/none/such', '', 0o600), { code: 'ENOENT' })
})
