// The device's last values on their way up: one per key, coalesced, one frame in flight. Both sides compare a digest of the whole set
// first, an order-free XOR of each key's hash, so agreement costs 32 characters. PURE.

import { canonicalJson } from '../base/json.ts'
import type { Codec } from './codec.ts'
import { STATUS_FRAME_BYTES, STATUS_FRAME_ITEMS_MAX, STATUS_ITEM_BYTES_MAX, STATUS_KEYS_MAX } from './limits.ts'

interface Entry {
  /** Canonical JSON; undefined when the key is to be forgotten. */
  text: string | undefined
  bytes: number
  hash: bigint
  /** Hash of what the server is known to hold; 0 = nothing. */
  acked: bigint
}

export interface StatusOutbox {
  readonly entries: Map<string, Entry>
  /** Keys whose value the server is not known to have, oldest change first. */
  readonly dirty: Set<string>
  /** Digest of all values now, and of what the server is known to hold. */
  digest: bigint
  view: bigint
  whole: boolean
  inFlight: { readonly seq: number; readonly view: bigint; readonly hashes: ReadonlyMap<string, bigint> } | undefined
  seq: number
  /** What the last hello's digest covered, until its welcome: the server agrees with that, not with what was set since. */
  offered: ReadonlyMap<string, bigint>
}

export const newStatusOutbox = (): StatusOutbox => ({
  entries: new Map(),
  dirty: new Set(),
  digest: 0n,
  view: 0n,
  whole: false,
  inFlight: undefined,
  seq: 0,
  offered: new Map(),
})

export const digestText = (digest: bigint): string => digest.toString(16).padStart(32, '0')

const hashOf = (codec: Codec, key: string, bytes: Uint8Array): bigint =>
  BigInt(`0x${codec.sha256(codec.encode(`${key}\n${codec.sha256(bytes)}`)).slice(0, 32)}`)

/** Forgets a key that both sides agree is gone. */
const drop = (box: StatusOutbox, key: string, entry: Entry): void => {
  if (entry.text === undefined && entry.acked === 0n && !box.inFlight?.hashes.has(key)) {
    box.entries.delete(key)
    box.dirty.delete(key)
  }
}

const textOf = (value: unknown): string | undefined => (value === null || value === undefined ? undefined : canonicalJson(value))

/** The key has this value already (or, for null, is not there): nothing to do. */
export const isStatus = (box: StatusOutbox, key: string, value: unknown): boolean => box.entries.get(key)?.text === textOf(value)

/** Takes a value (null forgets the key). True when there is something new to send; a fault when the value cannot be taken. */
export const putStatus = (
  box: StatusOutbox,
  codec: Codec,
  key: string,
  value: unknown,
): { readonly changed: boolean; readonly fault?: string } => {
  const known = box.entries.get(key)
  const text = textOf(value)
  if (text === known?.text) return { changed: false }
  const bytes = text === undefined ? undefined : codec.encode(text)
  if (bytes && bytes.length > STATUS_ITEM_BYTES_MAX) return { changed: false, fault: `it has more than ${STATUS_ITEM_BYTES_MAX} bytes` }
  if (!known && box.entries.size >= STATUS_KEYS_MAX) return { changed: false, fault: `there are ${STATUS_KEYS_MAX} keys already` }
  const hash = bytes ? hashOf(codec, key, bytes) : 0n
  const entry: Entry = { text, bytes: bytes?.length ?? 4, hash, acked: known?.acked ?? 0n }
  box.digest ^= (known?.hash ?? 0n) ^ hash
  box.entries.set(key, entry)
  if (hash === entry.acked && !box.inFlight?.hashes.has(key)) box.dirty.delete(key)
  else box.dirty.add(key)
  drop(box, key, entry)
  return { changed: box.dirty.size > 0 }
}

/** The server holds nothing, or we do not know what: everything is to be sent, the first frame saying so. */
export const restartStatus = (box: StatusOutbox): void => {
  box.inFlight = undefined
  box.view = 0n
  box.whole = true
  box.dirty.clear()
  for (const [key, entry] of box.entries) {
    entry.acked = 0n
    if (entry.text === undefined) box.entries.delete(key)
    else box.dirty.add(key)
  }
}

/** The digest for a hello, remembered with all it covers. */
export const offerStatus = (box: StatusOutbox): string => {
  box.offered = new Map([...box.entries].map(([key, entry]) => [key, entry.hash]))
  return digestText(box.digest)
}

/** The server holds exactly what the hello's digest covered. */
export const settleStatus = (box: StatusOutbox): void => {
  box.inFlight = undefined
  box.whole = false
  box.view = 0n
  box.dirty.clear()
  for (const key of box.offered.keys()) if (!box.entries.has(key)) box.entries.set(key, { text: undefined, bytes: 4, hash: 0n, acked: 0n })
  for (const [key, entry] of box.entries) {
    entry.acked = box.offered.get(key) ?? 0n
    box.view ^= entry.acked
    if (entry.hash !== entry.acked) box.dirty.add(key)
    drop(box, key, entry)
  }
}

/** The connection broke: what was in flight counts as not sent, and stays dirty. */
export const loseStatus = (box: StatusOutbox): void => {
  for (const key of box.inFlight?.hashes.keys() ?? []) box.dirty.add(key)
  box.inFlight = undefined
}

export const statusWaits = (box: StatusOutbox): boolean => box.inFlight === undefined && (box.whole || box.dirty.size > 0)

/** The next frame's text, at most one in flight. */
export const nextStatusFrame = (box: StatusOutbox): string | undefined => {
  if (!statusWaits(box)) return undefined
  const items: string[] = []
  const hashes = new Map<string, bigint>()
  let view = box.view
  let bytes = 0
  for (const key of box.dirty) {
    const entry = box.entries.get(key)
    if (!entry) continue
    if (items.length > 0 && (bytes + entry.bytes > STATUS_FRAME_BYTES || items.length === STATUS_FRAME_ITEMS_MAX)) break
    bytes += entry.bytes + key.length
    view ^= entry.acked ^ entry.hash
    hashes.set(key, entry.hash)
    items.push(`{"key":${JSON.stringify(key)},"value":${entry.text ?? 'null'}}`)
  }
  for (const key of hashes.keys()) box.dirty.delete(key)
  box.inFlight = { seq: ++box.seq, view, hashes }
  const { whole } = box
  box.whole = false
  return `{"t":"status","seq":${box.seq},"whole":${whole},"digest":"${digestText(view)}","items":[${items.join(',')}]}`
}

export const ackStatus = (box: StatusOutbox, seq: number): void => {
  if (box.inFlight?.seq !== seq) return
  const { hashes, view } = box.inFlight
  box.inFlight = undefined
  box.view = view
  for (const [key, hash] of hashes) {
    const entry = box.entries.get(key)
    if (!entry) continue
    entry.acked = hash
    if (entry.hash === hash) box.dirty.delete(key)
    drop(box, key, entry)
  }
}
