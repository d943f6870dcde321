// npm run test:package, after npm run package: what is promised of the files under build/, by whole servers and devices; those of other
// processors by qemu-user. Needs root to try the executable in a root folder that holds nothing but the C library.

import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { sha256Of, run as shell } from '../../scripts/package/shell.ts'
import type { Target } from '../../scripts/package/targets.ts'
import { type Actor, findKubectl, freePort, type Running, run, runAs, startAs } from '../e2e/cluster.ts'
import { waitUntil } from '../e2e/waiting.ts'
import { actorOf, built, fileOf, folderFor, native, ROOT } from './built.ts'

const kubectl = findKubectl()

const POD = `
apiVersion: v1
kind: Pod
metadata: {name: motto}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "heliopause.local/motto:1", imagePullPolicy: Never, command: [sh, -c, "cat /motto; exec sleep 100000"]}
`

/** Killed at the end of the test, however it ends. */
const begin = async (t: Test, actor: Actor, ...args: string[]): Promise<Running> => {
  const role = await startAs(actor, ...args)
  t.teardown(() => role.kill())
  return role
}

t.test('something has been packaged', async t => {
  t.not(built.length, 0, 'npm run package first')
})

const serverTest = (target: Target) => async (t: Test) => {
  const actor = actorOf(target)
  const dir = folderFor(t)
  const words = ['server', '--data-dir', dir, '--port', String(await freePort()), '--no-agent']
  const kubeconfig = ['--kubeconfig', join(dir, 'kubeconfig')]
  const first = await begin(t, actor, ...words)
  t.equal((await runAs(actor, ['create', 'namespace', 'kept', ...kubeconfig])).code, 0)
  t.equal(await first.stop(), 0)
  const second = await begin(t, actor, ...words)
  t.match((await runAs(actor, ['get', 'namespaces', ...kubeconfig])).stdout, /^kept +Active/m)
  if (kubectl === undefined) t.comment('no kubectl on this machine: only its own command line asked it')
  else {
    const asked = await run(kubectl, ['get', 'namespaces', ...kubeconfig])
    t.match(asked.stdout, /^kept +Active/m, asked.stderr)
  }
  t.equal(await second.stop(), 0)
}

/** The device of this target joins a server of this machine's and runs a pod; the pod outlives the agent. */
const deviceTest = (target: Target, server: Target) => async (t: Test) => {
  const [dir, device] = [folderFor(t), folderFor(t)]
  const port = await freePort()
  const serving = await begin(t, actorOf(server), 'server', '--data-dir', dir, '--port', String(port), '--no-agent')
  const ask = (...args: string[]) => runAs(actorOf(server), [...args, '--data-dir', dir])
  const token = readFileSync(join(dir, 'join-token'), 'utf8').trim()
  await writeImage(join(dir, 'motto.tar'), { name: 'heliopause.local/motto:1', files: [{ path: 'motto', text: 'small is enough\n' }] })
  writeFileSync(join(dir, 'motto.yaml'), POD)
  const imported = await runAs(actorOf(target), ['image', 'import', join(dir, 'motto.tar'), '--data-dir', device])
  t.equal(imported.code, 0, imported.stderr)
  const words = ['agent', '--data-dir', device, '--node-name', 'board', '--runtime', 'process']
  const agent = await begin(t, actorOf(target), ...words, '--server', `https://127.0.0.1:${port}`, '--token', token)
  await waitUntil('the node', async () => /board +Ready/.test((await ask('get', 'nodes')).stdout))
  t.equal((await ask('apply', '-f', join(dir, 'motto.yaml'))).code, 0)
  const running = async () => /motto +1\/1 +Running +0/.test((await ask('get', 'pods')).stdout)
  await waitUntil('the pod', running)
  await waitUntil('its words', async () => (await ask('logs', 'motto')).stdout === 'small is enough\n')
  t.equal(await agent.stop(), 0, agent.stderr().slice(-600))
  const again = await begin(t, actorOf(target), ...words)
  await waitUntil('the device', async () =>
    /motto +\S* *Running/.test((await runAs(actorOf(target), ['device', 'pods', '--data-dir', device])).stdout),
  )
  t.ok(await running(), 'not started anew')
  t.equal((await ask('delete', 'pod', 'motto')).code, 0)
  t.equal(await again.stop(), 0, again.stderr().slice(-600))
  t.equal(await serving.stop(), 0)
}

for (const target of built) {
  t.test(`${target.name}: a server is ready, answers, and keeps what was written over a restart`, serverTest(target))
  if (native) t.test(`${target.name}: a device joins, runs a pod, and finds it again`, deviceTest(target, native))
}

t.test('runs with nothing but the C library and an environment without a word', async t => {
  if (native === undefined || process.getuid?.() !== 0) return t.comment('no file for this processor, or not root')
  const root = folderFor(t)
  const libraries = (await shell(['ldd', fileOf(native)])).matchAll(/(\/\S+) \(0x/g)
  for (const [, library = ''] of libraries) {
    mkdirSync(join(root, dirname(library)), { recursive: true })
    copyFileSync(library, join(root, library))
  }
  for (const name of ['tmp', 'dev', 'data']) mkdirSync(join(root, name))
  copyFileSync(fileOf(native), join(root, 'helio'))
  const inside: Actor = { command: 'env', args: ['-i', '/usr/sbin/chroot', root, '/helio'] }
  const server = await begin(t, inside, 'server', '--data-dir', '/data/server', '--port', String(await freePort()), '--no-agent')
  const { stdout } = await runAs(inside, ['get', 'namespaces', '--kubeconfig', '/data/server/kubeconfig'])
  t.match(stdout, /^default +Active/m)
  t.equal(await server.stop(), 0)
})

/** Resident pages that belong to files, kB. */
const fileMemoryOf = (pid: number): number => Number(/^RssFile:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

t.test('lets go of what only its start has touched, and answers as before', async t => {
  if (native === undefined) return t.comment('no file for this processor')
  const dir = folderFor(t)
  const server = await begin(t, actorOf(native), 'server', '--data-dir', dir, '--port', String(await freePort()), '--no-agent')
  const before = fileMemoryOf(server.pid)
  await waitUntil('a third of its pages less', async () => fileMemoryOf(server.pid) < (before * 2) / 3)
  t.match((await runAs(actorOf(native), ['get', 'namespaces', '--data-dir', dir])).stdout, /^default +Active/m)
  t.equal(await server.stop(), 0)
})

/** The last commit, alone in a folder of its own: nobody works on it. Packages come from here. */
const checkOut = async (from: string, folder: string): Promise<string> => {
  await shell(['git', 'clone', '--quiet', from, folder])
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  mkdirSync(join(folder, 'build'))
  symlinkSync(join(ROOT, 'build/cache'), join(folder, 'build/cache'))
  return folder
}

t.test('the same commit gives the same bytes in any folder', async t => {
  if (native === undefined) return t.comment('no file for this processor')
  const folder = folderFor(t)
  const one = await checkOut(ROOT, join(folder, 'one'))
  const two = await checkOut(one, join(folder, 'elsewhere/two'))
  const sums: string[] = []
  for (const root of [one, two]) {
    const words = [join(root, 'scripts/package/main.ts'), '--target', native.name, '--no-xz', '--fresh']
    const { code, stderr } = await run(process.execPath, words)
    t.equal(code, 0, stderr)
    t.notMatch(stderr, /differ from the commit/)
    sums.push(sha256Of(readFileSync(join(root, 'build', basename(fileOf(native))))))
  }
  t.equal(sums[0], sums[1])
})
