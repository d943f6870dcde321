import t from 'tap'
import { CONTACT_INTERVAL_MS_MIN, CONTACT_LONG_MS, CONTACT_QUIET_MS } from '../../../src/link/limits.ts'
import { change, DEVICE, drain, live, newWorld, put, putServer, report, run, startServer, type World } from './world.ts'

const HOUR_MS = 3_600_000
const frames = (w: World, type: string): number => w.bytes.frames.filter(line => line.includes(`"t":"${type}"`)).length
const calls = (w: World, ms: number | undefined): void => {
  w.contactMs = ms
  put(w, { in: 'contactInterval', ms })
}

t.test('a device that calls every hour dials, syncs, reports, says bye and is quiet until the next call', async t => {
  const w = newWorld()
  report(w, 'pod/a', 1)
  calls(w, HOUR_MS)
  run(w, CONTACT_QUIET_MS + 5000)
  t.equal(live(w), undefined)
  t.equal(w.record.terms.contactMs, HOUR_MS)
  t.match(w.bytes.frames.at(-1), /"t":"bye"/)
  t.equal(w.device.lastError, undefined)
  const dialled = w.device.conn
  change(w, 'a', 'one')
  report(w, 'pod/a', 2)
  run(w, 30 * 60_000)
  t.strictSame([w.device.conn, w.seen.get('pod/a'), w.applied.length], [dialled, '1', 1])
  run(w, 40 * 60_000)
  t.strictSame([w.device.conn, w.seen.get('pod/a'), w.applied.length], [dialled + 1, '2', 2])
  run(w, 24 * HOUR_MS)
  const perDay = w.device.conn - dialled
  t.ok(perDay >= 20 && perDay <= 30, `${perDay} calls in 25 hours`)
  t.equal(frames(w, 'ping'), 0)
})

t.test('what waited between two calls is told in the call, however long its profile gathers', async t => {
  const w = newWorld()
  put(w, { in: 'uplink', uplink: { uplink: 'wwan0', profile: 'metered' } })
  calls(w, HOUR_MS)
  run(w, 10 * 60_000)
  t.equal(live(w), undefined)
  const time = '2026-11-22T10:00:00Z'
  put(w, {
    in: 'event',
    event: { regarding: { kind: 'Pod', name: 'a', uid: 'u' }, type: 'Normal', reason: 'R', note: 'between two calls', time },
  })
  put(w, { in: 'telemetry', item: { name: 'volts', value: 7, time } })
  run(w, 2 * HOUR_MS)
  t.equal(live(w), undefined)
  t.same(w.events, ['between two calls'])
  t.equal(frames(w, 'telemetry'), 1)
})

t.test('calls are spread around the interval, an operator’s sync calls at once, and contact without end comes back', async t => {
  const w = newWorld()
  calls(w, HOUR_MS)
  run(w, 60_000)
  const at = w.device.phase.is === 'waiting' ? w.device.phase.dialAtMs - w.nowMs : 0
  t.ok(at > 0.85 * HOUR_MS && at <= 1.1 * HOUR_MS)
  const dialled = w.device.conn
  put(w, { in: 'sync' })
  run(w, 1000)
  t.equal(w.device.conn, dialled + 1)
  run(w, 60_000)
  t.equal(live(w), undefined)
  calls(w, undefined)
  run(w, HOUR_MS)
  t.ok(live(w))
  calls(w, 1)
  t.equal(w.device.contactMs, CONTACT_INTERVAL_MS_MIN)
})

t.test('a call does not end amid a stream or a report, and one that never gets quiet ends all the same', async t => {
  const w = newWorld()
  run(w, 1000)
  calls(w, HOUR_MS)
  putServer(w, live(w)!, {
    in: 'openStream',
    request: { do: 'logs', namespace: 'n', pod: 'p', container: 'c', options: {} },
    allowed: false,
  })
  run(w, 5 * 60_000)
  t.ok(live(w))
  put(w, { in: 'end', id: 1, error: undefined })
  run(w, CONTACT_QUIET_MS + 1000)
  t.equal(live(w), undefined)
  put(w, { in: 'sync' })
  for (let i = 0; i * 5000 < CONTACT_LONG_MS + 30_000 && (live(w) || i < 2); i++) {
    report(w, 'pod/a', i)
    run(w, 5000)
  }
  t.equal(live(w), undefined)
})

t.test('a retained head is a reason to call only when it is signed and newer', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  const old = w.disk!.head
  calls(w, 24 * HOUR_MS)
  run(w, 60_000)
  const dialled = w.device.conn
  const offered = (): { readonly conn: number; readonly value: string | undefined } => {
    run(w, 60_000)
    return { conn: w.device.conn - dialled, value: w.disk?.document.configMaps[0]?.data?.['value'] }
  }
  put(w, { in: 'retainedHead', head: old })
  t.strictSame(offered(), { conn: 0, value: 'one' }, 'equal')
  put(w, { in: 'retainedHead', head: { ...old, generation: old.generation + 1 } })
  t.strictSame(offered(), { conn: 0, value: 'one' }, 'not signed')
  change(w, 'a', 'two')
  const newer = w.desk.current.offer(DEVICE, old).head!
  put(w, { in: 'retainedHead', head: newer })
  t.strictSame(offered(), { conn: 1, value: 'two' }, 'newer')
  put(w, { in: 'retainedHead', head: old })
  t.strictSame(offered(), { conn: 1, value: 'two' }, 'older: neither a call nor a word')
  t.equal(w.refused.length, 0)
})

t.test('a retained head that comes during a session is fetched at once', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  w.truth.revision++
  w.truth.values['a'] = 'two'
  w.desk.current.changed(DEVICE)
  put(w, { in: 'retainedHead', head: w.desk.current.offer(DEVICE, w.record.held).head! })
  run(w, 1000)
  t.equal(w.disk?.document.configMaps[0]?.data?.['value'], 'two')
})

t.test('a device that floods is sent away for a while; one that reports too much is held up, and loses nothing', async t => {
  const w = newWorld()
  run(w, 1000)
  const wire = live(w)!
  for (let i = 0; i < 5000; i++) wire.up.push(`{"t":"ping","n":${i}}`)
  drain(w)
  t.equal(wire.serverOpen, false)
  t.match(w.bytes.frames.at(-1), /"t":"busy"/)
  run(w, 30_000)
  t.equal(live(w), undefined, 'it was told when to come again')
  run(w, 90_000)
  t.ok(live(w))
  const before = frames(w, 'statusAck')
  for (let i = 0; i < 2000; i++) {
    report(w, 'pod/a', i)
    run(w, 60)
  }
  t.ok(frames(w, 'statusAck') - before < 500, `${frames(w, 'statusAck') - before} reports in two minutes`)
  run(w, 10_000)
  t.equal(w.seen.get('pod/a'), '1999')
})

t.test('credit and data of streams that are not open are a flood too; what was under way when a stream ended is not', async t => {
  for (const frame of ['{"t":"credit","id":7,"bytes":1}', '{"t":"data","id":7,"channel":1,"data":"YQ=="}']) {
    const w = newWorld()
    run(w, 1000)
    const wire = live(w)!
    for (let i = 0; i < 8000; i++) wire.up.push(frame)
    drain(w)
    t.equal(wire.serverOpen, true, 'a window of small pieces')
    for (let i = 0; i < 8000; i++) wire.up.push(frame)
    drain(w)
    t.equal(wire.serverOpen, false)
  }
})

t.test('a session tells the signed time of the server once, and each session anew', async t => {
  const w = newWorld()
  run(w, 1000)
  startServer(w)
  run(w, 60_000)
  t.strictSame(w.times, ['2026-11-22T10:00:00Z', '2026-11-22T10:00:00Z'])
})

t.test('a reconnect without change is short: hello and welcome together below 600 characters', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  report(w, 'pod/a', 1)
  run(w, 1000)
  const mark = w.bytes.frames.length
  live(w)!.serverOpen = false
  run(w, 10_000)
  const sizes = w.bytes.frames.slice(mark).map(line => Number(line.split(' ')[1]))
  t.equal(sizes.length, 2)
  t.ok(sizes[0]! + sizes[1]! < 600, `${sizes.join(' + ')}`)
  t.comment(`hello ${sizes[0]}, welcome ${sizes[1]}`)
})
