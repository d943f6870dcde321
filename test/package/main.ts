// npm run test:package (tap --timeout=1800), after npm run package: what is promised of the files under build/, tried on each of them; those of other
// processors by qemu-user. Needs root to try the executable in a root folder that holds nothing but the C library.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { sha256Of, run as shell } from '../../scripts/package/shell.ts'
import { TARGETS, type Target } from '../../scripts/package/targets.ts'
import { type Actor, freePort, run, runAs, startAs, temporaryDir, wipe } from '../e2e/cluster.ts'

const BUILD = join(import.meta.dirname, '../../build')
const fileOf = ({ name }: Target): string => join(BUILD, `helio-${name}`)
const built = TARGETS.filter(target => existsSync(fileOf(target)))
const actorOf = (target: Target, file = fileOf(target)): Actor => {
  const [command = '', ...args] = [...target.emulator, file]
  return { command, args }
}

const folder = (t: Test): string => {
  const dir = temporaryDir()
  t.teardown(() => wipe(dir))
  return dir
}

t.test('something has been packaged', async t => {
  t.not(built.length, 0, 'npm run package first')
})

for (const target of built) {
  const actor = actorOf(target)
  t.test(`${target.name}: tells version, commit, target, Node and SQLite`, async t => {
    const { code, stdout } = await runAs(actor, ['version', '--client', '--output', 'json'])
    t.equal(code, 0)
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
    const { code, stdout } = await runAs(actor, ['help'])
    t.equal(code, 0)
    t.match(stdout, /Usage: helio COMMAND/)
  })

  t.test(`${target.name}: a server is ready, answers, and keeps what was written over a restart`, async t => {
    const dir = folder(t)
    const port = await freePort()
    const words = ['server', '--data-dir', dir, '--port', String(port), '--no-agent']
    const kubeconfig = ['--kubeconfig', join(dir, 'kubeconfig')]
    const first = await startAs(actor, ...words)
    t.teardown(() => first.kill())
    t.equal((await runAs(actor, ['create', 'namespace', 'kept', ...kubeconfig])).code, 0)
    t.equal(await first.stop(), 0)
    const second = await startAs(actor, ...words)
    t.teardown(() => second.kill())
    const { stdout } = await runAs(actor, ['get', 'namespaces', ...kubeconfig])
    t.match(stdout, /^kept +Active/m)
    t.equal(await second.stop(), 0)
  })

  t.test(`${target.name}: checksums, bill of materials and signature are those of the file`, async t => {
    const file = fileOf(target)
    const sha256 = sha256Of(readFileSync(file))
    t.ok(readFileSync(join(BUILD, 'SHA256SUMS'), 'utf8').includes(`${sha256}  ${basename(file)}\n`))
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

  t.test(`${target.name}: a changed byte is found`, async t => {
    const file = fileOf(target)
    if (!existsSync(`${file}.sig`)) return t.comment('packaged without a key')
    const copy = join(folder(t), 'helio')
    const bytes = readFileSync(file)
    const at = bytes.length - 1000
    bytes[at] = (bytes[at] ?? 0) ^ 1
    writeFileSync(copy, bytes, { mode: 0o755 })
    copyFileSync(`${file}.sig`, `${copy}.sig`)
    const { code, stderr } = await runAs(actorOf(target, copy), ['version', '--verify'])
    t.equal(code, 1)
    t.match(stderr, /bad signature .*the file has/)
  })
}

t.test('runs with nothing but the C library and an environment without a word', async t => {
  const [native] = built.filter(target => target.emulator.length === 0)
  if (native === undefined || process.getuid?.() !== 0) return t.comment('no file for this processor, or not root')
  const root = folder(t)
  const libraries = shell(['ldd', fileOf(native)]).matchAll(/(\/\S+) \(0x/g)
  for (const [, library = ''] of libraries) {
    mkdirSync(join(root, dirname(library)), { recursive: true })
    copyFileSync(library, join(root, library))
  }
  for (const name of ['tmp', 'dev', 'data']) mkdirSync(join(root, name))
  copyFileSync(fileOf(native), join(root, 'helio'))
  const inside: Actor = { command: 'env', args: ['-i', '/usr/sbin/chroot', root, '/helio'] }
  const server = await startAs(inside, 'server', '--data-dir', '/data/server', '--port', String(await freePort()), '--no-agent')
  t.teardown(() => server.kill())
  const { stdout } = await runAs(inside, ['get', 'namespaces', '--kubeconfig', '/data/server/kubeconfig'])
  t.match(stdout, /^default +Active/m)
  t.equal(await server.stop(), 0)
})

t.test('the same sources give the same bytes', async t => {
  const [native] = built.filter(target => target.emulator.length === 0)
  if (native === undefined) return t.comment('no file for this processor')
  const outs = [folder(t), folder(t)]
  for (const out of outs) {
    const words = ['scripts/package/main.ts', '--target', native.name, '--out', out, '--no-xz', '--fresh']
    const { code, stderr } = await run(process.execPath, words)
    t.equal(code, 0, stderr)
  }
  const [one = '', two = ''] = outs.map(out => sha256Of(readFileSync(join(out, basename(fileOf(native))))))
  t.equal(one, two)
})
