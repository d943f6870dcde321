// Pods that ask to be stopped when the server is silent for too long: only those, and only until it is heard again.

import t from 'tap'
import { STOP_AFTER } from '../../../src/kinds/disconnection.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { container, document, openModel, pod } from './model.ts'

const MINUTE = 60_000
const REBOOTED = { connected: false, sinceAtMs: 0, patienceMs: Number.NEGATIVE_INFINITY }

const fenced = (name: string, after = '10m', spec: Partial<Pod['spec']> = {}): Pod =>
  pod(name, spec, { annotations: { [STOP_AFTER]: after } })

t.test('a silent server stops the pods that ask for it, after as long as they ask for, and no others', async t => {
  const m = openModel()
  m.give(document([fenced('short', '5m'), fenced('long', '1h'), pod('plain')]))
  m.run(MINUTE)
  m.heard(false)
  m.run(4 * MINUTE)
  t.same(m.running(), ['long/main#0', 'plain/main#0', 'short/main#0'])
  m.run(2 * MINUTE)
  t.same(m.running(), ['long/main#0', 'plain/main#0'])
  t.match(m.status('short'), {
    reason: 'DisconnectedStop',
    phase: 'Running',
    message: 'stopped after 5m0s without contact with the server',
    conditions: [{}, {}, { type: 'Ready', status: 'False' }, { reason: 'DisconnectedStop' }, {}],
  })
  t.match(m.containerStatus('short').state, { waiting: { reason: 'DisconnectedStop' } })
  t.ok(m.events.some(e => e.startsWith('Killing: Stopping container: stopped after 5m0s without contact')))
  m.run(600 * MINUTE)
  t.same(m.running(), ['plain/main#0'], 'everything else runs for ever')
})

t.test('on contact it starts again at once, in the sandbox and with the address it had', async t => {
  const m = openModel()
  m.give(document([fenced('a')]))
  m.run(1000)
  const { podIP } = m.status('a')
  m.heard(false)
  m.run(30 * MINUTE)
  m.asked()
  m.heard(true)
  m.run(1000)
  t.same(m.running(), ['a/main#1'])
  t.same(m.asked(), ['startContainer a main', 'removeContainer a main'])
  t.equal(m.status('a').podIP, podIP)
  t.equal(m.status('a').reason, undefined)
})

t.test('contact in time stops nothing; a stop under way is followed by a start', async t => {
  const m = openModel()
  m.give(document([fenced('a'), fenced('b', '10m', { containers: [container('main', { image: 'app:2' })] })]))
  m.run(1000)
  m.heard(false)
  m.run(9 * MINUTE)
  m.heard(true)
  m.run(60 * MINUTE)
  t.same(m.running(), ['a/main#0', 'b/main#0'])
  m.heard(false)
  m.run(10 * MINUTE + 20)
  m.heard(true)
  m.run(1000)
  t.same(m.running(), ['a/main#1', 'b/main#1'])
})

t.test('a container that must not restart starts again all the same: it had not finished', async t => {
  const m = openModel()
  m.give(document([fenced('job', '1m', { restartPolicy: 'Never' })]))
  m.run(1000)
  m.heard(false)
  m.run(5 * MINUTE)
  t.equal(m.status('job').phase, 'Running', 'stopped is not failed')
  m.contact = { connected: false, sinceAtMs: -5 * MINUTE, patienceMs: Number.POSITIVE_INFINITY }
  m.restart()
  m.run(MINUTE)
  t.same(m.running(), [], 'the next agent knows')
  t.equal(m.status('job').reason, 'DisconnectedStop')
  m.heard(true)
  m.run(1000)
  t.same(m.running(), ['job/main#1'])
})

t.test('after a reboot without contact such a pod does not start; all others do', async t => {
  const m = openModel()
  m.give(document([fenced('a'), pod('b')]))
  m.run(1000)
  m.contact = REBOOTED
  m.reboot()
  m.asked()
  m.run(60 * MINUTE)
  t.same(m.running(), ['b/main#1'])
  t.same(
    m.asked().filter(line => line.includes(' a')),
    [],
    'not even its volumes are touched',
  )
  t.match(m.status('a'), { reason: 'DisconnectedStop', message: /not started since the device was switched on/ })
  m.heard(true)
  m.run(1000)
  t.same(m.running(), ['a/main#1', 'b/main#1'])
})

t.test('an agent that does not know how long the server was silent waits a little, then stops', async t => {
  const m = openModel()
  m.give(document([fenced('a')]))
  m.run(1000)
  m.contact = { connected: false, sinceAtMs: m.nowMs, patienceMs: MINUTE }
  m.restart()
  m.run(MINUTE - 1000)
  t.same(m.running(), ['a/main#0'])
  m.run(2000)
  t.same(m.running(), [])
})

t.test('what runs was allowed to start: an agent that ended before it wrote down the contact leaves it a while', async t => {
  const m = openModel()
  m.give(document([fenced('a'), fenced('b')]))
  m.run(1000)
  m.reboot()
  m.heard(true)
  m.run(1000)
  const running = m.running()
  t.equal(running.length, 2)
  // The disk says that the device has been switched on since, and nothing of contact.
  m.contact = { ...REBOOTED, sinceAtMs: m.nowMs }
  m.restart()
  m.run(MINUTE - 1000)
  t.same(m.running(), running)
  m.run(60 * MINUTE)
  t.same(m.running(), [], 'and then they stay stopped')
  m.heard(true)
  m.run(1000)
  t.equal(m.running().length, 2)
})

t.test('a deleted pod leaves although the server is silent', async t => {
  const m = openModel()
  m.give(document([fenced('a', '1m')]))
  m.run(1000)
  m.heard(false)
  m.run(5 * MINUTE)
  m.give(document([pod('a', {}, { annotations: { [STOP_AFTER]: '1m' }, deletionTimestamp: '2026-11-22T10:00:00Z' })]))
  m.run(MINUTE)
  t.match(m.reports.get('pod/uid-a'), { gone: true })
})
