// GET /metrics of the server, for administrators: devices in contact, what the link carries and the store writes. Prometheus text.

import { type ExtraRoute, textResponse } from '../api/api.ts'
import { type Family, plain, prometheusText } from '../base/prometheus.ts'
import type { Hub } from '../link/link.ts'
import type { Store } from '../store/store.ts'

export interface MetricsDeps {
  readonly hub: Pick<Hub, 'connections' | 'totals'>
  readonly store: Pick<Store, 'stats' | 'revision' | 'problem'>
}

const families = ({ hub, store }: MetricsDeps): readonly Family[] => {
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
  ]
}

/** For masters alone: who may see it is decided as for every path that is no resource. */
export const metricsRoute = (deps: MetricsDeps): ExtraRoute => ({
  method: 'GET',
  path: '/metrics',
  handle: async () => textResponse(prometheusText(families(deps))),
})
