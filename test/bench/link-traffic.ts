// Bytes of idle devices, of a small change and of coming back, on every way and profile; and what an idle device writes to its flash. All
// devices are real agents, each behind counters of its own (link-wire.ts); one window serves them all.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROFILES } from '../../src/link/transports/index.ts'
import { type Bench, eventually, KB, MB, pause } from './link-figures.ts'
import { type Bytes, openWire, TRANSPORTS, type Transport, type Wire, type WireDevice } from './link-wire.ts'
import { processFigures } from './measure.ts'

const PROFILE_NAMES = ['lan', 'normal', 'metered'] as const
type ProfileName = (typeof PROFILE_NAMES)[number]
const WANTED_MB: Readonly<Record<ProfileName, number | undefined>> = { lan: undefined, normal: 10, metered: 1 }

const DAY_SECONDS = 86_400
const MONTH_DAYS = 30
/** Reports of the link's own usage (src/link/limits.ts, USAGE_REPORT_MS). */
const REPORTS_A_DAY = 4
/** Facts written on an idle day: the clock's floor every 6 h, the counters of bytes every 4 h. */
const FACTS_A_DAY = 4 + 6
const PINGS = 7
/** For a ping, its answer and their acknowledgements. */
const PING_MS = 1000
const QUIET_MS = 4000
const JOIN_MS = 120_000

interface Placed {
  readonly profile: ProfileName
  readonly device: WireDevice
}

interface Parts {
  readonly ping: number
  readonly report: number
}

const total = ({ up, down }: Bytes): number => up + down
const ways = (bytes: Bytes): string => `${bytes.up} up, ${bytes.down} down, ${bytes.packets} packets`

const manifestOf = (device: string, word: string): string => {
  const lines = Array.from({ length: 20 }, (_, i) => `    setting-${i} = ${i === 7 ? word : `value of setting ${i}`}`)
  return `apiVersion: v1
kind: ConfigMap
metadata: {name: cm-${device}}
data:
  app.conf: |
${lines.join('\n')}
---
apiVersion: v1
kind: Pod
metadata: {name: pod-${device}}
spec:
  nodeName: ${device}
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: none, command: [sleep, "100000"], volumeMounts: [{name: c, mountPath: /conf}]}
  volumes: [{name: c, configMap: {name: cm-${device}}}]
`
}

const apply = async (wire: Wire, devices: readonly WireDevice[], word: string): Promise<void> => {
  const text = devices.map(({ name }) => manifestOf(name, word)).join('---\n')
  const { code, stderr } = await wire.helio(['apply', '-f', '-'], text)
  if (code !== 0) throw new Error(`helio apply: ${stderr}`)
}

/** True when a file of the device's volumes holds the word. */
const arrived = ({ dataDir }: WireDevice, word: string): boolean =>
  readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name === 'app.conf')
    .some(entry => readFileSync(join(entry.parentPath, entry.name), 'utf8').includes(`= ${word}\n`))

const settle = (devices: readonly WireDevice[]): Promise<readonly Bytes[]> => Promise.all(devices.map(device => device.quiet(QUIET_MS)))

const deviceOf = (placed: readonly Placed[], transport: Transport, profile: ProfileName): WireDevice =>
  placed.find(({ device, profile: of }) => device.transport === transport && of === profile)!.device

const join9 = async (wire: Wire): Promise<readonly Placed[]> => {
  const placed: Placed[] = []
  for (const transport of TRANSPORTS)
    for (const profile of PROFILE_NAMES) {
      const device = await wire.device(`${transport}-${profile}`, transport)
      const { code, stderr } = await device.helio('device', 'link', '--profile', profile)
      if (code !== 0) throw new Error(`helio device link: ${stderr}`)
      placed.push({ profile, device })
    }
  await eventually('all nodes', JOIN_MS, async () => {
    const { stdout } = await wire.helio(['get', 'nodes', '--no-headers'])
    return stdout.match(/ Ready /g)?.length === placed.length
  })
  return placed
}

const middle = (all: readonly Bytes[]): Bytes => [...all].sort((a, b) => total(a) - total(b))[Math.floor(all.length / 2)]!

/** One ping and its answer, and one report of the link's usage, on each way. */
const measureParts = async (bench: Bench, devices: readonly WireDevice[]): Promise<ReadonlyMap<Transport, Parts>> => {
  const samples: (readonly Bytes[])[] = []
  for (let i = 0; i < PINGS; i++) {
    for (const device of devices) device.reset()
    await Promise.all(devices.map(device => device.helio('device', 'sync')))
    await pause(PING_MS)
    samples.push(devices.map(device => device.bytes()))
  }
  const pings = devices.map((_, i) => middle(samples.map(each => each[i]!)))
  const report = async (...words: string[]): Promise<readonly Bytes[]> => {
    for (const device of devices) device.reset()
    await Promise.all(devices.map(device => device.helio('device', 'link', ...words)))
    return settle(devices)
  }
  const written = devices.map(({ pid }) => processFigures(pid).writtenBytes)
  const reports = await report('--allow-bulk=false')
  for (const [i, { transport, pid }] of devices.entries()) {
    bench.say({
      part: 'exchange',
      what: `${transport}: one keepalive`,
      value: total(pings[i]!),
      unit: 'B',
      from: `${ways(pings[i]!)}; the middle of ${PINGS}`,
    })
    bench.say({ part: 'exchange', what: `${transport}: one status report`, value: total(reports[i]!), unit: 'B', from: ways(reports[i]!) })
    bench.say({ part: 'flash', what: `${transport}: one fact`, value: (processFigures(pid).writtenBytes - written[i]!) / KB, unit: 'KB' })
  }
  return new Map(devices.map(({ transport }, i) => [transport, { ping: total(pings[i]!), report: total(reports[i]!) }]))
}

const measureChange = async (bench: Bench, wire: Wire, devices: readonly WireDevice[]): Promise<void> => {
  for (const device of devices) device.reset()
  const startMs = performance.now()
  await apply(wire, devices, 'changed')
  for (const device of devices) await eventually(`the change on ${device.name}`, JOIN_MS, () => arrived(device, 'changed'))
  const seconds = (performance.now() - startMs) / 1000
  for (const [i, bytes] of (await settle(devices)).entries())
    bench.say({
      part: 'change',
      what: `${devices[i]!.transport}: one line of a ConfigMap`,
      value: total(bytes) / KB,
      unit: 'KB',
      wanted: 1,
      from: `${ways(bytes)}; all there after ${seconds.toFixed(1)} s`,
    })
}

const measureWindow = async (bench: Bench, placed: readonly Placed[], parts: ReadonlyMap<Transport, Parts>): Promise<void> => {
  bench.note(`window of ${bench.seconds} s`)
  const before = placed.map(({ device }) => processFigures(device.pid))
  for (const { device } of placed) device.reset()
  await pause(bench.seconds * 1000)
  for (const [i, { device, profile }] of placed.entries()) {
    const bytes = device.bytes()
    const { ping, report } = parts.get(device.transport)!
    const pings = (MONTH_DAYS * DAY_SECONDS * 1000) / PROFILES[profile].keepaliveMs
    const reports = MONTH_DAYS * REPORTS_A_DAY
    bench.say({
      part: 'idle',
      what: `${device.transport}, ${profile}: a month`,
      value: (pings * ping + reports * report) / MB,
      unit: 'MB',
      ...(WANTED_MB[profile] === undefined ? {} : { wanted: WANTED_MB[profile] }),
      from: `${pings} keepalives x ${ping} B + ${reports} reports x ${report} B; in ${bench.seconds} s: ${ways(bytes)}`,
    })
    const now = processFigures(device.pid)
    const written = now.writtenBytes - before[i]!.writtenBytes
    bench.say({
      part: 'idle',
      what: `${device.transport}, ${profile}: agent`,
      value: now.rssMiB,
      unit: 'MB RSS',
      from: `${(((now.cpuSeconds - before[i]!.cpuSeconds) / bench.seconds) * 100).toFixed(2)} % of a CPU; ${written} B written in the window`,
    })
  }
}

const measureFlash = async (bench: Bench, devices: readonly WireDevice[], windowWritten: number): Promise<void> => {
  const before = devices.map(({ pid }) => processFigures(pid).writtenBytes)
  await Promise.all(devices.map(device => device.helio('device', 'link', '--allow-bulk')))
  await settle(devices)
  const facts = devices.map(({ pid }, i) => processFigures(pid).writtenBytes - before[i]!)
  const fact = Math.max(...facts)
  const idle = (windowWritten / bench.seconds) * DAY_SECONDS
  bench.say({
    part: 'flash',
    what: 'an idle day',
    value: (idle + FACTS_A_DAY * fact) / MB,
    unit: 'MB',
    wanted: 1,
    from: `worst device: ${windowWritten} B in ${bench.seconds} s, and ${FACTS_A_DAY} facts (clock, counters) of ${fact} B`,
  })
}

const sayReturn = (bench: Bench, what: string, wanted: number | undefined, devices: readonly WireDevice[], all: readonly Bytes[]): void => {
  for (const [i, bytes] of all.entries())
    bench.say({
      part: 'return',
      what: `${devices[i]!.transport}: ${what}`,
      value: total(bytes) / KB,
      unit: 'KB',
      ...(wanted === undefined ? {} : { wanted }),
      from: ways(bytes),
    })
}

export const benchTraffic = async (bench: Bench): Promise<void> => {
  const wire = await openWire(bench)
  const placed = await join9(wire)
  const devices = TRANSPORTS.map(transport => deviceOf(placed, transport, 'normal'))
  await apply(wire, devices, 'first')
  for (const device of devices) await eventually(`the pod of ${device.name}`, JOIN_MS, () => arrived(device, 'first'))
  await settle(placed.map(({ device }) => device))
  const parts = await measureParts(bench, devices)
  await measureChange(bench, wire, devices)
  const before = placed.map(({ device }) => processFigures(device.pid).writtenBytes)
  await measureWindow(bench, placed, parts)
  const written = Math.max(...placed.map(({ device }, i) => processFigures(device.pid).writtenBytes - before[i]!))
  await measureFlash(bench, devices, written)
  await Promise.all(devices.map(device => device.cut(false)))
  sayReturn(bench, 'resumed', 3, devices, await settle(devices))
  await Promise.all(devices.map(device => device.cut(true)))
  sayReturn(bench, 'full handshake', 6, devices, await settle(devices))
  await Promise.all(devices.map(device => device.restart()))
  sayReturn(bench, 'agent started again, all reported anew', undefined, devices, await settle(devices))
}
