// Logs: reading as kubectl asks, following over rotations without a timer, staying within the bound.

import { appendFileSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { attemptsIn, pruneAttempts, removePodLogs, rotate } from '../../../src/agent/log-files.ts'
import { createLogRotation } from '../../../src/agent/log-rotation.ts'
import { createLogReader, type LogTarget } from '../../../src/agent/logs.ts'
import { silentLog } from '../../../src/base/log.ts'
import { systemClock } from '../../../src/host/clock.ts'
import type { LogOptions } from '../../../src/link/link.ts'

const NOW = Date.parse('2026-11-22T10:01:00Z')
const line = (n: number, text = `line ${n}`, tag = 'F') => `2026-11-22T10:00:${String(n).padStart(2, '0')}.5Z stdout ${tag} ${text}\n`

interface Fixture {
  readonly dir: string
  running: boolean
  attempt: number | undefined
  waiting: string | undefined
  exit(): void
  read(options?: LogOptions, signal?: AbortSignal): Promise<string>
  follow(options?: LogOptions): { readonly text: () => string; readonly ended: Promise<void>; stop(): void }
}

const fixture = (dir: string): Fixture => {
  const listeners = new Set<() => void>()
  const reader = createLogReader(() => NOW)
  const target = (): LogTarget => ({
    podName: 'p',
    container: 'c',
    dir,
    attempt: f.attempt,
    waiting: f.waiting,
    isRunning: () => f.running,
    onExit: fn => {
      listeners.add(fn)
      return () => listeners.delete(fn)
    },
  })
  const f: Fixture = {
    dir,
    running: false,
    attempt: 0,
    waiting: undefined,
    exit() {
      f.running = false
      for (const fn of [...listeners]) fn()
    },
    async read(options = {}, signal = new AbortController().signal) {
      const chunks: Uint8Array[] = []
      await reader.read(target(), options, async bytes => void chunks.push(Uint8Array.from(bytes)), signal)
      return Buffer.concat(chunks).toString()
    },
    follow(options = {}) {
      const said = { text: '' }
      const stop = new AbortController()
      const take = async (bytes: Uint8Array): Promise<void> => {
        said.text += Buffer.from(bytes).toString()
      }
      const ended = reader.read(target(), { follow: true, ...options }, take, stop.signal)
      return { text: () => said.text, ended, stop: () => stop.abort() }
    },
  }
  return f
}

const until = async (condition: () => boolean): Promise<void> => {
  const endMs = systemClock.mono() + 5000
  while (!condition()) {
    if (systemClock.mono() > endMs) throw new Error('waited in vain')
    await systemClock.sleep(2)
  }
}

t.test('whole, tail, since, limit and timestamps', async t => {
  const f = fixture(t.testdir({ '0.log': [1, 2, 3].map(n => line(n)).join('') }))
  t.equal(await f.read(), 'line 1\nline 2\nline 3\n')
  t.equal(await f.read({ tailLines: 2 }), 'line 2\nline 3\n')
  t.equal(await f.read({ tailLines: 0 }), '')
  t.equal(await f.read({ tailLines: 99 }), 'line 1\nline 2\nline 3\n')
  t.equal(await f.read({ sinceSeconds: 58 }), 'line 2\nline 3\n')
  t.equal(await f.read({ sinceTime: '2026-11-22T10:00:03Z' }), 'line 3\n')
  t.equal(await f.read({ limitBytes: 9 }), 'line 1\nli')
  t.equal(await f.read({ timestamps: true, tailLines: 1 }), '2026-11-22T10:00:03.5Z line 3\n')
})

t.test('pieces of a long line are one line, also for tail; a half-written line is not shown', async t => {
  const f = fixture(
    t.testdir({
      '0.log': `${[line(1), line(2, 'a', 'P'), line(2, 'b', 'P'), line(2, 'c'), line(3)].join('')}2026-11-22T10:00:04Z stdout F cut`,
    }),
  )
  t.equal(await f.read({ tailLines: 2, timestamps: true }), '2026-11-22T10:00:02.5Z abc\n2026-11-22T10:00:03.5Z line 3\n')
  t.equal(await f.read(), 'line 1\nabc\nline 3\n')
})

t.test('rotated files are read in order, and tail goes back over them', async t => {
  const f = fixture(t.testdir({ '0.log.2': line(1) + line(2), '0.log.1': line(3), '0.log': line(4) + line(5) }))
  t.equal(await f.read(), [1, 2, 3, 4, 5].map(n => `line ${n}\n`).join(''))
  t.equal(await f.read({ tailLines: 4 }), [2, 3, 4, 5].map(n => `line ${n}\n`).join(''))
})

t.test('tail of a file of many chunks finds its place', async t => {
  const text = Array.from({ length: 20_000 }, (_, n) => line(n % 60, `number ${n}`)).join('')
  const f = fixture(t.testdir({ '0.log': text }))
  t.equal(await f.read({ tailLines: 3 }), 'number 19997\nnumber 19998\nnumber 19999\n')
  t.equal((await f.read({ tailLines: 15_000 })).split('\n').length, 15_001)
})

t.test('previous is the attempt before, or the last one while it waits to run again', async t => {
  const f = fixture(t.testdir({ '0.log': line(1, 'zero'), '1.log': line(2, 'one') }))
  f.attempt = 1
  t.equal(await f.read(), 'one\n')
  t.equal(await f.read({ previous: true }), 'zero\n')
  f.waiting = 'CrashLoopBackOff'
  t.equal(await f.read({ previous: true }), 'one\n')
  f.attempt = 0
  f.waiting = undefined
  await t.rejects(f.read({ previous: true }), { message: 'previous terminated container "c" in pod "p" not found' })
  f.attempt = undefined
  await t.rejects(f.read(), { message: 'container "c" in pod "p" is waiting to start: ContainerCreating' })
})

t.test('follow: new lines come, over a rotation, and it ends with the container', async t => {
  const f = fixture(t.testdir({ '0.log': line(1) }))
  f.running = true
  const followed = f.follow()
  await until(() => followed.text() === 'line 1\n')
  appendFileSync(join(f.dir, '0.log'), line(2))
  await until(() => followed.text().endsWith('line 2\n'))
  appendFileSync(join(f.dir, '0.log'), line(3))
  rotate(join(f.dir, '0.log'))
  writeFileSync(join(f.dir, '0.log'), line(4))
  await until(() => followed.text().endsWith('line 4\n'))
  appendFileSync(join(f.dir, '0.log'), line(5))
  f.exit()
  await followed.ended
  t.equal(followed.text(), [1, 2, 3, 4, 5].map(n => `line ${n}\n`).join(''))
})

t.test('follow: stops when its reader goes, and respects tail and limit', async t => {
  const f = fixture(t.testdir({ '0.log': line(1) + line(2) }))
  f.running = true
  const followed = f.follow({ tailLines: 1, limitBytes: 10 })
  await until(() => followed.text() === 'line 2\n')
  const other = f.follow()
  other.stop()
  await other.ended
  appendFileSync(join(f.dir, '0.log'), line(3))
  await followed.ended
  t.equal(followed.text(), 'line 2\nlin')
})

t.test('too many streams are refused', async t => {
  const f = fixture(t.testdir({ '0.log': line(1) }))
  f.running = true
  const open = Array.from({ length: 32 }, () => f.follow())
  await until(() => open.every(o => o.text() !== ''))
  await t.rejects(f.read(), { message: /32 streams are open/ })
  for (const o of open) o.stop()
  await Promise.all(open.map(o => o.ended))
  t.equal(await f.read(), 'line 1\n')
})

t.test('rotation: a full log is moved, the writer opens anew, old files and attempts go', async t => {
  const dir = t.testdir({ logs: { ns_p_uid: { c: {} } } })
  const folder = join(dir, 'logs/ns_p_uid/c')
  const timers: (() => void)[] = []
  const reopened: string[] = []
  const clock = {
    after: (_delayMs: number, fn: () => void) => {
      timers.push(fn)
      return () => void timers.splice(timers.indexOf(fn), 1)
    },
  }
  const rotation = createLogRotation({ clock, log: silentLog, runtime: { reopenLog: async id => void reopened.push(id) }, bytesMax: 100 })
  t.teardown(() => rotation.close())
  for (let attempt = 0; attempt < 6; attempt++) writeFileSync(join(folder, `${attempt}.log`), 'x')
  rotation.track({ id: 'c5', logPath: join(folder, '5.log') })
  t.same(attemptsIn(folder), [3, 4, 5])
  const path = join(folder, '5.log')
  for (let n = 0; n < 8; n++) {
    writeFileSync(path, 'x'.repeat(150))
    await until(() => timers.length > 0)
    timers.shift()?.()
    await until(() => !existsSync(path))
  }
  t.equal(reopened.length, 8)
  t.same(
    readdirSync(folder).filter(name => name.startsWith('5.')),
    ['5.log.1', '5.log.2', '5.log.3', '5.log.4'],
  )
  writeFileSync(path, 'small')
  await until(() => timers.length > 0)
  timers.shift()?.()
  await until(() => timers.length > 0)
  timers.shift()?.()
  t.equal(statSync(path).size, 5)
  t.equal(timers.length, 0, 'an idle log has no timer')
  removePodLogs(join(dir, 'logs'), 'uid')
  t.same(readdirSync(join(dir, 'logs')), [])
})

t.test('a log moved away by an agent that was killed before the writer heard of it is opened anew by the next one', t => {
  const reopened: string[] = []
  const clock = { after: () => () => {} }
  const rotation = createLogRotation({ clock, log: silentLog, runtime: { reopenLog: async id => void reopened.push(id) } })
  t.teardown(() => rotation.close())
  const folder = t.testdir({ '0.log.1': 'still written to' })
  rotation.track({ id: 'c', logPath: join(folder, '0.log') })
  t.same(reopened, ['c'])
  t.end()
})

t.test('pruning leaves rotated files of kept attempts', async t => {
  const dir = t.testdir()
  mkdirSync(dir, { recursive: true })
  for (const name of ['0.log', '0.log.1', '1.log', '2.log', '3.log', '3.log.1']) writeFileSync(join(dir, name), '')
  pruneAttempts(dir)
  t.same(readdirSync(dir).sort(), ['1.log', '2.log', '3.log', '3.log.1'])
})
