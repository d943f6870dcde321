import t from 'tap'
import { RECONNECT_BASE_MS, SESSION_LONG_MS } from '../../../src/link/limits.ts'
import { makePatch } from '../../../src/link/patch.ts'
import { fc } from '../../property.ts'
import {
  advance,
  change,
  codec,
  deliver,
  documentOf,
  drain,
  live,
  newWorld,
  put,
  putServer,
  report,
  run,
  startDevice,
  startServer,
  type World,
} from './world.ts'

const values = (w: World): Record<string, string> =>
  Object.fromEntries((w.disk?.document.configMaps ?? []).map(map => [map.metadata.name, map.data?.['value']])) as Record<string, string>
const seen = (w: World): Record<string, string> => Object.fromEntries([...w.seen].sort())
/** Frames of a type in the order they arrived, from `since`. */
const frames = (w: World, since = 0): string[] =>
  w.bytes.frames.slice(since).map(line => `${line.split(' ')[0]} ${/"t":"(\w+)"/.exec(line)?.[1]}`)

t.test('a device fetches its document, saves it, then says so; a large change is fetched as a patch', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  t.strictSame(values(w), { a: 'one' })
  t.strictSame(frames(w), ['up hello', 'down welcome', 'up fetch', 'up status', 'down document', 'up applied', 'down statusAck'])
  const mark = w.bytes.frames.length
  const large = Array.from({ length: 60 }, (_, i) => codec.sha256(codec.encode(`${i}`))).join('')
  change(w, 'a', large)
  run(w, 1000)
  t.strictSame(values(w), { a: large })
  t.strictSame(frames(w, mark), ['down head', 'up fetch', 'down document', 'up applied'])
  t.match(w.bytes.frames[mark + 2], /"base":"[0-9a-f]{64}"/)
  t.strictSame(w.record.held?.generation, w.disk?.head.generation)
})

t.test('an unchanged document is neither signed nor sent, whatever was written to the store', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  const mark = w.bytes.frames.length
  for (let i = 0; i < 5; i++) change(w, 'a', 'one')
  run(w, 1000)
  t.strictSame(frames(w, mark), [])
})

t.test('a reconnect without change costs a hello and a welcome', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  report(w, 'node', { ready: true })
  run(w, 1000)
  const mark = w.bytes.frames.length
  live(w)!.serverOpen = false
  run(w, 60_000)
  t.strictSame(frames(w, mark).slice(0, 2), ['up hello', 'down welcome'])
  t.match(w.bytes.frames[mark + 1], /"head":null,"needStatus":"none"/)
  t.notOk(frames(w, mark).includes('up status'))
})

t.test('status reaches the server by its last value only, and a new server asks for all of it', async t => {
  const w = newWorld()
  run(w, 1000)
  for (let i = 0; i < 50; i++) report(w, 'pod/a', { i })
  report(w, 'pod/b', { phase: 'Running' })
  report(w, 'pod/b', null)
  const mark = w.bytes.frames.length
  run(w, 1000)
  t.strictSame(frames(w, mark), ['up status', 'down statusAck'])
  t.strictSame(seen(w), { 'pod/a': '{"i":49}' })
  w.seen.clear()
  startServer(w)
  run(w, 60_000)
  t.strictSame(seen(w), { 'pod/a': '{"i":49}' })
})

t.test('what is reported between hello and welcome is not taken for what the two agreed on', async t => {
  const w = newWorld()
  report(w, 'pod/a', 1)
  report(w, 'pod/b', 1)
  run(w, 1000)
  startDevice(w)
  report(w, 'pod/a', 2)
  report(w, 'pod/b', null)
  run(w, 60_000)
  t.strictSame(seen(w), { 'pod/a': '2' })
})

t.test('a rejected report is asked for again, and acknowledged only when it was taken', async t => {
  const w = newWorld()
  run(w, 1000)
  w.rejectCallbacks = true
  report(w, 'pod/a', 1)
  put(w, {
    in: 'event',
    event: { regarding: { kind: 'Pod', name: 'a', uid: 'u' }, type: 'Normal', reason: 'Started', note: 'n1', time: '2026-11-22T10:00:00Z' },
  })
  run(w, 5000)
  t.strictSame([seen(w), w.events], [{}, []])
  w.rejectCallbacks = false
  run(w, 30_000)
  t.strictSame([seen(w), w.events], [{ 'pod/a': '1' }, ['n1']])
})

t.test('a save that ends between hello and welcome is told after it', async t => {
  const w = newWorld()
  w.diskFull = true
  change(w, 'a', 'one')
  run(w, 100)
  live(w)!.serverOpen = false
  drain(w)
  w.diskFull = false
  advance(w, w.nowMs + 1000)
  advance(w, w.nowMs + 1000)
  run(w, 10_000)
  t.strictSame(w.record.held?.generation, w.disk?.head.generation)
})

t.test('a large document comes in windows and goes on where the last connection broke', async t => {
  const w = newWorld()
  const noise = Array.from({ length: 30_000 }, (_, i) => codec.sha256(codec.encode(String(i))).slice(0, 16)).join('')
  change(w, 'big', noise)
  put(w, { in: 'sync' })
  let fetched = 0
  for (let breaks = 0; breaks < 4; breaks++) {
    for (let i = 0; i < 8; i++) {
      const wire = live(w)
      if (!wire) advance(w, w.nowMs + 60_000)
      else if (!deliver(w, wire, 'up') && deliver(w, wire, 'down')) fetched++
    }
    const wire = live(w)
    if (wire) wire.serverOpen = wire.deviceOpen = false
    put(w, { in: 'closed', conn: w.device.conn, reason: 'cut' })
  }
  const before = w.device.desired.download?.received ?? 0
  t.ok(before > 64_000, `${before} bytes kept across four connections`)
  const mark = w.bytes.down
  run(w, 60_000)
  t.equal(values(w)['big'], noise)
  const whole = (w.disk?.head.size ?? 0) * (4 / 3) * 0.6
  t.ok(w.bytes.down - mark < whole, `${w.bytes.down - mark} bytes after the last break, not the whole`)
  t.ok(fetched > 0)
})

t.test('a report still being taken when its connection broke does not outlast the newer value', async t => {
  const w = newWorld()
  report(w, 'pod/a', 1)
  run(w, 1000)
  report(w, 'pod/a', 2)
  advance(w, w.nowMs + 100)
  const old = live(w)!
  deliver(w, old, 'up')
  t.equal(w.callbacks.length, 1)
  old.serverOpen = old.deviceOpen = false
  put(w, { in: 'closed', conn: w.device.conn, reason: 'cut' })
  report(w, 'pod/a', 1)
  while (!live(w)) advance(w, w.nowMs + 60_000)
  deliver(w, live(w)!, 'up')
  run(w, 10_000)
  t.strictSame(seen(w), { 'pod/a': '1' })
})

t.test('a document that is not the one signed is fetched whole once more, then refused; nothing of it is acted on', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  w.patches = 'left out'
  change(w, 'a', 'two')
  const wire = live(w)!
  const forged = codec.toBase64(makePatch(codec, codec.encode(JSON.stringify(documentOf({ a: 'bad' }))), undefined))
  for (let i = 0; i < 40 && w.refused.length === 0; i++) {
    deliver(w, wire, 'up')
    const [text] = wire.down
    if (text?.startsWith('{"t":"document"')) {
      const piece = {
        ...(JSON.parse(text) as { sha256: string }),
        base: '',
        offset: 0,
        size: Buffer.from(forged, 'base64').length,
        data: forged,
      }
      wire.down[0] = JSON.stringify(piece)
    }
    deliver(w, wire, 'down')
  }
  t.strictSame(w.refused, ['invalid'])
  t.strictSame([values(w), w.applied.length], [{ a: 'one' }, 1])
  wire.serverOpen = false
  run(w, 60_000)
  t.strictSame(values(w), { a: 'two' })
})

t.test('what an old connection still says is not heard', async t => {
  const w = newWorld()
  run(w, 1000)
  live(w)!.serverOpen = false
  run(w, 60_000)
  const present = live(w)
  t.equal(w.device.conn, 2)
  put(w, { in: 'frame', conn: 1, text: 'not a frame' })
  put(w, { in: 'closed', conn: 1, reason: 'late news' })
  put(w, { in: 'dialFailed', conn: 1, reason: 'late news' })
  t.equal(live(w), present)
})

t.test('a device whose node is gone asks a few times, then seldom; told to sync it asks at once, and begins anew', t => {
  const day = 86_400_000
  for (const [profile, early, daily] of [
    ['lan', 4, 32],
    ['metered', 4, 8],
  ] as const) {
    const w = newWorld()
    put(w, { in: 'uplink', uplink: { uplink: 'wwan0', profile } })
    run(w, 1000)
    w.known = false
    live(w)!.serverOpen = false
    run(w, 10 * 60_000)
    t.ok(w.device.conn >= early, `${profile}: at first often: ${w.device.conn}`)
    run(w, day)
    const dials = w.device.conn
    run(w, day)
    t.ok(w.device.conn - dials <= daily, `${profile}: ${w.device.conn - dials} dials a day`)
    t.ok(w.device.conn > dials, 'it never gives up')
    put(w, { in: 'sync' })
    run(w, 0)
    t.equal(w.device.phase.is, 'waiting')
    const asked = w.device.conn
    run(w, 10 * 60_000)
    t.ok(w.device.conn - asked >= early - 1, 'as at the beginning')
    w.known = true
    put(w, { in: 'sync' })
    run(w, 1000)
    t.equal(w.device.phase.is, 'open')
  }
  t.end()
})

t.test('a half-open connection is noticed by both sides and replaced', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  const old = live(w)!
  old.dead = true
  change(w, 'a', 'two')
  run(w, 40_000)
  t.not(live(w), old)
  t.strictSame(values(w), { a: 'two' })
  t.equal(old.serverOpen, false)
})

t.test('a hello that was overtaken by a newer connection does not take its place', async t => {
  const w = newWorld()
  run(w, 1000)
  const old = live(w)!
  const stale = { ...old, session: { ...old.session, phase: 'greeting' as const, deps: { ...old.session.deps, id: 99 } }, serverOpen: true }
  w.wires.push(stale)
  putServer(w, stale, {
    in: 'frame',
    text: JSON.stringify({
      t: 'hello',
      v: 1,
      run: 'run-1',
      seq: 1,
      head: null,
      statusDigest: '0'.repeat(32),
      statusBase: '0'.repeat(32),
    }),
  })
  t.equal(stale.serverOpen, false)
  t.equal(live(w), old)
})

t.test('the first retry after a long session falls into the herd window, later ones back off with full jitter up to the cap', async t => {
  const w = newWorld()
  run(w, SESSION_LONG_MS + 1000)
  w.reachable = false
  live(w)!.serverOpen = false
  drain(w)
  const first = w.device.phase.is === 'waiting' ? w.device.phase.dialAtMs - w.nowMs : -1
  t.ok(first >= 0 && first <= 1001)
  const delays: number[] = []
  for (let i = 0; i < 40; i++) {
    advance(w, Number.POSITIVE_INFINITY)
    if (w.device.phase.is === 'waiting') delays.push(w.device.phase.dialAtMs - w.nowMs)
  }
  t.ok(delays.every((delay, i) => delay <= Math.min(15 * 60_000, RECONNECT_BASE_MS * 2 ** i) + 1))
  t.ok(Math.max(...delays) > 10 * 60_000)
  t.ok(Math.min(...delays.slice(12)) < 5 * 60_000, 'full jitter reaches down as well')
})

t.test('malformed frames end the connection, never the machine', async t => {
  const junk = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({ t: fc.constantFrom('head', 'welcome', 'document', 'data', 'credit', 'open', 'eventsAck'), id: fc.anything() })
      .map(x => JSON.stringify(x) ?? ''),
  )
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  fc.assert(
    fc.property(junk, text => {
      put(w, { in: 'frame', conn: w.device.conn, text })
      const wire = live(w)
      if (wire) wire.up.push(text)
      run(w, 20 * 60_000)
      return live(w) !== undefined && values(w)['a'] === 'one'
    }),
    { numRuns: 40 },
  )
  t.equal(w.applied.length, 1)
})

t.test('the same inputs give the same frames', async t => {
  const trace = (): string[] => {
    const w = newWorld()
    for (let i = 0; i < 30; i++) {
      change(w, 'a', `v${i}`)
      report(w, 'pod/a', i)
      if (i % 7 === 0) live(w)!.serverOpen = false
      run(w, 3000)
    }
    return w.bytes.frames
  }
  t.strictSame(trace(), trace())
})
