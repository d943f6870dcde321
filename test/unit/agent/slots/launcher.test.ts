// The launcher's sh does what slot-state.ts decides, in dash and in busybox's ash with busybox's programs alone, for whatever lies in the
// folder; it goes on with a disk that takes nothing, and kills what hangs.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { decide, parseBad, type SlotRole, startsText, trialText } from '../../../../src/agent/slots/slot-state.ts'
import { launcherText, readTexts } from '../../../../src/agent/slots/slots.ts'
import { systemFiles } from '../../../../src/host/files.ts'
import { fc } from '../../../property.ts'
import { type Folder, newDataDir, type ProgramName, SUMS, writeFolder } from './folder.ts'

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'].find(path => existsSync(path))
const APPLETS = ['sync', 'stat', 'od', 'uname', 'mv', 'rm', 'tail', 'grep', 'sleep']

/** Nothing but what busybox has. */
const appletsOf = (busybox: string): string => {
  const bin = mkdtempSync(join(tmpdir(), 'helio-bin-'))
  t.teardown(() => rmSync(bin, { recursive: true }))
  for (const name of APPLETS) symlinkSync(busybox, join(bin, name))
  return bin
}
const PATH = process.env['PATH'] ?? '/bin'

const SHELLS = [
  ...(existsSync('/bin/dash') ? [{ name: 'dash', command: ['/bin/dash'], path: PATH }] : []),
  ...(BUSYBOX ? [{ name: 'busybox ash', command: [BUSYBOX, 'ash'], path: appletsOf(BUSYBOX) }] : []),
  ...(existsSync('/bin/bash') ? [{ name: 'bash as sh', command: ['/bin/bash', '--posix'], path: PATH }] : []),
]

const launch = (shell: (typeof SHELLS)[number], dataDir: string, ...args: string[]) => {
  const file = join(dirname(dataDir), 'launcher')
  // Watchdogs of these starts end with the test.
  writeFileSync(file, launcherText({ dataDir }).replace('deadline=300', 'deadline=1'))
  const [command = '', ...first] = shell.command
  return spawnSync(command, [...first, file, ...args], { encoding: 'utf8', env: { PATH: shell.path } })
}

const text = (slot: 'a' | 'b') => trialText({ slot, sha256: SUMS[slot], version: '1.0.0', steadySeconds: 1, deadlineSeconds: 1 })
const program = fc.constantFrom<ProgramName>('whole', 'whole', 'whole', 'absent', 'empty', 'text', 'foreign')
const about = fc.constantFrom('good' as const, 'good' as const, 'short' as const, 'torn' as const, undefined)
const slot = fc.record({ program, about })
const starts = fc.constantFrom(
  undefined,
  ...([0, 1, 2, 3, 9, 'ok'] as const).flatMap(n => [startsText(SUMS.a, n as 0), startsText(SUMS.b, n as 0), startsText('?', n as 0)]),
  '',
  '\0',
  'garbage that is long\n',
  `${SUMS.a} 12\n`,
)
const folder: fc.Arbitrary<Folder> = fc.record({
  current: fc.constantFrom('a\n', 'b\n', 'a\n', 'b\n', undefined, '', 'c\n', 'a b\n', 'aa\n', '\0\0', 'x'.repeat(3000), '*\n'),
  trial: fc.constantFrom(
    undefined,
    text('a'),
    text('b'),
    text('a'),
    text('b'),
    '',
    'b\n',
    '?\n',
    `${text('b').trim()} more\n`,
    '* * * * *\n',
  ),
  server: starts,
  agent: starts,
  bad: fc.constantFrom(undefined, `${SUMS.a} 1.0.0 why\n`, `${SUMS.b} 1.0.0 why\n`, 'garbage\n', ''),
  a: slot,
  b: slot,
})

const stateOf = (dataDir: string): Record<string, unknown> => {
  const { bad, slots, ...texts } = readTexts({ files: systemFiles }, join(dataDir, 'slots'))
  return { ...texts, bad: parseBad(bad), fit: [slots.a.fit, slots.b.fit] }
}

const agrees = (shell: (typeof SHELLS)[number], dataDir: string, state: Folder, role: SlotRole | 'upgrade' | undefined): void => {
  writeFolder(dataDir, state)
  const dir = join(dataDir, 'slots')
  const texts = readTexts({ files: systemFiles }, dir)
  const decision = decide(texts, role)
  const { stdout, stderr, status } = launch(shell, dataDir, role ?? 'get', 'x y', '*')
  const said = JSON.stringify({ state, role, decision, stdout, stderr, status })
  const found = stateOf(dataDir)
  for (const [name, content] of decision.writes)
    if (content === undefined) rmSync(join(dir, name), { recursive: true, force: true })
    else writeFileSync(join(dir, name), content)
  const wanted = stateOf(dataDir)
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${JSON.stringify(found)}\n${JSON.stringify(wanted)}\n${said}`)
  if (decision.slot === undefined) {
    if (status !== 1 || !stderr.includes('there is no program')) throw new Error(said)
  } else if (texts.slots[decision.slot].fit && stdout !== `${decision.slot}\n3\n${role ?? 'get'}\nx y\n*\n`) throw new Error(said)
  // A command is not looked at before it is executed: sh itself may have something to say.
  if (!decision.wrong && stderr !== '' && texts.slots[decision.slot ?? 'a'].fit) throw new Error(said)
}

for (const shell of SHELLS) {
  t.test(`${shell.name}: the launcher decides as slot-state.ts does, whatever lies in the folder`, async t => {
    const dataDir = newDataDir()
    t.teardown(() => rmSync(dirname(dataDir), { recursive: true }))
    fc.assert(
      fc.property(folder, fc.constantFrom('server', 'agent', 'agent', 'upgrade', undefined), (state, role) =>
        agrees(shell, dataDir, state, role),
      ),
      { numRuns: 40 },
    )
    t.pass('40 folders')
  })

  t.test(`${shell.name}: what cannot be executed is left at once for the other slot`, async t => {
    const dataDir = newDataDir()
    t.teardown(() => rmSync(dirname(dataDir), { recursive: true }))
    const state: Folder = { current: 'b\n', a: { program: 'whole', about: 'good' }, b: { program: 'noInterpreter', about: 'good' } }
    writeFolder(dataDir, state)
    t.equal(launch(shell, dataDir, 'get').stdout, 'a\n1\nget\n', 'a command')
    t.equal(launch(shell, dataDir, 'agent', 'x').stdout, 'a\n2\nagent\nx\n', 'a role that is on no trial')
    t.equal(readFileSync(join(dataDir, 'slots/current'), 'utf8'), 'b\n')
    writeFolder(dataDir, { ...state, trial: text('b') })
    t.equal(launch(shell, dataDir, 'agent').stdout, 'a\n1\nagent\n', 'a role on trial')
    t.equal(readFileSync(join(dataDir, 'slots/current'), 'utf8'), 'a\n')
    t.match(readFileSync(join(dataDir, 'slots/bad'), 'utf8'), new RegExp(`^${SUMS.b} 1.0.0 cannot be executed`))
    writeFolder(dataDir, { ...state, a: { program: 'absent' } })
    t.ok([126, 127].includes(launch(shell, dataDir, 'agent').status ?? 0), 'nothing else is there')
  })

  t.test(`${shell.name}: help for a role is no start of it`, async t => {
    const dataDir = newDataDir()
    t.teardown(() => rmSync(dirname(dataDir), { recursive: true }))
    const whole = { program: 'whole', about: 'good' } as const
    writeFolder(dataDir, { current: 'b\n', trial: text('b'), a: whole, b: whole })
    t.equal(launch(shell, dataDir, 'agent', '--help').status, 0)
    t.notOk(existsSync(join(dataDir, 'slots/trial.agent')))
  })
}

/** Runs a line of sh in a mount namespace of its own, with a small file system at $1. */
const inNamespace = (line: string, ...args: string[]) =>
  spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', line, 'sh', ...args], { encoding: 'utf8' })
const mayMount = process.getuid?.() === 0 && inNamespace('mount -t tmpfs none /mnt').status === 0

t.test('a disk that is full or read-only', { skip: mayMount ? false : 'mounts are not allowed here' }, async t => {
  const dataDir = newDataDir()
  t.teardown(() => rmSync(dirname(dataDir), { recursive: true }))
  const whole = { program: 'whole', about: 'good' } as const
  writeFolder(dataDir, { current: 'b\n', trial: text('b'), agent: startsText(SUMS.b, 0), a: whole, b: whole })
  const launcher = join(dirname(dataDir), 'launcher')
  mkdirSync(join(dirname(dataDir), 'mnt'))
  writeFileSync(launcher, launcherText({ dataDir: join(dirname(dataDir), 'mnt') }), { mode: 0o755 })
  const prepare = 'mount -t tmpfs -o size=128k none "$1" && cp -a "$2/." "$1" &&'
  const run = (line: string) => inNamespace(`${prepare} ${line}`, join(dirname(dataDir), 'mnt'), dataDir, launcher)
  const full = run('dd if=/dev/zero of="$1/fill" bs=4k 2>/dev/null; for n in 1 2 3 4 5; do "$3" agent; done; cat "$1/slots/current"')
  t.match(full.stdout, /^(b\n1\nagent\n){3}(a\n1\nagent\n){2}a\n$/, 'the starts are counted in place, and the way back is found')
  const readOnly = run('mount -o remount,ro "$1" && for n in 1 2 3 4 5; do "$3" agent; done')
  t.equal(readOnly.stdout, 'b\n1\nagent\n'.repeat(5), 'nothing can be counted: it starts anyway')
  t.match(readOnly.stderr, /cannot be written/)
})

t.test('a start that hangs is killed by the watchdog, and one that was found healthy is not', async t => {
  const dataDir = newDataDir()
  t.teardown(() => rmSync(dirname(dataDir), { recursive: true }))
  const whole = { program: 'whole', about: undefined } as const
  const quick = trialText({ slot: 'b', sha256: SUMS.b, version: '1.0.0', steadySeconds: 0, deadlineSeconds: 0 })
  writeFolder(dataDir, { current: 'b\n', trial: quick, a: whole, b: whole })
  const launcher = join(dirname(dataDir), 'launcher')
  writeFileSync(launcher, launcherText({ dataDir }), { mode: 0o755 })
  writeFileSync(join(dataDir, 'slots/b/helio'), '#!/bin/sh\nexec sleep 1000\n', { mode: 0o755 })
  t.equal(spawnSync(launcher, ['agent']).signal, 'SIGKILL')
  writeFileSync(join(dataDir, 'slots/b/helio'), `#!/bin/sh\necho "$1 ok" >"$2"\nexec sleep 3\n`, { mode: 0o755 })
  writeFileSync(
    join(dataDir, 'slots/b/helio'),
    `#!/bin/sh\necho '${SUMS.b} ok' >'${join(dataDir, 'slots/trial.agent').replaceAll("'", "'\\''")}'\nexec sleep 3\n`,
  )
  t.equal(spawnSync(launcher, ['agent']).status, 0)
})

t.test(
  'the text has no mistakes that a linter of sh finds',
  { skip: spawnSync('shellcheck', ['--version']).error ? 'no shellcheck here' : false },
  async t => {
    const found = spawnSync('shellcheck', ['-s', 'sh', '-'], { input: launcherText({ dataDir: '/var/lib/heliopause' }), encoding: 'utf8' })
    t.equal(found.stdout, '')
  },
)
