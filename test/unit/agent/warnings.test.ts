// What the operator is told by the device's own status: a disk that is full, memory that is short.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openMemory } from '../../../src/agent/memory.ts'
import { shortages } from '../../../src/agent/node-status.ts'
import { silentLog } from '../../../src/base/log.ts'
import { systemFiles } from '../../../src/host/files.ts'
import { FACTS, SEALER } from './bench.ts'
import { document, pod } from './model.ts'

t.test(
  'a full disk is told with its cause, what was there stays, and the warning goes when there is room',
  {
    skip: process.getuid?.() === 0 ? false : 'a small file system can be mounted by root only',
  },
  async t => {
    const dir = mkdtempSync(join(tmpdir(), 'helio-small-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', dir])
    t.teardown(() => {
      execFileSync('umount', ['-l', dir])
      rmdirSync(dir)
    })
    const open = () => openMemory({ dir, files: systemFiles, log: silentLog, sealer: SEALER })
    const memory = await open()
    const head = { epoch: 'e', generation: 1, sha256: '', size: 0, sig: '' }
    await memory.link.save(head, document([pod('a')]))
    t.throws(() => writeFileSync(join(dir, 'filler'), Buffer.alloc(4 << 20)), { code: 'ENOSPC' })
    await t.rejects(memory.saveFact('big', 'x'.repeat(10)))
    t.match(memory.warnings, [/^the device’s state cannot be written \(what runs goes on\): .*(full|disk I\/O)/])
    rmSync(join(dir, 'filler'))
    await memory.saveFact('big', 'y')
    t.same(memory.warnings, [])
    await memory.close()
    const again = await open()
    t.equal(again.held?.document.pods[0]?.metadata.name, 'a')
    t.equal(again.fact('big'), 'y')
    await again.close()
  },
)

t.test('what the machine is short of comes with figures', t => {
  t.same(shortages(FACTS), [])
  t.same(shortages({ ...FACTS, diskFreeBytes: 5 * 2 ** 20 }), ['the disk is nearly full: 5 MiB of 16384 MiB are free'])
  t.same(shortages({ ...FACTS, memoryAvailableBytes: 2 ** 20 }), ['memory is short: 1 MiB of 2048 MiB are available'])
  t.end()
})
