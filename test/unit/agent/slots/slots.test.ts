// Programs come into the slots whole, verified and beside what runs; what an upgrade that was cut left behind is gone afterwards.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { executableOf, whyNot } from '../../../../src/agent/slots/executable.ts'
import {
  commitTrial,
  emptySlot,
  freeSlot,
  installSlot,
  lockSlots,
  noteBad,
  noteStarts,
  readSlots,
  removeLeftovers,
  settleProgram,
  slotProgram,
  stageProgram,
  switchSlot,
} from '../../../../src/agent/slots/slots.ts'
import { isOlder } from '../../../../src/agent/slots/version-order.ts'
import { systemFiles } from '../../../../src/host/files.ts'
import { newDataDir } from './folder.ts'

const deps = { files: systemFiles }
const TIMES = { steadySeconds: 60, deadlineSeconds: 300 }
const FACTS = { version: '1.0.0', target: 'linux-x64' }

/** A data folder, and a script of these words beside it. */
const begin = (t: { teardown(fn: () => void): void }) => {
  const dataDir = newDataDir()
  t.teardown(() => rmSync(dirname(dataDir), { recursive: true }))
  const script = (words: string): string => {
    const folder = join(dirname(dataDir), words)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'helio'), `#!/bin/sh\necho ${words}\n`)
    return join(folder, 'helio')
  }
  return { dataDir, script }
}

const sum = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')

t.test('the first program goes into slot a, executable for all; the next into b, and a is not touched', async t => {
  const { dataDir, script } = begin(t)
  t.match(readSlots(deps, dataDir), { current: undefined, starts: undefined, trial: undefined, bad: [] })
  const first = await installSlot(deps, dataDir, { file: script('one'), ...FACTS })
  t.match(first, { slot: 'a', sha256: sum(script('one')), version: '1.0.0' })
  t.equal(readSlots(deps, dataDir).current, undefined, 'nothing is switched yet')
  switchSlot(deps, dataDir, 'a')
  t.equal(statSync(slotProgram(dataDir, 'a')).mode & 0o777, 0o755)
  const second = await installSlot(deps, dataDir, { file: script('two'), ...FACTS, version: '1.1.0' })
  t.equal(second.slot, 'b')
  t.match(readSlots(deps, dataDir), {
    current: 'a',
    starts: 'a',
    slots: { a: { about: { version: '1.0.0' } }, b: { about: { version: '1.1.0' } } },
  })
  switchSlot(deps, dataDir, 'b', TIMES)
  t.match(readSlots(deps, dataDir), { current: 'b', trial: { slot: 'b', version: '1.1.0', starts: { server: 0, agent: 0 }, ...TIMES } })
  commitTrial(deps, join(dataDir, 'slots'))
  t.match(readSlots(deps, dataDir), { current: 'b', trial: undefined })
})

t.test('a script brings its addon along, an executable nothing', async t => {
  const { dataDir, script } = begin(t)
  const file = script('one')
  writeFileSync(join(dirname(file), 'node_sqlite3.node'), 'addon')
  await installSlot(deps, dataDir, { file, ...FACTS })
  t.same(readdirSync(join(dataDir, 'slots/a')).sort(), ['about', 'helio', 'node_sqlite3.node'])
})

t.test('a file that is not the one that was checked is not taken, and leaves nothing', async t => {
  const { dataDir, script } = begin(t)
  await t.rejects(stageProgram(deps, dataDir, { file: script('one'), sha256: '0'.repeat(64) }), { message: /changed while it was copied/ })
  await t.rejects(stageProgram(deps, dataDir, { file: dataDir }), { message: /is no file/ })
  await t.rejects(stageProgram(deps, dataDir, { file: script('one'), signal: AbortSignal.abort() }))
  const large = script('large')
  truncateSync(large, 257 * 1024 * 1024)
  await t.rejects(stageProgram(deps, dataDir, { file: large }), { message: /more than \d+ bytes/ })
  t.same(readdirSync(join(dataDir, 'slots')), [])
})

t.test('what a cut left beside the slots is removed, and a staged program is nothing until it is settled', async t => {
  const { dataDir, script } = begin(t)
  await installSlot(deps, dataDir, { file: script('one'), ...FACTS })
  switchSlot(deps, dataDir, 'a')
  const staged = await stageProgram(deps, dataDir, { file: script('two') })
  t.match(readSlots(deps, dataDir).slots.b, { runnable: false })
  writeFileSync(join(dataDir, 'slots/current.123.tmp'), 'b')
  removeLeftovers(dataDir)
  t.notOk(existsSync(staged.path))
  t.same(readdirSync(join(dataDir, 'slots')).sort(), ['a', 'current'])
  t.throws(() => switchSlot(deps, dataDir, 'b', TIMES), { message: /holds no program/ })
})

t.test('the slot that runs is never emptied, nor is it the free one', async t => {
  const { dataDir, script } = begin(t)
  await installSlot(deps, dataDir, { file: script('one'), ...FACTS })
  writeFileSync(join(dataDir, 'slots/current'), 'torn\0')
  t.equal(freeSlot(readSlots(deps, dataDir)), 'b', 'although nothing says which runs')
  t.throws(() => emptySlot(deps, dataDir, 'a'), { message: /it is the one that runs/ })
  switchSlot(deps, dataDir, 'a')
  const staged = await stageProgram(deps, dataDir, { file: script('two') })
  settleProgram(deps, dataDir, staged, FACTS)
  emptySlot(deps, dataDir, 'b')
  t.match(readSlots(deps, dataDir), { current: 'a', slots: { b: { runnable: false } } })
})

t.test('one process changes the slots at a time', async t => {
  const { dataDir } = begin(t)
  const lock = lockSlots(dataDir)
  t.throws(() => lockSlots(dataDir), { message: /is upgrading .* already/ })
  lock.release()
  lockSlots(dataDir).release()
})

t.test('bad programs are remembered, and damaged files are read as what is left of them', async t => {
  const { dataDir, script } = begin(t)
  const { sha256 } = await installSlot(deps, dataDir, { file: script('one'), ...FACTS })
  noteBad(deps, dataDir, { sha256, version: '1.0.0', reason: 'it fails' })
  t.match(readSlots(deps, dataDir), { bad: [{ sha256, version: '1.0.0', reason: 'it fails' }], slots: { a: { bad: true } } })
  switchSlot(deps, dataDir, 'a', TIMES)
  writeFileSync(join(dataDir, 'slots/trial'), '\0'.repeat(100_000))
  t.match(readSlots(deps, dataDir).trial, { slot: 'a', sha256, version: '1.0.0' })
  noteStarts(deps, join(dataDir, 'slots'), 'agent', 2)
  t.equal(readSlots(deps, dataDir).trial?.starts.agent, 2)
  for (const name of ['bad', 'trial.agent', 'a/about']) {
    rmSync(join(dataDir, 'slots', name))
    mkdirSync(join(dataDir, 'slots', name))
  }
  t.match(readSlots(deps, dataDir), { starts: 'a', bad: [] }, 'folders in the place of files')
})

t.test('the header of a program says for which machine it is, and whether the file is all there', async t => {
  const elf = Buffer.alloc(120)
  elf.write('\x7fELF\x02\x01\x01', 'latin1')
  elf.writeUInt16LE(0xb7, 18)
  elf.writeBigUInt64LE(64n, 32)
  elf.writeUInt16LE(56, 54)
  elf.writeUInt16LE(1, 56)
  elf.writeBigUInt64LE(4096n, 64 + 8)
  elf.writeBigUInt64LE(1000n, 64 + 32)
  t.same(executableOf(elf), { form: 'elf', arch: 'arm64', endBytes: 5096 })
  t.equal(whyNot(elf, 6000, 'arm64'), undefined)
  t.match(whyNot(elf, 5000, 'arm64'), /cut short: 5000 of at least 5096 bytes/)
  t.match(whyNot(elf, 6000, 'x64'), /it is for linux-arm64, this device is linux-x64/)
  t.match(whyNot(elf, 6000, 'arm'), /this device is linux-armv7/)
  t.equal(whyNot(Buffer.from('#!/bin/sh\n'), 10), undefined)
  t.match(whyNot(Buffer.from('MZ'), 2), /neither an ELF executable nor a script/)
  t.match(whyNot(elf.subarray(0, 20), 20), /cut short/)
})

t.test('versions are ordered as semver orders them; what is none is not older', async t => {
  const rising = [
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.0.1',
    '1.2.0',
    '1.10.0',
    '2.0.0',
  ]
  for (const [i, a] of rising.entries()) for (const [j, b] of rising.entries()) t.equal(isOlder(a, b), i < j, `${a} < ${b}`)
  t.notOk(isOlder('1.0.0+a', '1.0.0+b'))
  t.notOk(isOlder('unknown', '1.0.0'))
  t.notOk(isOlder('1.0.0', 'unknown'))
})
