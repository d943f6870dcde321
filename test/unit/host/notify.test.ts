import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import { openNotifier } from '../../../src/host/notify.ts'

/** A service manager that writes down what it hears, and time that passes when told. */
const world = () => {
  const said: string[] = []
  const due: { atMs: number; fn: () => void }[] = []
  const deps = {
    exec: {
      run: async (command: string, args: readonly string[], options?: { readonly env?: Readonly<Record<string, string>> }) => {
        said.push(`${options?.env?.['NOTIFY_SOCKET']} ${command} ${args.join(' ')}`)
        return { code: 0, stdout: '', stderr: '' }
      },
    },
    clock: {
      after: (delayMs: number, fn: () => void) => {
        const timer = { atMs: delayMs, fn }
        due.push(timer)
        return () => void due.splice(due.indexOf(timer), 1)
      },
    },
    log: silentLog,
    pid: 7,
  }
  const tick = async (): Promise<number | undefined> => {
    const timer = due.shift()
    timer?.fn()
    await new Promise(resolve => setImmediate(resolve))
    return timer?.atMs
  }
  return { said, due, deps, tick }
}

t.test('its variables are not handed on to what the role starts', async t => {
  const env = { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '180000000', WATCHDOG_PID: '7', PATH: '/bin' }
  const { deps, said } = world()
  await openNotifier(deps, env).ready('up')
  t.same(env, { PATH: '/bin' })
  t.same(said, ['/s systemd-notify --ready --status=up'])
})

t.test('without a service manager nothing is started and nothing is timed', async t => {
  const { deps, said, due } = world()
  const notifier = openNotifier(deps, {})
  await notifier.ready('up')
  notifier.feed(async () => {})
  notifier.stopping()
  t.same([said, due], [[], []])
})

t.test('the watchdog is fed at half its time while the probe settles, also with an error', async t => {
  const { deps, said, tick } = world()
  const answers = [() => Promise.resolve(), () => Promise.reject(new Error('disk full'))]
  openNotifier(deps, { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '180000000' }).feed(() => (answers.shift() ?? (() => Promise.resolve()))())
  t.equal(await tick(), 90_000)
  t.equal(await tick(), 90_000)
  t.same(said, ['/s systemd-notify WATCHDOG=1', '/s systemd-notify WATCHDOG=1'])
})

t.test('a probe that hangs feeds nothing', async t => {
  const { deps, said, due, tick } = world()
  openNotifier(deps, { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '180000000' }).feed(() => new Promise(() => {}))
  await tick()
  t.same([said, due], [[], []])
})

t.test('a role that stops is fed no more', async t => {
  const { deps, said, due } = world()
  const notifier = openNotifier(deps, { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '180000000' })
  notifier.feed(async () => {})
  notifier.stopping()
  t.same([said, due], [['/s systemd-notify STOPPING=1'], []])
})

t.test('a watchdog meant for another process is not fed', async t => {
  const { deps, due } = world()
  openNotifier(deps, { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '180000000', WATCHDOG_PID: '8' }).feed(async () => {})
  t.same(due, [])
})
