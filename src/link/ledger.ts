// What the hub keeps of its devices for whoever asks (metrics, the API): bytes, counts, and the last words each device said of its link and
// its measurements. Bounded per device; nothing here decides anything.

import { PRIORITIES, TELEMETRY_NAMES_MAX, USAGE_CHARS_MAX } from './limits.ts'
import type { DeviceUsage, FrameBytes, HubTotals, OutboxName } from './link.ts'
import type { StatusItem, TelemetryItem } from './messages.ts'
import type { ServerRecord } from './session.ts'

export interface Ledger {
  /** The present totals, to be added to. */
  readonly counts: { held: number; floods: number; busy: number; rejected: number; readonly dropped: { [O in OutboxName]: number } }
  status(device: string, items: readonly StatusItem[]): void
  telemetry(device: string, items: readonly TelemetryItem[]): void
  lastTelemetry(device: string): ReadonlyMap<string, TelemetryItem>
  usage(record: ServerRecord): DeviceUsage
  totals(connections: number, records: Iterable<ServerRecord>): HubTotals
  /** The device is no more; its bytes stay in the totals. */
  forget(device: string, record: ServerRecord | undefined): void
}

const frameBytes = (bytes: readonly number[]): FrameBytes =>
  Object.fromEntries(
    PRIORITIES.map((priority, i) => [priority, { sentBytes: bytes[2 * i] ?? 0, receivedBytes: bytes[2 * i + 1] ?? 0 }]),
  ) as unknown as FrameBytes

const add = (sum: number[], bytes: readonly number[]): void => {
  for (const [i, n] of bytes.entries()) sum[i] = (sum[i] ?? 0) + n
}

const NONE: ReadonlyMap<string, TelemetryItem> = new Map()

export const createLedger = (): Ledger => {
  const counts = { held: 0, floods: 0, busy: 0, rejected: 0, dropped: { events: 0, telemetry: 0 } }
  const gone: number[] = []
  const reported = new Map<string, unknown>()
  const measured = new Map<string, Map<string, TelemetryItem>>()
  return {
    counts,
    status(device, items) {
      for (const { key, value } of items) if (key === 'link' && JSON.stringify(value).length <= USAGE_CHARS_MAX) reported.set(device, value)
    },
    telemetry(device, items) {
      const last = measured.get(device) ?? new Map<string, TelemetryItem>()
      measured.set(device, last)
      for (const item of items) if (last.has(item.name) || last.size < TELEMETRY_NAMES_MAX) last.set(item.name, item)
    },
    lastTelemetry: device => measured.get(device) ?? NONE,
    usage({ device, terms, bytes }) {
      const said = reported.get(device)
      return { profile: terms.profile, frames: frameBytes(bytes), ...(said === undefined ? {} : { reported: said }) }
    },
    totals(connections, records) {
      const sum = [...gone]
      for (const { bytes } of records) add(sum, bytes)
      return { connections, frames: frameBytes(sum), ...counts, dropped: { ...counts.dropped } }
    },
    forget(device, record) {
      add(gone, record?.bytes ?? [])
      reported.delete(device)
      measured.delete(device)
    },
  }
}
