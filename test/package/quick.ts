// After npm run package: what can be said of each file in seconds, those of other processors by qemu-user: versions, help, size, checksums,
// bill of materials, and that the signature check sees every kind of alteration. CI runs it on every target.

import { appendFileSync, copyFileSync, existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { sha256Of } from '../../scripts/package/shell.ts'
import type { Target } from '../../scripts/package/targets.ts'
import { type CommandResult, runAs } from '../e2e/cluster.ts'
import { actorOf, built, fileOf, folderFor, PACKAGE_DIR } from './built.ts'

const XZ_BYTES_MAX = 32 * 1024 * 1024
const ADDON_FOOTER_BYTES = 32

t.test('something has been packaged', async t => {
  t.not(built.length, 0, 'npm run package first')
})

/** Changes a copy of the file and its signature, and checks it. */
const verifyChanged = async (
  t: Parameters<typeof folderFor>[0],
  target: Target,
  change: (copy: string, signature: string) => void,
): Promise<CommandResult> => {
  const copy = join(folderFor(t), 'helio')
  copyFileSync(fileOf(target), copy)
  copyFileSync(`${fileOf(target)}.sig`, `${copy}.sig`)
  change(copy, `${copy}.sig`)
  return runAs(actorOf(target, copy), ['version', '--verify'])
}

const flip = (file: string, fromEnd: number): void => {
  const bytes = readFileSync(file)
  const at = bytes.length - fromEnd
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(file, bytes)
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
    if (!existsSync(`${file}.sig`)) return t.match(stderr, /packaged without a key/)
    t.equal(code, 0, stderr)
    t.match(stdout, sha256)
  })

  t.test(`${target.name}: an alteration is found wherever it is made`, async t => {
    const file = fileOf(target)
    if (!existsSync(`${file}.sig`)) return t.comment('packaged without a key')
    const { size } = statSync(file)
    // Node's own code, the addon, what follows the addon.
    const places = { 'in the middle': Math.floor(size / 2), 'in the addon': 100_000, 'in the footer': 2 }
    for (const [what, fromEnd] of Object.entries(places)) {
      const { code, stderr } = await verifyChanged(t, target, copy => flip(copy, fromEnd))
      t.not(code, 0, `a bit ${what}`)
      t.notMatch(stderr, /Signature: good/)
    }
    const appended = await verifyChanged(t, target, copy => appendFileSync(copy, readFileSync(file).subarray(size - ADDON_FOOTER_BYTES)))
    t.not(appended.code, 0, 'a second footer behind the first')
    const short = await verifyChanged(t, target, copy => truncateSync(copy, size - 1))
    t.not(short.code, 0, 'a byte less')
  })

  t.test(`${target.name}: a signature is good for its own file alone`, async t => {
    const file = fileOf(target)
    if (!existsSync(`${file}.sig`)) return t.comment('packaged without a key')
    const signed = JSON.parse(readFileSync(`${file}.sig`, 'utf8')) as Record<string, unknown>
    const forge = (change: Record<string, unknown>) => (_: string, signature: string) =>
      writeFileSync(signature, JSON.stringify({ ...signed, ...change }))
    for (const change of [
      { version: '99.0.0' },
      { target: 'linux-riscv64' },
      { sizeBytes: 1 },
      { signature: '' },
      { keyId: '0'.repeat(16) },
    ]) {
      const { code, stdout } = await verifyChanged(t, target, forge(change))
      t.equal(code, 1, JSON.stringify(change))
      t.equal(stdout, '')
    }
    for (const other of built.filter(({ name }) => name !== target.name)) {
      const { code, stderr } = await verifyChanged(t, target, (_, signature) => copyFileSync(`${fileOf(other)}.sig`, signature))
      t.equal(code, 1, `the signature of ${other.name}`)
      t.match(stderr, /bad signature/)
    }
  })
}
