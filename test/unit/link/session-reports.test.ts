import t from 'tap'
import { spentOf } from '../../../src/link/budget.ts'
import { DAY_MS, EVENTS, OUTBOX_WRITE_BYTES, OUTBOX_WRITE_CONNECTED_MS, OUTBOX_WRITE_MS, PROFILES } from '../../../src/link/limits.ts'
import { usageOf } from '../../../src/link/session.ts'
import { change, live, newWorld, put, putServer, report, run, startDevice, startServer, type World } from './world.ts'

const TIME = '2026-11-22T10:00:00Z'
const event = (w: World, note: string): void =>
  put(w, { in: 'event', event: { regarding: { kind: 'Pod', name: 'a', uid: 'u' }, type: 'Normal', reason: 'R', note, time: TIME } })
const telemetry = (w: World, value: number): void => put(w, { in: 'telemetry', item: { name: 'volts', value, time: TIME } })
const frames = (w: World, since = 0): string[] =>
  w.bytes.frames.slice(since).map(line => `${line.split(' ')[0]} ${/"t":"(\w+)"/.exec(line)?.[1]}`)
/** The device is out of reach. */
const away = (w: World): void => {
  w.reachable = false
  const wire = live(w)
  if (wire) wire.serverOpen = false
  run(w, 10)
}
const metered = (w: World, budgetBytes = {}): void => {
  w.uplink = { uplink: 'wwan0', profile: 'metered', budgetBytes }
  put(w, { in: 'uplink', uplink: w.uplink })
}

t.test('a profile holds from the moment it is set: delays and keepalive here, and on the server', async t => {
  const w = newWorld()
  run(w, 1000)
  metered(w)
  run(w, 20_000)
  t.equal(w.record.terms.profile, 'metered')
  t.equal(live(w)!.session.keepaliveMs, PROFILES.metered.keepaliveMs)
  const mark = w.bytes.frames.length
  report(w, 'pod/a', 1)
  change(w, 'a', 'one')
  run(w, 4000)
  t.strictSame(frames(w, mark), [], 'gathered')
  run(w, 10_000)
  t.strictSame(w.seen.get('pod/a'), '1')
  t.equal(w.applied.length, 2)
  run(w, 60_000)
  const quiet = w.bytes.frames.length
  run(w, DAY_MS)
  const pings = frames(w, quiet).filter(line => line === 'up ping').length
  t.ok(pings <= DAY_MS / PROFILES.metered.keepaliveMs + 12, `${pings} pings a day`)
  put(w, { in: 'uplink', uplink: { uplink: 'eth0', profile: 'lan' } })
  report(w, 'pod/a', 2)
  run(w, 1000)
  t.strictSame(w.seen.get('pod/a'), '2')
  t.ok(live(w))
})

t.test('a class at its bound waits for the next day, those above it go on, and nothing that waits is lost', async t => {
  const w = newWorld()
  metered(w, { events: 1500, telemetry: 0 })
  run(w, 1000)
  telemetry(w, 1)
  for (let i = 0; i < 20; i++) {
    event(w, `n${i}`)
    run(w, 120_000)
  }
  t.ok(w.events.length > 0 && w.events.length < 20, `${w.events.length} events`)
  report(w, 'pod/a', 1)
  change(w, 'a', 'one')
  run(w, 120_000)
  t.strictSame([w.seen.get('pod/a'), w.applied.length], ['1', 2])
  const usage = usageOf(w.device)
  t.equal(usage.perPriority.events.waiting, 20 - w.events.length)
  t.ok(usage.perPriority.events.sentBytes + usage.perPriority.events.receivedBytes >= 1500)
  t.strictSame([usage.uplink, usage.profile, usage.perPriority.telemetry.waiting], ['wwan0', 'metered', 1])
  run(w, usage.dayEndsInMs)
  run(w, 120_000)
  t.equal(w.events.length, 20)
  t.equal(usageOf(w.device).day, usage.day + 1)
  t.strictSame(w.telemetry, [], 'a bound of nothing is one')
})

t.test('a reboot does not begin a new day', async t => {
  const w = newWorld()
  metered(w, { events: 1500 })
  for (let i = 0; i < 10; i++) {
    event(w, `n${i}`)
    run(w, 120_000)
  }
  put(w, { in: 'stop' })
  const { sent } = spentOf(w.device.budget, 'events')
  startDevice(w)
  t.equal(spentOf(w.device.budget, 'events').sent, sent)
  const told = w.events.length
  event(w, 'late')
  run(w, 3_600_000)
  t.equal(w.events.length, told)
})

t.test('events and telemetry that the server did not get are on disk, and come after a power cut, in order and once', async t => {
  const w = newWorld()
  run(w, 1000)
  away(w)
  for (let i = 0; i < 5; i++) event(w, `n${i}`)
  telemetry(w, 12.5)
  run(w, OUTBOX_WRITE_MS + 1000)
  event(w, 'not on disk yet')
  t.equal(w.kept.items.size, 6)
  startDevice(w)
  event(w, 'after')
  w.reachable = true
  run(w, 20 * 60_000)
  t.strictSame(w.events, ['n0', 'n1', 'n2', 'n3', 'n4', 'after'])
  t.strictSame(w.telemetry, ['volts=12.5'])
  t.equal(w.kept.items.size, 0, 'what was taken is removed')
  startDevice(w)
  run(w, 60_000)
  t.equal(w.events.length, 6)
})

t.test('a server that took more of an earlier life than the disk kept confirms no event of this life', async t => {
  const w = newWorld()
  run(w, 1000)
  away(w)
  event(w, 'on disk')
  run(w, OUTBOX_WRITE_MS)
  w.reachable = true
  run(w, 120_000)
  event(w, 'told at once')
  run(w, 60_000)
  t.strictSame(w.events, ['on disk', 'told at once'])
  // The disk still has the first, and gives the number of the second anew.
  startDevice(w)
  event(w, 'of this life')
  run(w, 120_000)
  t.strictSame(w.events, ['on disk', 'told at once', 'of this life'])
})

t.test('a status that comes again with an older number changes nothing', async t => {
  const w = newWorld()
  run(w, 1000)
  report(w, 'pod/a', 1)
  run(w, 1000)
  report(w, 'pod/a', 2)
  run(w, 1000)
  const old = { t: 'status', seq: 1, whole: false, digest: '0'.repeat(32), items: [{ key: 'pod/a', value: 1 }] }
  putServer(w, live(w)!, { in: 'frame', text: JSON.stringify(old) })
  run(w, 1000)
  t.equal(w.seen.get('pod/a'), '2')
  t.ok(live(w))
})

t.test('a device in contact writes nothing of its events to disk; much at once is written at once', async t => {
  const w = newWorld()
  run(w, 1000)
  for (let i = 0; i < 100; i++) {
    event(w, `n${i}`)
    run(w, 10_000)
  }
  t.equal(w.events.length, 100)
  t.equal(w.kept.writes, 0)
  w.rejectCallbacks = true
  event(w, 'rejected')
  run(w, OUTBOX_WRITE_CONNECTED_MS + 1000)
  t.equal(w.kept.writes, 1)
  away(w)
  for (let i = 0; i < OUTBOX_WRITE_BYTES / 500; i++) event(w, 'x'.repeat(600))
  t.ok(w.kept.writes >= 2)
})

t.test('a full disk costs nothing but the safety: events go on, and are written when there is room', async t => {
  const w = newWorld()
  w.diskFull = true
  away(w)
  event(w, 'one')
  run(w, OUTBOX_WRITE_MS + 1000)
  t.match(w.log.at(-1), /keep events and counters: no space/)
  w.diskFull = false
  run(w, 6 * 60_000)
  t.equal(w.kept.items.size, 1)
  w.reachable = true
  run(w, 30 * 60_000)
  t.strictSame(w.events, ['one'])
})

t.test('what is damaged on disk is dropped and counted, and breaks no connection', async t => {
  const w = newWorld()
  away(w)
  for (let i = 0; i < 3; i++) event(w, `n${i}`)
  run(w, OUTBOX_WRITE_MS + 1000)
  const [first] = w.kept.items.keys()
  w.kept.items.set(first!, { ...w.kept.items.get(first!)!, text: '{"cursor":1,"note":7}' })
  w.reachable = true
  startDevice(w)
  run(w, 60_000)
  t.strictSame(w.events, ['n1', 'n2'])
  t.equal(w.put.dropped, 1)
})

t.test('events beyond their age or number are dropped, counted, and the count is told', async t => {
  const w = newWorld()
  away(w)
  for (let i = 0; i < EVENTS.itemsMax + 7; i++) event(w, `n${i}`)
  t.equal(usageOf(w.device).perPriority.events.dropped, 7)
  run(w, EVENTS.ttlMs + 60_000)
  event(w, 'fresh')
  w.reachable = true
  run(w, 3_600_000)
  t.strictSame(w.events, ['fresh'])
  t.equal(w.put.dropped, EVENTS.itemsMax + 7)
})

t.test('the device reports its usage a few times a day, and at once when its uplink changes', async t => {
  const w = newWorld()
  run(w, DAY_MS)
  const reports = w.bytes.frames.filter(line => line.includes('"key":"link"')).length
  t.ok(reports >= 3 && reports <= 5, `${reports} reports`)
  metered(w)
  run(w, 60_000)
  t.match(JSON.parse(w.seen.get('link') ?? 'null'), { uplink: 'wwan0', profile: 'metered', bytes: Array })
})

t.test('many devices at a new server are told to wait with their whole status, and asked in their turn', async t => {
  const w = newWorld()
  report(w, 'pod/a', 1)
  run(w, 1000)
  w.wholeStatusMs = 30_000
  w.seen.clear()
  startServer(w)
  run(w, 10_000)
  t.ok(live(w))
  t.strictSame([...w.seen], [])
  report(w, 'pod/a', 2)
  run(w, 40_000)
  t.strictSame([...w.seen], [['pod/a', '2']])
})

t.test(
  'a stream on a metered link is refused in words, one that was allowed goes; a change to metered ends those that were not',
  async t => {
    const w = newWorld()
    metered(w)
    run(w, 1000)
    const request = { do: 'logs', namespace: 'n', pod: 'p', container: 'c', options: {} } as const
    putServer(w, live(w)!, { in: 'openStream', request, allowed: false })
    run(w, 1000)
    t.match(w.bytes.frames.at(-1), /"t":"end".*carries no bulk unless allowed/)
    putServer(w, live(w)!, { in: 'openStream', request, allowed: true })
    run(w, 1000)
    t.equal(w.device.mux.streams.size, 1)
    put(w, { in: 'uplink', uplink: { uplink: 'eth0', profile: 'lan' } })
    putServer(w, live(w)!, { in: 'openStream', request, allowed: false })
    run(w, 1000)
    t.equal(w.device.mux.streams.size, 2)
    metered(w)
    run(w, 1000)
    t.strictSame([...w.device.mux.streams.keys()], [...w.device.allowed])
  },
)

t.test('an idle day writes the counters a few times, and much traffic on a link without bounds no more often', async t => {
  const w = newWorld()
  run(w, DAY_MS)
  t.ok(w.kept.writes <= 8, `${w.kept.writes} writes`)
  const before = w.kept.writes
  put(w, { in: 'spent', sentBytes: 0, receivedBytes: 1e9 })
  run(w, 3_600_000)
  t.ok(w.kept.writes <= before + 1)
  metered(w)
  for (let i = 0; i < 60; i++) {
    put(w, { in: 'spent', sentBytes: 0, receivedBytes: 1e6 })
    run(w, 60_000)
  }
  t.ok(w.kept.writes > before + 3 && w.kept.writes <= before + 16, `${w.kept.writes - before} writes in an hour of bulk`)
})
