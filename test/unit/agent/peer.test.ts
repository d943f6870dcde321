// Who may act on the local socket: what a link in DIR/peer proves, and what it does not.

import { execFileSync } from 'node:child_process'
import { chmodSync, lstatSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openPeerDesk, type SocketGroups, userName } from '../../../src/agent/peer.ts'
import { seededRandom } from '../../../src/base/random.ts'

const ME = process.getuid?.() ?? 0
const NOBODY = 65534

const open = (t: Test, groups: SocketGroups = {}) => {
  const root = mkdtempSync(join(tmpdir(), 'helio-peer-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  chmodSync(root, 0o711)
  const dir = join(root, 'data')
  execFileSync('mkdir', ['-m', '0700', dir])
  const time = { ms: 0 }
  const desk = openPeerDesk({ dir, groups, clock: { mono: () => time.ms }, random: seededRandom('peer') })
  return { root, dir, time, desk, link: (nonce: string) => join(dir, 'peer', nonce) }
}

const asNobody = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { uid: NOBODY, gid: NOBODY, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] }).toString()

t.test('the owner of the link is who acts, and the link is gone', async t => {
  const { desk, dir, link } = open(t)
  const nonce = desk.challenge()
  symlinkSync(nonce, link(nonce))
  t.equal(desk.actor(nonce), userName(ME))
  t.same(readdirSync(join(dir, 'peer')), [])
})

t.test('without groups the socket is its owner’s alone, who needs no proof', async t => {
  const { desk, dir } = open(t)
  t.equal(desk.socket.mode, 0o600)
  t.equal(desk.actor(undefined), userName(ME))
  t.equal(statSync(dir).mode & 0o777, 0o700, 'and the folder stays closed')
  t.equal(statSync(join(dir, 'peer')).mode & 0o777, 0o700)
})

t.test('with groups a proof is new, used once, soon, and a link that says the nonce', { skip: ME !== 0 && 'not root' }, async t => {
  const { desk, root, time, link } = open(t, { readers: 'nogroup' })
  const refused = (nonce: string | undefined, why: string) => t.throws(() => desk.actor(nonce), { code: 403 }, why)
  refused(undefined, 'none')
  refused('0b7ac5c2-0000-4000-8000-000000000000', 'one the agent did not name')
  refused('../agent.db', 'a path')
  refused(desk.challenge(), 'no link')
  const file = desk.challenge()
  writeFileSync(link(file), file)
  refused(file, 'a file')
  const moved = desk.challenge()
  symlinkSync('/etc/passwd', join(root, 'made by root for something else'))
  renameSync(join(root, 'made by root for something else'), link(moved))
  refused(moved, 'the link of somebody else, moved here')
  const late = desk.challenge()
  symlinkSync(late, link(late))
  time.ms += 60_000
  refused(late, 'late')
  const good = desk.challenge()
  symlinkSync(good, link(good))
  t.equal(desk.actor(good), 'root')
  symlinkSync(good, link(good))
  refused(good, 'used before')
})

t.test('members of the readers may not act, members of the operators may', { skip: ME !== 0 && 'not root' }, async t => {
  for (const [groups, name] of [
    [{ readers: 'nogroup' }, undefined],
    [{ operators: 'nogroup' }, 'nobody'],
    [{ readers: 'nogroup', operators: 'daemon' }, undefined],
  ] as const) {
    const { desk, dir, link } = open(t, groups)
    t.same(desk.socket, { mode: 0o660, gid: NOBODY })
    const nonce = desk.challenge()
    asNobody('ln', '-s', nonce, link(nonce))
    t.equal(lstatSync(link(nonce)).uid, NOBODY)
    if (name === undefined) t.throws(() => desk.actor(nonce), { code: 403, message: /nobody may only ask/ })
    else t.equal(desk.actor(nonce), name)
    t.throws(() => asNobody('ls', join(dir, 'peer')), /Permission denied/, 'links of others are not to be seen')
    t.throws(() => asNobody('ls', dir), /Permission denied/, 'nor is the data folder')
    symlinkSync('a', link('root-made'))
    t.throws(() => asNobody('rm', link('root-made')), /Operation not permitted|Permission denied/, 'nor to be removed')
  }
})

t.test('a group that is not there is said to be so', async t => {
  t.throws(() => open(t, { readers: 'no-such-group' }), { message: 'open local API: there is no group no-such-group' })
})
