// After npm run package: what can be said of each file in seconds, those of other processors by qemu-user: versions, help, size, checksums,
// bill of materials, and that the signature check sees every kind of alteration. CI runs it on every target.

import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { sha256Of } from '../../scripts/package/shell.ts'
import type { Target } from '../../scripts/package/targets.ts'
import { type CommandResult, runAs } from '../e2e/cluster.ts'
import { actorOf, built, fileOf, folderFor, native, PACKAGE_DIR } from './built.ts'

const XZ_BYTES_MAX = 32 * 1024 * 1024
const ADDON_FOOTER_BYTES = 32

t.test('something has been packaged', async t => {
  t.not(built.length, 0, 'npm run package first')
})

/** Checks a file by a program that can be trusted: this machine's, where there is one. */
const verify = (target: Target, file: string, signature = `${fileOf(target)}.sig`): Promise<CommandResult> =>
  runAs(actorOf(native ?? target), ['version', '--verify', '--file', file, '--signature', signature])

/** Turns one bit round; the same again turns it back. */
const flip = (path: string, fromEnd: number): void => {
  const file = openSync(path, 'r+')
  const byte = Buffer.alloc(1)
  const at = fstatSync(file).size - fromEnd
  readSync(file, byte, 0, 1, at)
  writeSync(file, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, at)
  closeSync(file)
}

for (const target of built) {
  const actor = actorOf(target)
  t.test(`${target.name}: tells version, commit, target, Node and SQLite`, async t => {
    const { code, stdout, stderr } = await runAs(actor, ['version', '--client', '--output', 'json'])
    t.equal(code, 0, stderr)
    const { program } = JSON.parse(stdout) as { program: Record<string, unknown> }
    t.match(program, {
      version: /^\d+\.\d+\.\d+$/,
      commit: /^[0-9a-f]{40}/,
      target: target.name,
      packaged: true,
      node: target.node.version,
    })
    t.match(program['sqlite'], /^3\.\d+\.\d+$/)
  })

  t.test(`${target.name}: prints its help`, async t => {
    const { code, stdout } = await runAs(actor, ['--help'])
    t.equal(code, 0)
    t.match(stdout, /Usage: helio COMMAND/)
  })

  t.test(`${target.name}: checks the board it is on`, async t => {
    if (!/^ +check /m.test((await runAs(actor, ['--help'])).stdout)) return t.comment('this program has no check')
    const { code, stdout, stderr } = await runAs(actor, ['check', '--output', 'json'])
    t.ok(code === 0 || code === 1, 'it answers, whatever it thinks of this machine')
    t.type(JSON.parse(stdout), 'object', stderr)
  })

  t.test(`${target.name}: small enough, and its checksums, bill of materials and signature are those of the file`, async t => {
    const file = fileOf(target)
    const sha256 = sha256Of(readFileSync(file))
    t.ok(readFileSync(join(PACKAGE_DIR, 'SHA256SUMS'), 'utf8').includes(`${sha256}  ${basename(file)}\n`))
    if (existsSync(`${file}.xz`)) t.ok(statSync(`${file}.xz`).size <= XZ_BYTES_MAX)
    const sbom = JSON.parse(readFileSync(`${file}.cdx.json`, 'utf8')) as {
      metadata: { component: { hashes: { content: string }[] } }
      components: { name: string; version: string }[]
    }
    t.equal(sbom.metadata.component.hashes[0]?.content, sha256)
    for (const name of ['ws', 'yaml', 'mqtt', 'sqlite3', 'sqlite', target.node.package])
      t.ok(
        sbom.components.some(part => part.name === name && part.version !== ''),
        name,
      )
    const names = sbom.components.map(part => part.name)
    t.notOk(names.includes('tap') || names.includes('typescript'), 'nothing of development is in it')
    const { code, stdout, stderr } = await runAs(actor, ['version', '--verify'])
    if (!existsSync(`${file}.sig`)) return t.match(stderr, /built without a key/)
    t.equal(code, 0, stderr)
    t.match(stdout, sha256)
  })

  t.test(`${target.name}: an alteration is found wherever it is made`, async t => {
    const file = fileOf(target)
    if (!existsSync(`${file}.sig`)) return t.comment('packaged without a key')
    const copy = join(folderFor(t), 'helio')
    copyFileSync(file, copy)
    t.equal((await verify(target, copy)).code, 0)
    const { size } = statSync(copy)
    for (const [what, fromEnd] of Object.entries({ head: size - 7, middle: Math.floor(size / 2), addon: 100_000, footer: 2 })) {
      flip(copy, fromEnd)
      const { code, stdout, stderr } = await verify(target, copy)
      t.same([code, stdout], [1, ''], `a bit in the ${what}`)
      t.match(stderr, /bad signature .* the file has/)
      flip(copy, fromEnd)
    }
    appendFileSync(copy, readFileSync(copy).subarray(size - ADDON_FOOTER_BYTES))
    t.equal((await verify(target, copy)).code, 1, 'a second footer behind the first')
    truncateSync(copy, size - 1)
    t.equal((await verify(target, copy)).code, 1, 'a byte less')
  })

  t.test(`${target.name}: a signature is good for its own file alone`, async t => {
    const file = fileOf(target)
    if (!existsSync(`${file}.sig`)) return t.comment('packaged without a key')
    const signed = JSON.parse(readFileSync(`${file}.sig`, 'utf8')) as Record<string, unknown>
    const forged = join(folderFor(t), 'forged.sig')
    const changes = [{ version: '99.0.0' }, { target: 'linux-riscv64' }, { sizeBytes: 1 }, { signature: '' }, { keyId: '0'.repeat(16) }]
    for (const change of changes) {
      writeFileSync(forged, JSON.stringify({ ...signed, ...change }))
      const { code, stdout } = await verify(target, file, forged)
      t.same([code, stdout], [1, ''], JSON.stringify(change))
    }
    for (const other of built.filter(({ name }) => name !== target.name)) {
      const { code, stderr } = await verify(target, file, `${fileOf(other)}.sig`)
      t.equal(code, 1, `the signature of ${other.name}`)
      t.match(stderr, /bad signature/)
    }
    writeFileSync(forged, `${JSON.stringify(signed)}${' '.repeat(5000)}`)
    t.match((await verify(target, file, forged)).stderr, /more than 4096 bytes/)
    t.match((await verify(target, file, '/dev/zero')).stderr, /is no file/)
  })
}
