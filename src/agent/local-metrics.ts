// GET /metrics on the socket, for a collector on the device itself: Prometheus text, made when asked. Counters of bytes are those of the
// link's day and begin anew with it.

import { type Family, plain, prometheusText, type Sample } from '../base/prometheus.ts'
import type { DeviceLinkView, DevicePod, DeviceStatus } from '../kinds/device-shapes.ts'

const family = (name: string, type: Family['type'], help: string, samples: readonly Sample[]): Family => ({ name, type, help, samples })

/** The text, ending in a line feed. */
export const metricsText = (status: DeviceStatus, pods: readonly DevicePod[], link: DeviceLinkView): string => {
  const classes = Object.entries(link.perPriority)
  const bytes = classes.flatMap(([priority, { sentBytes, receivedBytes }]) => [
    { labels: { priority, direction: 'sent' }, value: sentBytes },
    { labels: { priority, direction: 'received' }, value: receivedBytes },
  ])
  const budgets = classes.flatMap(([priority, { budgetBytes }]) =>
    budgetBytes === null ? [] : [{ labels: { priority }, value: budgetBytes }],
  )
  const named = pods.map(({ namespace, name, restarts }) => ({ labels: { namespace, pod: name }, value: restarts }))
  const lines = [
    family('helio_device_info', 'gauge', 'Node and version of this device.', [
      { labels: { node: status.nodeName, version: status.version, profile: link.profile }, value: 1 },
    ]),
    family('helio_link_connected', 'gauge', 'Whether the device is in contact with its server.', plain(link.connected ? 1 : 0)),
    family(
      'helio_link_silence_seconds',
      'gauge',
      'Since the last word of the server.',
      link.lastContactSeconds === null ? [] : plain(link.lastContactSeconds),
    ),
    family('helio_link_dials_total', 'counter', 'Dials since the agent started.', plain(link.dials)),
    family('helio_link_day_bytes', 'gauge', 'Bytes on the wire of the present day.', bytes),
    family('helio_link_budget_bytes', 'gauge', 'Bytes a day a priority may cost.', budgets),
    family(
      'helio_link_waiting',
      'gauge',
      'Reports that wait to be sent.',
      classes.map(([priority, { waiting }]) => ({ labels: { priority }, value: waiting })),
    ),
    family(
      'helio_link_dropped_total',
      'counter',
      'Items dropped for age or size since the agent started.',
      classes.map(([priority, { dropped }]) => ({ labels: { priority }, value: dropped })),
    ),
    family('helio_pods', 'gauge', 'Pods on this device.', plain(status.pods.total)),
    family('helio_pods_ready', 'gauge', 'Pods that are ready.', plain(status.pods.ready)),
    family('helio_pods_held', 'gauge', 'Pods that an operator holds.', plain(status.holds.length)),
    family('helio_pod_restarts_total', 'counter', 'Restarts of the containers of a pod.', named),
  ]
  return prometheusText(lines)
}
