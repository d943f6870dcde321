import t from 'tap'
import {
  budgetOf,
  bulkRefusal,
  costOfFrame,
  mayGoAtMs,
  newBudget,
  readBudget,
  rollDay,
  spend,
  spentOf,
  type Uplink,
  useUplink,
  writeBudget,
} from '../../../src/link/budget.ts'
import { DAY_MS, PRIORITIES, PROFILES, UPLINKS_MAX } from '../../../src/link/limits.ts'
import { fc } from '../../property.ts'

const MODEM: Uplink = { uplink: 'wwan0', profile: 'metered' }

t.test('a frame costs what was measured of packets, records and acknowledgements, or a little more', async t => {
  const pingAndPong = costOfFrame('{"t":"ping","n":100}'.length) * 2
  t.ok(pingAndPong >= 240 && pingAndPong <= 270, `${pingAndPong} bytes`)
  t.equal(costOfFrame(100_000) < 100_000 * 1.06, true)
})

t.test('idle, a month of pings and a reconnect a day fit into what the profiles promise', async t => {
  const RECONNECT_BYTES = 5000
  const monthOf = (keepaliveMs: number): number => 30 * ((DAY_MS / keepaliveMs) * 2 * costOfFrame(22) + RECONNECT_BYTES)
  t.ok(monthOf(PROFILES.metered.keepaliveMs) <= 1_000_000, `${monthOf(PROFILES.metered.keepaliveMs)}`)
  t.ok(monthOf(PROFILES.normal.keepaliveMs) <= 10_000_000, `${monthOf(PROFILES.normal.keepaliveMs)}`)
})

t.test(
  'whatever is spent, when and over how many restarts: a class goes on only below its bound, control always, and a day is a day of running',
  async () => {
    const act = fc.oneof(
      fc.record({
        spend: fc.constantFrom(...PRIORITIES),
        bytes: fc.nat(40_000),
        way: fc.constantFrom('sent' as const, 'received' as const),
      }),
      fc.record({ passMs: fc.nat(DAY_MS) }),
      fc.record({ restart: fc.nat(1_000_000) }),
      fc.record({ uplink: fc.constantFrom('wwan0', 'wwan1', 'sat0') }),
    )
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), acts => {
        let nowMs = 5000
        let b = newBudget(MODEM, nowMs)
        let runMs = 0
        const truth = new Map<string, number>()
        let day = 1
        for (const a of acts) {
          if ('passMs' in a) {
            nowMs += a.passMs
            runMs += a.passMs
          } else if ('restart' in a) {
            const disk = JSON.parse(JSON.stringify(writeBudget(b, nowMs))) as unknown
            nowMs = a.restart
            b = newBudget(b.uplink, nowMs)
            readBudget(b, disk, nowMs)
          } else if ('uplink' in a) useUplink(b, { ...MODEM, uplink: a.uplink })
          rollDay(b, nowMs)
          if (Math.floor(runMs / DAY_MS) + 1 !== day) {
            day = Math.floor(runMs / DAY_MS) + 1
            truth.clear()
          }
          if ('spend' in a) {
            spend(b, a.spend, a.way, a.bytes)
            const key = `${b.uplink.uplink}/${a.spend}`
            truth.set(key, (truth.get(key) ?? 0) + a.bytes)
          }
          for (const priority of PRIORITIES) {
            const { sent, received } = spentOf(b, priority)
            const known = truth.get(`${b.uplink.uplink}/${priority}`) ?? 0
            const bound = budgetOf(b, priority)
            const open = priority === 'control' || bound === null || known < bound
            if (sent + received !== known || b.day !== day) return false
            const at = mayGoAtMs(b, priority, nowMs)
            if (open ? at !== nowMs : at <= nowMs || at > nowMs + DAY_MS) return false
          }
        }
        return true
      }),
      { numRuns: 300 },
    )
  },
)

t.test('bulk is refused on a metered uplink, and everywhere when its day is spent, in words', async t => {
  const b = newBudget(MODEM, 0)
  t.match(bulkRefusal(b, 0), /is metered \(wwan0\) and carries no bulk unless allowed/)
  useUplink(b, { ...MODEM, allowBulk: true, budgetBytes: { bulk: 1000 } })
  t.equal(bulkRefusal(b, 0), undefined)
  spend(b, 'bulk', 'received', 1000)
  t.match(bulkRefusal(b, 0), /bytes of the day are spent on wwan0 \(1000\); more in 1440 min/)
  useUplink(b, { uplink: 'eth0', profile: 'lan' })
  t.equal(bulkRefusal(b, 0), undefined)
})

t.test('what the disk holds is believed only as far as it is sound, and uplinks are bounded', async t => {
  fc.assert(
    fc.property(fc.anything(), fc.nat(), (junk, day) => {
      const b = newBudget(MODEM, 1000)
      readBudget(b, junk, 1000)
      readBudget(b, { day, elapsedMs: 5, uplinks: junk }, 1000)
      readBudget(b, { day, elapsedMs: 5, uplinks: [['x', junk]] }, 1000)
      const { sent, received } = spentOf(b, 'status')
      return Number.isFinite(sent + received) && b.uplinks.has('wwan0') && b.uplinks.size <= UPLINKS_MAX
    }),
  )
  const b = newBudget(MODEM, 0)
  for (let i = 0; i < 50; i++) useUplink(b, { uplink: `u${i}`, profile: 'lan' })
  t.equal(b.uplinks.size, UPLINKS_MAX)
})
