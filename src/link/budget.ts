// Bytes of the day, by uplink and priority: counted as they go, kept back at the bound, rolled over on the monotonic clock. The day counts
// only while the agent runs and its counters go to disk, so a reboot does not begin a new one. DESIGN section 6, point 7. PURE.

import { isObject } from '../base/json.ts'
import {
  ACK_BYTES,
  type ByPriority,
  DAY_MS,
  FRAMING_BYTES,
  PACKET_BYTES,
  PACKET_PAYLOAD_BYTES,
  PRIORITIES,
  PROFILES,
  type Priority,
  type ProfileName,
  UPLINK_CHARS_MAX,
  UPLINKS_MAX,
  USAGE_WRITE_BYTES,
  USAGE_WRITE_MS,
  USAGE_WRITE_MS_MIN,
} from './limits.ts'

/** The way out that is in use now, as whoever watches the device's interfaces says. */
export interface Uplink {
  /** Its name, such as `wwan0`; counters are kept by it. */
  readonly uplink: string
  readonly profile: ProfileName
  /** Bulk may go though the profile says no. */
  readonly allowBulk?: boolean
  /** In place of the profile's, for the classes it names. */
  readonly budgetBytes?: Partial<ByPriority<number | null>>
}

/** Bytes on the wire, what they cost included. */
export interface Spent {
  sent: number
  received: number
}

/** Indexed as PRIORITIES. */
type Counters = readonly Spent[]

export interface Budget {
  uplink: Uplink
  /** Days that have begun, from 1, and when this one began (monotonic; before the process where it began before). */
  day: number
  dayStartMs: number
  /** Of this day, the uplink in use last. */
  readonly uplinks: Map<string, Counters>
  unwrittenBytes: number
  writtenAtMs: number
}

const newCounters = (): Counters => PRIORITIES.map(() => ({ sent: 0, received: 0 }))

const rankOf = (priority: Priority): number => PRIORITIES.indexOf(priority)

export const newBudget = (uplink: Uplink, nowMs: number): Budget => {
  const budget: Budget = { uplink, day: 1, dayStartMs: nowMs, uplinks: new Map(), unwrittenBytes: 0, writtenAtMs: nowMs }
  useUplink(budget, uplink)
  return budget
}

/** From here on bytes count for this uplink. The counters of the one unused longest give way. */
export const useUplink = (b: Budget, uplink: Uplink): void => {
  const counters = b.uplinks.get(uplink.uplink) ?? newCounters()
  b.uplink = uplink
  b.uplinks.delete(uplink.uplink)
  b.uplinks.set(uplink.uplink, counters)
  for (const oldest of b.uplinks.keys()) {
    if (b.uplinks.size <= UPLINKS_MAX) break
    b.uplinks.delete(oldest)
  }
}

/** What a frame of so many bytes costs on the wire, its share of packets, records and acknowledgements included. */
export const costOfFrame = (bytes: number): number => {
  const packets = Math.ceil((bytes + FRAMING_BYTES) / PACKET_PAYLOAD_BYTES)
  return bytes + FRAMING_BYTES + packets * (PACKET_BYTES + ACK_BYTES)
}

/** A new day when it is time; several that passed asleep are one. */
export const rollDay = (b: Budget, nowMs: number): void => {
  const days = Math.floor((nowMs - b.dayStartMs) / DAY_MS)
  if (days < 1) return
  b.day += days
  b.dayStartMs += days * DAY_MS
  for (const counters of b.uplinks.values())
    for (const spent of counters) {
      spent.sent = 0
      spent.received = 0
    }
  b.unwrittenBytes = USAGE_WRITE_BYTES
}

/** Counts bytes that went or came; `bytes` is the whole cost. */
export const spend = (b: Budget, priority: Priority, way: keyof Spent, bytes: number): void => {
  const spent = b.uplinks.get(b.uplink.uplink)?.[rankOf(priority)]
  if (spent) spent[way] += bytes
  b.unwrittenBytes += bytes
}

export const budgetOf = ({ uplink }: Budget, priority: Priority): number | null => {
  const own = uplink.budgetBytes?.[priority]
  return own === undefined ? PROFILES[uplink.profile].budgetBytes[priority] : own
}

export const spentOf = (b: Budget, priority: Priority): Readonly<Spent> =>
  b.uplinks.get(b.uplink.uplink)?.[rankOf(priority)] ?? { sent: 0, received: 0 }

/** When a frame of this class may go, in monotonic ms: now, or at the next day. Control always may. */
export const mayGoAtMs = (b: Budget, priority: Priority, nowMs: number): number => {
  const bytes = budgetOf(b, priority)
  if (priority === 'control' || bytes === null) return nowMs
  const { sent, received } = spentOf(b, priority)
  return sent + received < bytes ? nowMs : b.dayStartMs + DAY_MS
}

/** Why bulk may not go now, for whoever asked for it; undefined: it may. */
export const bulkRefusal = (b: Budget, nowMs: number): string | undefined => {
  const { uplink, profile, allowBulk } = b.uplink
  if (!(allowBulk ?? PROFILES[profile].allowBulk))
    return `the link of this device is ${profile} (${uplink}) and carries no bulk unless allowed`
  const atMs = mayGoAtMs(b, 'bulk', nowMs)
  if (atMs <= nowMs) return undefined
  return `the bulk bytes of the day are spent on ${uplink} (${budgetOf(b, 'bulk')}); more in ${Math.ceil((atMs - nowMs) / 60_000)} min`
}

/** When the counters should be on disk; infinite while there is nothing new. Where nothing is bounded there is no hurry. */
export const usageWriteAtMs = (b: Budget): number => {
  if (b.unwrittenBytes === 0) return Number.POSITIVE_INFINITY
  const matters = b.unwrittenBytes >= USAGE_WRITE_BYTES && PRIORITIES.some(priority => budgetOf(b, priority) !== null)
  return b.writtenAtMs + (matters ? USAGE_WRITE_MS_MIN : USAGE_WRITE_MS)
}

/** The counters as plain JSON, for the disk. */
export const writeBudget = (b: Budget, nowMs: number): unknown => {
  b.unwrittenBytes = 0
  b.writtenAtMs = nowMs
  const uplinks = [...b.uplinks].map(([name, counters]) => [name, counters.map(({ sent, received }) => [sent, received])])
  return { day: b.day, elapsedMs: nowMs - b.dayStartMs, uplinks }
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

const isPair = (value: unknown): value is readonly [number, number] => Array.isArray(value) && isCount(value[0]) && isCount(value[1])

/** Goes on with what the disk held; what is no sound counter is left out. */
export const readBudget = (b: Budget, value: unknown, nowMs: number): void => {
  if (!isObject(value)) return
  const { day, elapsedMs, uplinks } = value
  if (!isCount(day) || !isCount(elapsedMs) || !Array.isArray(uplinks)) return
  b.day = Math.max(1, day)
  b.dayStartMs = nowMs - Math.min(elapsedMs, DAY_MS)
  for (const entry of uplinks.slice(0, UPLINKS_MAX) as unknown[]) {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string' || entry[0].length > UPLINK_CHARS_MAX || !Array.isArray(entry[1])) continue
    const pairs = entry[1] as unknown[]
    const counters = PRIORITIES.map((_, i) => (isPair(pairs[i]) ? { sent: pairs[i][0], received: pairs[i][1] } : { sent: 0, received: 0 }))
    b.uplinks.set(entry[0], counters)
  }
  useUplink(b, b.uplink)
}
