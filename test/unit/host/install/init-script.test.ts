import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { initScript } from '../../../../src/host/install/init-script.ts'
import { waitUntil } from '../../../e2e/waiting.ts'

/** A board's start script in a folder of its own, with a role that writes down its process and waits. */
const board = (t: { teardown(fn: () => void): void }, shell: readonly string[]) => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-init-'))
  const [script, program, pids] = ['heliopause-agent', 'helio', 'pids'].map(name => join(dir, name))
  writeFileSync(program!, `#!/bin/sh\necho $$ >> ${pids}\nexec sleep 1000\n`)
  chmodSync(program!, 0o755)
  writeFileSync(script!, initScript({ role: 'agent', program: program!, configFile: '/etc/heliopause/agent.yaml' }))
  const call = (word: string): { code: number | null; text: string } => {
    const [command = '', ...args] = [...shell, script!, word]
    const { status, stdout, stderr } = spawnSync(command, args, {
      encoding: 'utf8',
      env: { ...process.env, HELIO_RUN_DIR: dir, HELIO_LOG_DIR: dir },
    })
    return { code: status, text: stdout + stderr }
  }
  t.teardown(() => {
    call('stop')
    rmSync(dir, { recursive: true, force: true })
  })
  const roles = (): readonly number[] => (existsSync(pids!) ? readFileSync(pids!, 'utf8').trim().split('\n').map(Number) : [])
  return { call, roles, pidFile: join(dir, 'heliopause-agent.pid'), log: join(dir, 'heliopause-agent.log') }
}

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`)
const until = (what: string, is: () => boolean): Promise<void> => waitUntil(what, async () => is(), 30_000)

const SHELLS: readonly (readonly [name: string, words: readonly string[]])[] = [
  ['sh', ['sh']],
  ['busybox', ['busybox', 'sh']],
]

for (const [name, shell] of SHELLS)
  t.test(`${name}: the start script starts the role, starts it again when it dies, and stops it`, async t => {
    const { call, roles, pidFile, log } = board(t, shell)
    t.equal(call('status').code, 3, 'does not run')
    t.equal(call('start').code, 0)
    await until('the role runs', () => roles().length === 1)
    t.equal(call('status').code, 0, 'runs')
    t.match(call('start').text, 'runs already')
    process.kill(roles()[0]!, 'SIGKILL')
    await until('it runs again', () => roles().length === 2)
    t.match(readFileSync(log, 'utf8'), 'ended with 137')
    const supervisor = Number(readFileSync(pidFile, 'utf8'))
    t.equal(call('stop').code, 0)
    await until('all is gone', () => ![supervisor, ...roles()].some(isAlive))
    t.equal(call('status').code, 3)
    t.equal(call('stop').code, 0, 'stopped twice')
  })

t.test('a number of before in the pid file is not taken for the supervisor', async t => {
  const { call, pidFile } = board(t, ['sh'])
  writeFileSync(pidFile, `${process.pid}\n`)
  t.equal(call('status').code, 3)
  t.match(call('stop').text, 'does not run')
  t.ok(isAlive(process.pid))
})

t.test('an unknown word is usage', async t => {
  t.equal(board(t, ['sh']).call('dance').code, 2)
})
