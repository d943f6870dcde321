// A file becomes a device's program only when its form, machine and signature are right; unsigned ones only when that is asked for, loudly.

import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { targetOf } from '../../src/agent/slots/executable.ts'
import { systemPki } from '../../src/host/pki.ts'
import { checkProgram } from '../../src/main-program-check.ts'
import { signProgram } from '../../src/main-signature.ts'

const TARGET = targetOf(process.arch)

const begin = (t: { teardown(fn: () => void): void }) => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-check-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'helio')
  writeFileSync(file, '#!/bin/sh\n')
  const keys = generateKeyPairSync('ed25519')
  const pem = keys.publicKey.export({ type: 'spki', format: 'pem' })
  const sign = (key: KeyObject = keys.privateKey, target = TARGET): void => {
    const bytes = readFileSync(file)
    const program = { target, version: '2.0.0', sizeBytes: bytes.length, sha256: systemPki.sha256(bytes) }
    writeFileSync(`${file}.sig`, JSON.stringify(signProgram(program, key)))
  }
  const trust = (): void => {
    mkdirSync(join(dir, 'trusted-keys'))
    writeFileSync(join(dir, 'trusted-keys/release.pem'), pem)
  }
  const notes: string[] = []
  const check = (more: { allowUnsigned?: boolean; publicKey?: string; signature?: string } = {}) =>
    checkProgram(
      {
        dataDir: dir,
        file,
        signature: undefined,
        publicKey: undefined,
        dryRun: false,
        restart: false,
        wait: false,
        allowDowngrade: false,
        allowUnsigned: false,
        force: false,
        steadySeconds: 60,
        deadlineSeconds: 300,
        ...more,
      },
      { progress: () => {}, note: text => notes.push(text) },
      new AbortController().signal,
    )
  return { dir, file, keys, pem, sign, trust, notes, check }
}

t.test('an unsigned file is refused, and taken with a warning when that is asked for', async t => {
  const { check, notes } = begin(t)
  await t.rejects(check(), { message: /is not signed/, hint: /--allow-unsigned/ })
  t.match(await check({ allowUnsigned: true }), { signature: undefined, script: true, sizeBytes: 10 })
  t.match(notes, [/^WARNING: .* is not signed.*run as root/])
})

t.test('a signature by a key of this device is good, or by a key that is named', async t => {
  const { check, sign, trust, dir, pem } = begin(t)
  sign()
  await t.rejects(check(), { message: /which this device does not trust/, hint: /trusted-keys/ })
  writeFileSync(join(dir, 'key.pem'), pem)
  t.match((await check({ publicKey: join(dir, 'key.pem') })).signature, { version: '2.0.0', target: TARGET })
  trust()
  t.match((await check()).signature, { version: '2.0.0' })
})

t.test('a signature that does not fit is refused, also where unsigned files are taken', async t => {
  const { check, sign, trust, file, keys } = begin(t)
  trust()
  sign()
  writeFileSync(file, '#!/bin/su\n')
  await t.rejects(check({ allowUnsigned: true }), { message: /bad signature .*it is for SHA-256/ })
  sign()
  const forged = JSON.parse(readFileSync(`${file}.sig`, 'utf8')) as Record<string, unknown>
  writeFileSync(`${file}.sig`, JSON.stringify({ ...forged, version: '9.0.0' }))
  await t.rejects(check({ allowUnsigned: true }), { message: /forged or damaged/ })
  sign(keys.privateKey, 'linux-riscv64')
  await t.rejects(check(), { message: /is signed for linux-riscv64/ })
  writeFileSync(`${file}.sig`, 'x'.repeat(5000))
  await t.rejects(check({ allowUnsigned: true }), { message: /read signature/ })
  sign(generateKeyPairSync('ed25519').privateKey)
  await t.rejects(check(), { message: /does not trust/ })
  await t.rejects(check({ signature: `${file}.none` }), { message: /read signature/ })
})

t.test('what is no program, too large, or not there is refused before it is read', async t => {
  const { check, file } = begin(t)
  await t.rejects(check({ signature: '/dev/zero' }), { message: /read signature: \/dev\/zero is no file/ })
  truncateSync(file, 300 * 1024 * 1024)
  await t.rejects(check({ allowUnsigned: true }), { message: /at most \d+ are taken/ })
  writeFileSync(file, 'PK')
  await t.rejects(check({ allowUnsigned: true }), { message: /neither an ELF executable nor a script/ })
  rmSync(file)
  await t.rejects(check({ allowUnsigned: true }), { message: /there is no file/ })
  mkdirSync(file)
  await t.rejects(check({ allowUnsigned: true }), { message: /is no file/ })
})
