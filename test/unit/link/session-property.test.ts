import t from 'tap'
import { canonicalJson } from '../../../src/base/json.ts'
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

const wireOf = (w: World) => w.wires.find(wire => wire.deviceOpen || wire.serverOpen)

/** What may happen, each with a number to draw from. */
const ACTS: Readonly<Record<string, (w: World, n: number) => void>> = {
  change: (w, n) => change(w, 'abc'[n % 3]!, n % 5 === 0 ? undefined : `value ${n}`),
  report: (w, n) => report(w, `pod/${'abc'[n % 3]}`, n % 7 === 0 ? null : n % 4),
  event: (w, n) => {
    const event = {
      regarding: { kind: 'Pod', name: 'a', uid: 'u' },
      type: 'Normal',
      reason: 'R',
      note: `${n}`,
      time: '2026-11-22T10:00:00Z',
    } as const
    put(w, { in: 'event', event })
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
  restartDevice: w => startDevice(w),
  restartServer: w => {
    w.seen.clear()
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
  return undefined
}

const byKey = (entries: Iterable<readonly [string, unknown]>): Record<string, unknown> => Object.fromEntries([...entries].sort())

t.test('whatever is delayed, cut, frozen, restarted or refused: the device never goes back, and both sides agree in the end', async t => {
  const met = { patched: 0, rejected: 0, resumed: 0, conflicts: 0 }
  fc.assert(
    fc.property(acts, list => {
      const w = newWorld()
      for (const [name, n] of list) {
        ACTS[name]!(w, n)
        const found = fault(w)
        if (found !== undefined) throw new Error(found)
      }
      Object.assign(w, { reachable: true, diskFull: false, rejectCallbacks: false })
      run(w, 60 * 60_000)
      if (w.device.desired.conflict) {
        met.conflicts++
        putServer(w, live(w)!, { in: 'resume' })
        run(w, 60_000)
      }
      const quietFrom = w.bytes.frames.length
      run(w, 10 * 60_000)
      const lines = w.bytes.frames.map(line => line.replace(/^(\w+) \d+ \{"t":"(\w+)".*/, '$1 $2'))
      met.patched += w.bytes.frames.some(line => /"t":"fetch".*"base":"[0-9a-f]/.test(line)) ? 1 : 0
      met.rejected += lines.includes('down needStatus') ? 1 : 0
      met.resumed += w.bytes.frames.some(line => /"needStatus":"changes"/.test(line)) ? 1 : 0
      const chatter = lines.slice(quietFrom).filter(line => line !== 'up ping' && line !== 'down pong')
      const held = (w.disk?.document.configMaps ?? []).map(map => [map.metadata.name ?? '', map.data?.['value']] as const)
      const told = [...w.reported].map(([key, value]) => [key, JSON.stringify(value)] as const)
      const same =
        canonicalJson([byKey(held), byKey(w.seen), chatter, w.device.boxes.events.kept.length + w.device.boxes.telemetry.kept.length]) ===
        canonicalJson([byKey(Object.entries(w.truth.values)), byKey(told), [], 0])
      if (!same || fault(w) !== undefined)
        throw new Error(
          canonicalJson({
            held: byKey(held),
            truth: w.truth.values,
            seen: byKey(w.seen),
            told: byKey(told),
            chatter,
            log: w.log.slice(-5),
          }),
        )
    }),
    { numRuns: Number(process.env['LINK_RUNS'] ?? 600) },
  )
  t.ok(met.patched > 0, 'patches were met')
  t.ok(met.rejected > 0, 'rejected reports were met')
  t.ok(met.conflicts > 0, 'conflicts after a restore were met')
  t.ok(met.resumed > 0, 'reports that went on where a connection broke were met')
})
