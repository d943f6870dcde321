// Users and groups of an image, as its layers stack them up, and never those of the device.

import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAccounts } from '../../../src/agent/image-accounts.ts'
import { image } from './model.ts'

const of = (layers: readonly string[]) => createAccounts()({ ...image('x'), layers })

t.test('the topmost layer that has the file decides', async t => {
  const root = t.testdir({ one: { etc: { passwd: 'one', group: 'g1' } }, two: { etc: { passwd: 'two' } }, three: {} })
  t.same(of(['one', 'two', 'three'].map(name => join(root, name))), { passwd: 'two', group: 'g1' })
  t.same(of([join(root, 'three')]), { passwd: '', group: '' })
})

t.test('links are not followed out of the image', async t => {
  const root = t.testdir({ file: { etc: {} }, folder: {} })
  symlinkSync('/etc/passwd', join(root, 'file/etc/passwd'))
  symlinkSync('/etc', join(root, 'folder/etc'))
  t.same(of([join(root, 'file')]), { passwd: '', group: '' })
  t.same(of([join(root, 'folder')]), { passwd: '', group: '' })
})
