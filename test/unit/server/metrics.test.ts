import t from 'tap'
import { metricsRoute } from '../../../src/server/metrics.ts'

type Deps = Parameters<typeof metricsRoute>[0]

const bytes = { sentBytes: 0, receivedBytes: 0 }
const frames = { control: bytes, status: bytes, events: bytes, telemetry: bytes, bulk: bytes }
const totals = { connections: 0, frames, held: 0, floods: 0, busy: 0, rejected: 0, dropped: { events: 0, telemetry: 0 } }
const stats = { commits: 0, writes: 0, lazyWrites: 0, bytesWritten: 0 } as Deps['store']['stats']

const textOf = async (items: Readonly<Record<string, readonly Record<string, unknown>[]>>): Promise<string> => {
  const telemetry = (device: string) => new Map((items[device] ?? []).map(item => [String(item['name']), item]))
  const hub = { connections: 0, totals, telemetry } as unknown as Deps['hub']
  const route = metricsRoute({ hub, store: { stats, revision: 1, problem: undefined }, devices: () => Object.keys(items) })
  const { body } = (await route.handle({} as never)) as { body: string | Uint8Array }
  return typeof body === 'string' ? body : new TextDecoder().decode(body)
}

const time = '2026-01-01T00:00:00Z'

t.test('metrics: the last measurements of a device are shown, a number as it is and an object by its fields', async t => {
  const text = await textOf({
    'bus-1': [
      { cursor: 1, name: 'battery/volts', time, value: 12.6 },
      { cursor: 2, name: 'speed', time, json: { min: 0, mean: 4.5, max: 9, unit: 'm/s' } },
    ],
    'bus-2': [{ cursor: 1, name: 'battery/volts', time, value: -1 }],
  })
  const samples = text.split('\n').filter(line => line.startsWith('helio_device_telemetry{'))
  t.strictSame(samples, [
    'helio_device_telemetry{device="bus-1",name="battery/volts"} 12.6',
    'helio_device_telemetry{device="bus-1",name="speed",field="min"} 0',
    'helio_device_telemetry{device="bus-1",name="speed",field="mean"} 4.5',
    'helio_device_telemetry{device="bus-1",name="speed",field="max"} 9',
    'helio_device_telemetry{device="bus-2",name="battery/volts"} -1',
  ])
  t.match(text, 'helio_device_telemetry_seconds{device="bus-2",name="battery/volts"} 1767225600\n')
})

t.test('metrics: what a device names cannot end its line, and what is no number is left out', async t => {
  const text = await textOf({
    'bus-1': [{ cursor: 1, name: 'a', time: 'noon', json: { 'x"} 1\nup 1\n#': 2, deep: { x: 1 }, text: 'y' } }],
    'bus-2': [{ cursor: 1, name: 'b', time, json: [1, 2] }],
  })
  t.match(text, 'helio_device_telemetry{device="bus-1",name="a",field="x\\"} 1\\nup 1\\n#"} 2\n')
  t.notMatch(text, /^up /m)
  t.notMatch(text, /deep|text="y"|name="b",field/)
  t.notMatch(text, 'helio_device_telemetry_seconds{device="bus-1"')
})
