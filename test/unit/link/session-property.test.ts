import t from 'tap'
import { canonicalJson } from '../../../src/base/json.ts'
import { spentOf } from '../../../src/link/budget.ts'
import { DAY_MS } from '../../../src/link/limits.ts'
import type { Uplink } from '../../../src/link/link.ts'
import { headText } from '../../../src/link/messages.ts'
import { fc } from '../../property.ts'
import {
  advance,
  change,
  codec,
  DEVICE,
  deliver,
  live,
  newWorld,
  put,
  putServer,
  report,
  run,
  settle,
  signWith,
  startDevice,
  startServer,
  type World,
} from './world.ts'

const LAN: Uplink = { uplink: 'eth0', profile: 'lan' }
const BUDGET = { status: 3000, events: 2000, telemetry: 600, bulk: 0 }
const MODEM: Uplink = { uplink: 'wwan0', profile: 'metered', budgetBytes: BUDGET }
/** What one frame of this world and its acknowledgement may cost at most. */
const FRAME_COST_MAX = 2500

const longValue = (n: number): string => Array.from({ length: 60 }, (_, i) => codec.sha256(codec.encode(`${n} ${i}`))).join('')

const wireOf = (w: World) => w.wires.find(wire => wire.deviceOpen || wire.serverOpen)

/** What may happen, each with a number to draw from. */
const ACTS: Readonly<Record<string, (w: World, n: number) => void>> = {
  change: (w, n) => change(w, 'abc'[n % 3]!, n % 5 === 0 ? undefined : `value ${n}`),
  /** More than goes along with a head. */
  bigChange: (w, n) => change(w, 'abc'[n % 3]!, longValue(n)),
  patches: (w, n) => {
    w.patches = (['pass', 'left out', 'altered'] as const)[n % 3]!
  },
  report: (w, n) => report(w, `pod/${'abc'[n % 3]}`, n % 7 === 0 ? null : n % 4),
  event: (w, n) => {
    const event = {
      regarding: { kind: 'Pod', name: 'a', uid: 'u' },
      type: 'Normal',
      reason: 'R',
      note: `${w.put.notes.size}`,
      time: '2026-11-22T10:00:00Z',
    } as const
    if (n % 10 === 0) put(w, { in: 'telemetry', item: { name: 'volts', value: n, time: event.time } })
    w.put.notes.add(event.note)
    put(w, { in: 'event', event })
  },
  uplink: (w, n) => {
    w.uplink = n % 2 === 0 ? LAN : MODEM
    put(w, { in: 'uplink', uplink: w.uplink })
  },
  calls: (w, n) => {
    w.contactMs = n % 2 === 0 ? undefined : 60_000 * (1 + (n % 30))
    put(w, { in: 'contactInterval', ms: w.contactMs })
  },
  /** What a broker kept: of any age, and perhaps not signed by the server. */
  retained: (w, n) => {
    const offer = w.desk.current.offer(DEVICE, null).head
    const old = w.applied[n % Math.max(1, w.applied.length)]?.head
    const head = n % 3 === 0 ? old : offer
    if (head) put(w, { in: 'retainedHead', head: n % 5 === 0 ? { ...head, generation: head.generation + 5 } : head })
  },
  whole: (w, n) => {
    w.wholeStatusMs = n % 2 === 0 ? 0 : n * 100
  },
  up: w => {
    const wire = wireOf(w)
    if (wire) deliver(w, wire, 'up')
  },
  down: w => {
    const wire = wireOf(w)
    if (wire) deliver(w, wire, 'down')
  },
  settle: w => void settle(w),
  flow: w => run(w, 100),
  advance: (w, n) => advance(w, w.nowMs + (n % 90) * 1000),
  /** What was under way is lost; the server knows at once, the device when it hears of it. */
  cut: w => {
    const wire = wireOf(w)
    if (!wire) return
    wire.up.length = 0
    wire.down.length = 0
    if (wire.deviceOpen) wire.serverOpen = false
  },
  /** Half-open: nobody is told. */
  freeze: w => {
    const wire = wireOf(w)
    if (wire) wire.dead = true
  },
  restartDevice(w) {
    // A power cut: what was neither told nor on disk is gone.
    const there = new Set([...w.events, ...[...w.kept.items.values()].map(({ text }) => (JSON.parse(text) as { note: string }).note)])
    for (const note of w.put.notes) if (!there.has(note)) w.put.lost.add(note)
    startDevice(w)
  },
  restartServer: w => {
    w.seen.clear()
    w.put.before = w.events.length
    startServer(w)
  },
  /** From a backup: time goes back, and the epoch says so. */
  restore: (w, n) => {
    w.truth.revision = Math.max(1, w.truth.revision - (n % 20))
    w.desk.base = w.truth.revision
    // Revisions handed out before the restore are not handed out again.
    if (n % 2 === 0) w.truth.revision += 1000
    w.truth.values = n % 3 === 0 ? { ...w.truth.values } : { a: `restored ${n}` }
    w.desk.epoch = `e${Number(w.desk.epoch.slice(1)) + 1}`
    w.seen.clear()
    w.put.before = w.events.length
    startServer(w)
  },
  route: (w, n) => {
    w.reachable = n % 2 === 0
  },
  disk: (w, n) => {
    w.diskFull = n % 2 === 0
  },
  callbacks: (w, n) => {
    w.rejectCallbacks = n % 2 === 0
  },
}

const OFTEN = [
  'change',
  'change',
  'report',
  'report',
  'up',
  'up',
  'up',
  'up',
  'down',
  'down',
  'down',
  'down',
  'settle',
  'flow',
  'advance',
  'cut',
]
const acts = fc.array(fc.tuple(fc.constantFrom(...Object.keys(ACTS), ...OFTEN), fc.nat(100)), { maxLength: 150, size: 'max' })

const fault = (w: World): string | undefined => {
  for (const [i, { head, document }] of w.applied.entries()) {
    const before = w.applied[i - 1]?.head
    if (before?.epoch === head.epoch && head.generation < before.generation) return 'applied an older generation'
    if (before && Number(head.epoch.slice(1)) < Number(before.epoch.slice(1))) return 'applied an older epoch'
    const lower = before && before.epoch !== head.epoch && (head.base ?? 0) < before.generation && head.sha256 !== before.sha256
    if (lower && !head.replaces) return 'followed a restored server without being told to'
    if (head.sig !== signWith('key', headText(DEVICE, head))) return 'acted on a head that was not signed'
    if (codec.sha256(codec.encode(canonicalJson(document))) !== head.sha256) return 'acted on a document that is not the head’s'
  }
  const told = w.events.slice(w.put.before)
  if (new Set(told).size < told.length) return 'an event was taken twice by one server'
  if (w.device.budget.uplink.uplink === MODEM.uplink)
    for (const priority of ['status', 'events', 'telemetry'] as const) {
      const { sent, received } = spentOf(w.device.budget, priority)
      if (sent + received > BUDGET[priority] + FRAME_COST_MAX) return `spent ${sent + received} bytes on ${priority}`
    }
  return undefined
}

/** Told at least once, or counted as dropped. */
const eventFault = (w: World): string | undefined => {
  const told = new Set(w.events)
  const lost = [...w.put.notes].filter(note => !told.has(note) && !w.put.lost.has(note))
  return lost.length <= w.put.dropped ? undefined : `events ${lost.join(', ')} were lost`
}

const byKey = (entries: Iterable<readonly [string, unknown]>): Record<string, unknown> => Object.fromEntries([...entries].sort())

/** Histories that once broke it. A document of before the restore ends a download; the restored server has the same content under another head. */
const FOUND: [[string, number][]][] = [
  [
    [
      ['change', 0],
      ['flow', 0],
      ['restartServer', 0],
      ['change', 1],
      ['restartDevice', 0],
      ['up', 0],
      ['restore', 33],
    ],
  ],
]

t.test('whatever is delayed, cut, frozen, restarted or refused: the device never goes back, and both sides agree in the end', async t => {
  const met = { patched: 0, withHead: 0, altered: 0, rejected: 0, resumed: 0, conflicts: 0, metered: 0, restored: 0, later: 0, calls: 0 }
  fc.assert(
    fc.property(acts, list => {
      const w = newWorld()
      for (const [name, n] of list) {
        ACTS[name]!(w, n)
        const found = fault(w)
        if (found !== undefined) throw new Error(found)
      }
      Object.assign(w, { reachable: true, diskFull: false, rejectCallbacks: false })
      if (w.device.budget.uplink.uplink === MODEM.uplink) met.metered++
      put(w, { in: 'uplink', uplink: LAN })
      put(w, { in: 'contactInterval', ms: undefined })
      run(w, 60 * 60_000)
      if (w.device.desired.conflict) {
        met.conflicts++
        putServer(w, live(w)!, { in: 'resume' })
        run(w, 60_000)
      }
      const quietFrom = w.bytes.frames.length
      run(w, 10 * 60_000)
      const lines = w.bytes.frames.map(line => line.replace(/^(\w+) \d+ \{"t":"(\w+)".*/, '$1 $2'))
      met.withHead += w.patchesMet.has('pass') ? 1 : 0
      met.altered += w.patchesMet.has('altered') ? 1 : 0
      met.patched += w.bytes.frames.some(line => /"t":"fetch".*"base":"[0-9a-f]/.test(line)) ? 1 : 0
      met.restored += w.kept.writes > 0 && w.run > 1 ? 1 : 0
      met.later += w.bytes.frames.some(line => line.includes('"needStatus":"later"')) ? 1 : 0
      met.calls += lines.includes('up bye') ? 1 : 0
      met.rejected += lines.includes('down needStatus') ? 1 : 0
      met.resumed += w.bytes.frames.some(line => /"needStatus":"changes"/.test(line)) ? 1 : 0
      const chatter = lines.slice(quietFrom).filter(line => line !== 'up ping' && line !== 'down pong')
      const held = (w.disk?.document.configMaps ?? []).map(map => [map.metadata.name ?? '', map.data?.['value']] as const)
      const told = [...w.reported, ['link', JSON.parse(w.seen.get('link') ?? 'null')] as const]
        .filter(([, value]) => value !== null)
        .map(([key, value]) => [key, JSON.stringify(value)] as const)
      const same =
        canonicalJson([
          byKey(held),
          byKey(w.seen),
          chatter,
          w.device.boxes.events.kept.length + w.device.boxes.telemetry.kept.length,
          w.record.terms,
        ]) === canonicalJson([byKey(Object.entries(w.truth.values)), byKey(told), [], 0, { profile: 'lan', bulk: true }])
      const found = fault(w) ?? eventFault(w) ?? (w.record.conflict === null ? undefined : 'the server still knows of a conflict')
      if (!same || found !== undefined)
        throw new Error(
          canonicalJson({
            found: found ?? '',
            held: byKey(held),
            truth: w.truth.values,
            seen: byKey(w.seen),
            told: byKey(told),
            chatter,
            log: w.log.slice(-5),
          }),
        )
    }),
    { numRuns: Number(process.env['LINK_RUNS'] ?? 600), examples: FOUND },
  )
  t.ok(met.patched > 0, 'patches were met')
  t.ok(met.withHead > 0, 'patches that came with heads were met')
  t.ok(met.altered > 0, 'patches that were altered on the way were met')
  t.ok(met.rejected > 0, 'rejected reports were met')
  t.ok(met.conflicts > 0, 'conflicts after a restore were met')
  t.ok(met.metered > 0, 'metered links were met')
  t.ok(met.restored > 0, 'events from the disk were met')
  t.ok(met.later > 0, 'devices that wait with their status were met')
  t.ok(met.calls > 0, 'planned ends of calls were met')
  t.ok(met.resumed > 0, 'reports that went on where a connection broke were met')
})

const DULL = [
  'event',
  'event',
  'report',
  'up',
  'up',
  'down',
  'down',
  'settle',
  'flow',
  'wait',
  'wait',
  'cut',
  'freeze',
  'restartDevice',
  'disk',
  'callbacks',
]

/** The server had taken more of the life before than the disk had kept, and its answer confirmed what it had never been given. */
const FOUND_DULL: [[string, number][]][] = [
  [
    [
      ['wait', 0],
      ['event', 0],
      ['freeze', 0],
      ['wait', 61],
      ['event', 0],
      ['wait', 1],
      ['restartDevice', 0],
      ['event', 0],
    ],
  ],
]

t.test(
  'on a metered link with a bound a day: no event is lost or comes twice over cuts and power cuts, and no class spends more',
  async t => {
    const met = { held: 0, onDisk: 0, days: 0, dropped: 0 }
    const list = fc.array(fc.tuple(fc.constantFrom(...DULL), fc.nat(100)), { maxLength: 150, size: 'max' })
    fc.assert(
      fc.property(list, acts => {
        const w = newWorld()
        w.uplink = MODEM
        put(w, { in: 'uplink', uplink: MODEM })
        for (const [name, n] of acts) {
          if (name === 'wait') run(w, (n % 60) * 60_000)
          else ACTS[name]!(w, n)
          const found = fault(w)
          if (found !== undefined) throw new Error(found)
          met.held += (w.device.dueAtMs.events ?? 0) > w.nowMs + 3_600_000 ? 1 : 0
          met.onDisk += w.kept.items.size > 0 && name === 'restartDevice' ? 1 : 0
        }
        Object.assign(w, { diskFull: false, rejectCallbacks: false })
        run(w, 3 * DAY_MS)
        met.days += w.device.budget.day > 1 ? 1 : 0
        const found = fault(w) ?? eventFault(w)
        if (found !== undefined) throw new Error(found)
        met.dropped += w.put.dropped > 0 ? 1 : 0
        return w.device.boxes.events.kept.length === 0
      }),
      { numRuns: Number(process.env['LINK_RUNS'] ?? 300), examples: FOUND_DULL },
    )
    t.ok(met.held > 0, 'events that wait for the next day were met')
    t.ok(met.onDisk > 0, 'events from the disk were met')
    t.ok(met.days > 0, 'new days were met')
  },
)
