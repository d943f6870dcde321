// GET /metrics of the server, for administrators: devices in contact, what the link carries and the store writes, and the last measurements
// that devices handed in, as many as the hub keeps. Prometheus text.

import { type ExtraRoute, textResponse } from '../api/api.ts'
import { isObject } from '../base/json.ts'
import { type Family, plain, prometheusText, type Sample } from '../base/prometheus.ts'
import type { Hub } from '../link/link.ts'
import type { Store } from '../store/store.ts'

export interface MetricsDeps {
  readonly hub: Pick<Hub, 'connections' | 'totals' | 'telemetry'>
  readonly store: Pick<Store, 'stats' | 'revision' | 'problem'>
  /** Names of the devices whose measurements are shown. */
  readonly devices: () => readonly string[]
}

type Measured = ReturnType<Hub['telemetry']> extends ReadonlyMap<string, infer Item> ? Item : never

/** A number as it is; of an object each field that is one. Anything else is for those who read the items themselves. */
const numbersOf = ({ value, json }: Measured): readonly [labels: Record<string, string>, value: number][] => {
  if (value !== undefined) return [[{}, value]]
  const fields = isObject(json) ? Object.entries(json) : []
  return fields.flatMap(([field, number]) => (typeof number === 'number' ? [[{ field }, number]] : []))
}

const telemetry = ({ hub, devices }: MetricsDeps): readonly Family[] => {
  const last = devices().flatMap(device => [...hub.telemetry(device).values()].map(item => ({ item, of: { device, name: item.name } })))
  const values = last.flatMap(({ item, of }) => numbersOf(item).map(([labels, value]): Sample => ({ labels: { ...of, ...labels }, value })))
  const times = last.flatMap(({ item, of }) => {
    const ms = Date.parse(item.time)
    return Number.isFinite(ms) ? [{ labels: of, value: Math.floor(ms / 1000) }] : []
  })
  return [
    { name: 'helio_device_telemetry', type: 'gauge', help: 'Last measurements that devices handed in.', samples: values },
    { name: 'helio_device_telemetry_seconds', type: 'gauge', help: 'When, by the clock of the device.', samples: times },
  ]
}

const families = (deps: MetricsDeps): readonly Family[] => {
  const { hub, store } = deps
  const { totals } = hub
  const { stats } = store
  const dropped = Object.entries(totals.dropped).map(([outbox, value]) => ({ labels: { outbox }, value }))
  const frames = Object.entries(totals.frames).flatMap(([priority, { sentBytes, receivedBytes }]) => [
    { labels: { priority, direction: 'sent' }, value: sentBytes },
    { labels: { priority, direction: 'received' }, value: receivedBytes },
  ])
  const total = (name: string, help: string, value: number): Family => ({ name, type: 'counter', help, samples: plain(value) })
  return [
    { name: 'helio_devices_connected', type: 'gauge', help: 'Devices in contact.', samples: plain(hub.connections) },
    { name: 'helio_link_frame_bytes_total', type: 'counter', help: 'Bytes of frames, without what carries them.', samples: frames },
    { name: 'helio_link_dropped_total', type: 'counter', help: 'Items that devices said they dropped.', samples: dropped },
    total('helio_link_held_total', 'Reports held up for their rate.', totals.held),
    total('helio_link_floods_total', 'Connections closed for flooding.', totals.floods),
    total('helio_link_busy_total', 'Connections told to come later.', totals.busy),
    total('helio_link_rejected_total', 'Reports that were refused.', totals.rejected),
    { name: 'helio_store_revision', type: 'gauge', help: 'Newest revision.', samples: plain(store.revision) },
    { name: 'helio_store_sound', type: 'gauge', help: '1 unless writes fail.', samples: plain(store.problem === undefined ? 1 : 0) },
    total('helio_store_commits_total', 'Transactions written to disk.', stats.commits),
    total('helio_store_writes_total', 'Writes that waited for the disk.', stats.writes),
    total('helio_store_lazy_writes_total', 'Writes that did not.', stats.lazyWrites),
    total('helio_store_bytes_written_total', 'Bytes of values written to disk.', stats.bytesWritten),
    ...telemetry(deps),
  ]
}

/** For masters alone: who may see it is decided as for every path that is no resource. */
export const metricsRoute = (deps: MetricsDeps): ExtraRoute => ({
  method: 'GET',
  path: '/metrics',
  handle: async () => textResponse(prometheusText(families(deps))),
})
