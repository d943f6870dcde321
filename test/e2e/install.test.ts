// The real executable installing itself into a root folder: what it writes, that a second run changes nothing, what uninstalling leaves, and
// that a cut at any moment is mended by running it again.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { cutInstalls } from '../power/install-cuts.ts'
import { freePort, helio, runAs, SELF } from './cluster.ts'

const TOKEN = `helio1.${'a'.repeat(64)}.verysecret`
const SERVER = 'https://192.0.2.1:6443'

/** A tree as an image has it: systemd and Node, nothing else. */
const image = (t: { teardown(fn: () => void): void }, files: readonly string[] = ['usr/bin/node', 'lib/systemd/systemd']): string => {
  const root = mkdtempSync(join(tmpdir(), 'helio-root-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  for (const file of files) {
    mkdirSync(join(root, file, '..'), { recursive: true })
    writeFileSync(join(root, file), '')
  }
  for (const dir of ['etc', 'var/lib', 'usr/local']) mkdirSync(join(root, dir), { recursive: true })
  return root
}

const paths = (root: string): string => readdirSync(root, { recursive: true, encoding: 'utf8' }).sort().join('\n')
const states = (stdout: string): readonly string[] =>
  (JSON.parse(stdout) as { steps: readonly { what: string; state: string }[] }).steps.map(step => `${step.state} ${step.what}`)

t.test('a device is installed into an image: dry run, run, run again, change, uninstall', async t => {
  const root = image(t)
  const before = paths(root)
  const install = (...more: string[]) => helio('install', '--root', root, ...more)
  const dry = await install('--server', SERVER, '--token', TOKEN, '--dry-run')
  t.equal(dry.code, 0, dry.stderr)
  for (const path of ['/usr/local/bin/helio', '/etc/heliopause/agent.yaml', '/etc/systemd/system/heliopause-agent.service'])
    t.match(dry.stdout, path)
  t.equal(paths(root), before, 'a dry run touches nothing')

  const first = await install('--server', SERVER, '--token', TOKEN)
  t.equal(first.code, 0, first.stderr)
  t.match(first.stdout, /The agent is installed .*; it was not started/)
  const seed = join(root, 'etc/heliopause/heliopause-seed.yaml')
  t.equal(statSync(seed).mode & 0o777, 0o600)
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' }))
    if (statSync(join(root, name), { throwIfNoEntry: false })?.isFile() && !name.endsWith('seed.yaml'))
      t.notOk(readFileSync(join(root, name), 'latin1').includes('verysecret'), `no token in ${name}`)
  t.equal(readFileSync(join(root, 'var/lib/heliopause/slots/current'), 'utf8'), 'a\n')

  const again = await install('--server', SERVER, '--token', TOKEN)
  t.match(again.stdout, /^unchanged: /)
  const changed = await install('--link', 'mqtt,ws')
  t.match(changed.stdout, /changed +\/etc\/heliopause\/agent\.yaml/)
  t.match(changed.stdout, /^ +\+ link: mqtt,ws$/m)
  t.match(states((await install('-o', 'json')).stdout).join('\n'), /^(unchanged [^\n]+\n?)+$/)

  const unit = join(root, 'etc/systemd/system/heliopause-agent.service')
  writeFileSync(unit, `${readFileSync(unit, 'utf8')}# mine\n`)
  const gone = await helio('uninstall', '--root', root, '--purge')
  t.equal(gone.code, 0, gone.stderr)
  t.match(gone.stderr, 'heliopause-agent.service: it was changed since it was installed')
  t.ok(existsSync(unit), 'what somebody wrote is kept')
  rmSync(join(root, 'etc/systemd'), { recursive: true })
  t.equal(paths(root), before, 'nothing else is left')
  t.match((await helio('uninstall', '--root', root)).stdout, /^unchanged: /)
})

t.test('state is kept unless it is purged, and said so', async t => {
  const root = image(t)
  await helio('install', '--root', root, '--server', SERVER, '--token', TOKEN)
  writeFileSync(join(root, 'var/lib/heliopause/agent.db'), 'state')
  const gone = await helio('uninstall', '--root', root)
  t.match(gone.stderr, /\/var\/lib\/heliopause: keys, state, images and logs \(--purge removes it\)/)
  t.same(readdirSync(join(root, 'var/lib/heliopause')), ['agent.db'])
})

t.test('the token can come from a file or standard input, and never stands in a manifest', async t => {
  const root = image(t)
  const piped = await runAs(SELF, ['install', '--root', root, '--server', SERVER, '--token-file', '-'], `${TOKEN}\n`)
  t.equal(piped.code, 0, piped.stderr)
  t.match(readFileSync(join(root, 'etc/heliopause/heliopause-seed.yaml'), 'utf8'), `token: ${TOKEN}\n`)
  t.notMatch(readFileSync(join(root, 'etc/heliopause/agent.yaml'), 'utf8'), 'helio1')
})

t.test('a server alone is closed in, one with pods is not; what it is told stands in its configuration', async t => {
  const root = image(t)
  const both = await helio('install', '--root', root, '--role', 'server', '--bind', '0.0.0.0', '--port', '7443')
  t.equal(both.code, 0, both.stderr)
  const unit = join(root, 'etc/systemd/system/heliopause-server.service')
  t.notMatch(readFileSync(unit, 'utf8'), /^ProtectSystem/m)
  t.match(readFileSync(join(root, 'etc/heliopause/server.yaml'), 'utf8'), /bind: 0\.0\.0\.0\nport: 7443\n/)
  await helio('install', '--root', root, '--no-agent')
  t.match(readFileSync(unit, 'utf8'), /^ProtectSystem=strict$/m)
})

t.test('without systemd there is a start script, by the links of sysvinit, busybox or OpenRC', async t => {
  const sysv = image(t, ['usr/bin/node', 'etc/rc2.d/README'])
  await helio('install', '--root', sysv, '--server', SERVER, '--token', TOKEN)
  t.equal(statSync(join(sysv, 'etc/init.d/heliopause-agent')).mode & 0o777, 0o755)
  t.ok(existsSync(join(sysv, 'etc/rc2.d/S99heliopause-agent')), 'the link leads to the script')
  const busybox = image(t, ['usr/bin/node', 'etc/init.d/rcS'])
  await helio('install', '--root', busybox, '--server', SERVER, '--token', TOKEN)
  t.match(readFileSync(join(busybox, 'etc/init.d/S99heliopause-agent'), 'utf8'), /supervise/)
  t.notOk(existsSync(join(busybox, 'etc/rc2.d')))
  const openrc = image(t, ['usr/bin/node', 'sbin/openrc-run'])
  await helio('install', '--root', openrc, '--server', SERVER, '--token', TOKEN)
  t.match(readFileSync(join(openrc, 'etc/init.d/heliopause-agent'), 'utf8'), /^#!\/sbin\/openrc-run/)
  t.equal((await helio('uninstall', '--root', openrc, '--purge')).code, 0)
  t.notOk(existsSync(join(openrc, 'etc/init.d')))
})

t.test('what would not work is refused in one line, before anything is written', async t => {
  const root = image(t)
  const before = paths(root)
  const cases: readonly (readonly [args: readonly string[], code: number, message: RegExp])[] = [
    [[], 2, /what shall this machine be/],
    [['--server', 'http://x', '--token', TOKEN], 2, /not https/],
    [['--server', SERVER, '--token', 'abc'], 2, /not a join token/],
    [['--role', 'server', '--link', 'mqtt'], 2, /--link is no flag of the server/],
    [['--role', 'server', '--port', '99999'], 2, /port/],
    [['--role', 'agent', '--token', TOKEN], 2, /a token without a server/],
    [['--role', 'agent', '--config', '/nowhere'], 2, /there is no file \/nowhere/],
    [['--role', 'agent', '--data-dir', '../x'], 2, /not an absolute path/],
  ]
  for (const [args, code, message] of cases) {
    const result = await helio('install', '--root', root, ...args)
    t.equal(result.code, code, args.join(' '))
    t.match(result.stderr, message)
    t.ok(result.stderr.trim().split('\n').length <= 2, 'one line and a hint')
  }
  t.match((await helio('install', '--role', 'server', '--root', '/nowhere')).stderr, /there is no such folder/)
  t.equal(paths(root), before)
  await helio('install', '--root', root, '--role', 'server')
  t.match((await helio('install', '--root', root, '--role', 'agent', '--server', SERVER, '--token', TOKEN)).stderr, /brings its own agent/)
})

t.test('a link of the image that leads out of it is not followed', async t => {
  const root = image(t)
  const outside = mkdtempSync(join(tmpdir(), 'helio-out-'))
  t.teardown(() => rmSync(outside, { recursive: true }))
  rmSync(join(root, 'etc'), { recursive: true })
  symlinkSync(outside, join(root, 'etc'))
  const result = await helio('install', '--root', root, '--role', 'server')
  t.equal(result.code, 1)
  t.match(result.stderr, /leads out of it/)
  t.same(readdirSync(outside), [])
})

t.test('a plain user is told to be root, and may check the machine', { skip: process.getuid?.() !== 0 && 'not root' }, async t => {
  const root = mkdtempSync(join(tmpdir(), 'helio-user-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  chmodSync(root, 0o755)
  const user = { ...SELF, uid: 65534, gid: 65534 }
  const install = await runAs(user, ['install', '--role', 'server'])
  t.equal(install.code, 1)
  t.match(install.stderr, /^error: install: only root may change this machine\nhint: sudo helio install/)
  t.match((await runAs(user, ['uninstall'])).stderr, /only root/)
  const check = await runAs(user, ['check', '--data-dir', root, '-o', 'json'])
  const { rows } = JSON.parse(check.stdout) as { rows: readonly { check: string; status: string; fix?: string }[] }
  t.equal(rows.find(row => row.check === 'user')?.status, 'warn')
  for (const row of rows) if (row.status !== 'ok') t.ok(row.fix, row.check)
})

t.test('check: a server that does not answer and a port that is taken fail, each with what to do', async t => {
  const port = await freePort()
  const reach = await helio('check', '--server', `https://127.0.0.1:${port}`)
  t.equal(reach.code, 1)
  t.match(reach.stdout, /^fail +server +https:\/\/127\.0\.0\.1:\d+ \(127\.0\.0\.1\) does not answer/m)
  t.match(reach.stdout, /\d+ ok, \d+ warn, \d+ fail/)
  const { createServer } = await import('node:net')
  const holder = createServer()
  await new Promise<void>(resolve => holder.listen(port, resolve))
  t.teardown(() => holder.close())
  const taken = await helio('check', '--role', 'server', '--port', String(port), '-o', 'json')
  t.equal(taken.code, 1)
  const rows = (JSON.parse(taken.stdout) as { rows: readonly { check: string; status: string; found: string }[] }).rows
  t.match(
    rows.find(row => row.check === `port ${port}`),
    { status: 'fail', found: /taken/ },
  )
  t.equal((await helio('check', '--server', 'ftp://x')).code, 2)
})

t.test('a cut at any moment leaves old or new, and the same command mends it', async t => {
  const counts = await cutInstalls({ cuts: 21, seed: 'e2e', say: text => t.comment(text) })
  t.equal(counts.none + counts.part + counts.all, 21)
  t.comment(JSON.stringify(counts))
})
