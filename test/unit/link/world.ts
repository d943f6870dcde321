// A server and one device as pure machines over a wire that keeps order but may break, lag and lose its end; driven by numbers, so that
// a property test can shrink what breaks it. No promise, no clock.

import { createHash } from 'node:crypto'
import { seededRandom } from '../../../src/base/random.ts'
import type { ConfigMap } from '../../../src/kinds/config-map.ts'
import { createDesk, type Desk } from '../../../src/link/desk.ts'
import type { OutboxItem, Uplink } from '../../../src/link/link.ts'
import type { Document, HeldHead, StatusItem } from '../../../src/link/messages.ts'
import { nodeCodec } from '../../../src/link/node-codec.ts'
import {
  type DeviceInput,
  type DeviceOutput,
  type DeviceState,
  newDeviceState,
  newRecord,
  newServerState,
  type ServerInput,
  type ServerOutput,
  type ServerRecord,
  type ServerState,
  stepDevice,
  stepServer,
  wakeDeviceAtMs,
  wakeServerAtMs,
} from '../../../src/link/session.ts'

export const codec = nodeCodec(bytes => createHash('sha256').update(bytes).digest('hex'))
/** Stands for Ed25519: only who knows the word can sign. */
export const signWith = (secret: string, text: string): string => createHash('sha256').update(`${secret}\n${text}`).digest('base64')

export const DEVICE = 'tower-7'

export const configMap = (name: string, value: string): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default', uid: `uid-${name}` },
  data: { value },
})

export const documentOf = (values: Readonly<Record<string, string>>, device = DEVICE): Document => ({
  apiVersion: 'heliopause.io/v1',
  kind: 'DeviceDocument',
  device,
  podCIDR: '10.42.3.0/24',
  clusterCIDR: '10.42.0.0/16',
  pods: [],
  configMaps: Object.keys(values)
    .sort()
    .map(name => configMap(name, values[name]!)),
  secrets: [],
})

interface Wire {
  readonly conn: number
  readonly session: ServerState
  readonly up: string[]
  readonly down: string[]
  /** Nothing arrives any more, and nobody is told. */
  dead: boolean
  deviceOpen: boolean
  serverOpen: boolean
}

export interface World {
  nowMs: number
  readonly desk: { current: Desk; epoch: string; base: number; secret: string }
  readonly truth: { revision: number; values: Record<string, string> }
  record: ServerRecord
  device: DeviceState
  /** What survives a restart of the device. */
  disk: { head: HeldHead; document: Document } | undefined
  diskFull: boolean
  /** What becomes of patches that come with heads: an older device does not see them. */
  patches: 'pass' | 'left out' | 'altered'
  /** Which of these have happened to one. */
  readonly patchesMet: Set<string>
  /** The outboxes on disk. */
  readonly kept: { readonly items: Map<string, OutboxItem>; state: unknown; writes: number }
  uplink: Uplink
  contactMs: number | undefined
  /** What the hub says to a device that is to send its whole status. */
  wholeStatusMs: number
  wires: Wire[]
  reachable: boolean
  /** The server has a node for the device. */
  known: boolean
  /** What the server's API would show, by key. */
  readonly seen: Map<string, string>
  readonly reported: Map<string, unknown>
  readonly events: string[]
  /**
   * Notes of all events, those a power cut took before anyone had them, how many were told to earlier servers,
   * and how many the device said it dropped. */
  readonly put: { readonly notes: Set<string>; readonly lost: Set<string>; before: number; dropped: number }
  readonly telemetry: string[]
  /** Callbacks not answered yet. */
  readonly callbacks: { readonly wire: Wire; readonly output: Extract<ServerOutput, { do: 'status' | 'events' | 'telemetry' }> }[]
  rejectCallbacks: boolean
  readonly applied: { readonly head: HeldHead; readonly document: Document }[]
  readonly refused: string[]
  readonly log: string[]
  /** Server times the device believed. */
  readonly times: string[]
  readonly bytes: { up: number; down: number; frames: string[] }
  run: number
  sessions: number
  readonly inputs: DeviceInput[]
}

export const newWorld = (): World => {
  const truth = { revision: 1, values: {} as Record<string, string> }
  const world: World = {
    nowMs: 0,
    desk: { current: undefined as unknown as Desk, epoch: 'e1', base: 0, secret: 'key' },
    truth,
    record: newRecord(DEVICE),
    device: undefined as unknown as DeviceState,
    disk: undefined,
    diskFull: false,
    patches: 'pass',
    patchesMet: new Set(),
    kept: { items: new Map(), state: undefined, writes: 0 },
    uplink: { uplink: 'eth0', profile: 'lan' },
    contactMs: undefined,
    wholeStatusMs: 0,
    wires: [],
    reachable: true,
    known: true,
    seen: new Map(),
    reported: new Map(),
    events: [],
    put: { notes: new Set(), lost: new Set(), before: 0, dropped: 0 },
    telemetry: [],
    callbacks: [],
    rejectCallbacks: false,
    applied: [],
    refused: [],
    log: [],
    times: [],
    bytes: { up: 0, down: 0, frames: [] },
    run: 0,
    sessions: 0,
    inputs: [],
  }
  startServer(world)
  startDevice(world)
  return world
}

export const startServer = (w: World): void => {
  const { epoch, base, secret } = w.desk
  w.desk.current = createDesk({
    epoch,
    base,
    codec,
    sign: text => signWith(secret, text),
    render: device => (device === DEVICE ? { document: documentOf(w.truth.values), revision: w.truth.revision } : undefined),
  })
  w.record = newRecord(DEVICE)
  w.callbacks.length = 0
  for (const wire of w.wires) wire.serverOpen = false
}

export const startDevice = (w: World): void => {
  for (const wire of w.wires) wire.deviceOpen = false
  w.device = newDeviceState({
    device: DEVICE,
    run: `run-${++w.run}`,
    random: seededRandom(`device-${w.run}`),
    codec,
    verify: (text, signature) => signature === signWith('key', text),
    uplink: w.uplink,
    contactMs: w.contactMs,
    hasDisk: true,
  })
  put(w, { in: 'start', held: w.disk, kept: { items: [...w.kept.items.values()], state: w.kept.state } })
  for (const [key, value] of w.reported) put(w, { in: 'status', key, value })
}

const wireOf = (w: World, conn: number): Wire | undefined => w.wires.find(wire => wire.deviceOpen && wire.conn === conn)

const carryDevice = (w: World, output: DeviceOutput): void => {
  const wire = wireOf(w, w.device.conn)
  switch (output.do) {
    case 'dial': {
      if (!w.reachable) {
        put(w, { in: 'dialFailed', conn: output.conn, reason: 'no route' })
        return
      }
      if (!w.known) {
        put(w, { in: 'dialFailed', conn: output.conn, reason: 'no node', refused: true })
        return
      }
      const session = newServerState(
        {
          id: ++w.sessions,
          record: w.record,
          desk: w.desk.current,
          codec,
          announce: run => {
            const time = '2026-11-22T10:00:00Z'
            const timeSig = signWith(w.desk.secret, `helio-time-v1\n${DEVICE}\n${run}\n${time}`)
            return { time, timeSig, herdWindowMs: 1000 }
          },
          wholeStatus: () => w.wholeStatusMs,
        },
        w.nowMs,
      )
      w.wires.push({ conn: output.conn, session, up: [], down: [], dead: false, deviceOpen: true, serverOpen: true })
      put(w, { in: 'opened', conn: output.conn })
      return
    }
    case 'close': {
      const closing = wireOf(w, output.conn)
      if (closing) closing.deviceOpen = false
      return
    }
    case 'send':
      wire?.up.push(output.text)
      return
    case 'save':
      // Promise-free: the disk answers in the same instant, or fails in it.
      if (w.diskFull) put(w, { in: 'saveFailed', message: 'no space' })
      else {
        w.disk = JSON.parse(JSON.stringify({ head: output.head, document: output.document })) as { head: HeldHead; document: Document }
        put(w, { in: 'saved' })
      }
      return
    case 'keep': {
      const { batch } = output
      if (w.diskFull) {
        put(w, { in: 'keepFailed', message: 'no space' })
        return
      }
      for (const item of batch.append) w.kept.items.set(`${item.outbox}/${item.cursor}`, item)
      for (const [key, item] of w.kept.items) if (item.cursor <= (batch.forget[item.outbox] ?? 0)) w.kept.items.delete(key)
      w.kept.state = JSON.parse(JSON.stringify(batch.state))
      w.kept.writes++
      put(w, { in: 'kept' })
      return
    }
    case 'document':
      w.applied.push({ head: output.head, document: output.document })
      return
    case 'serverTime':
      w.times.push(output.time)
      return
    case 'log':
      w.log.push(`${output.message}: ${output.error}`)
      return
    default:
  }
}

/** Inputs that outputs lead to wait their turn, as in the shell. */
export const put = (w: World, input: DeviceInput): void => {
  w.inputs.push(input)
  if (w.inputs.length > 1) return
  for (let next = w.inputs[0]; next !== undefined; next = w.inputs[0]) {
    for (const output of stepDevice(w.device, next, w.nowMs)) carryDevice(w, output)
    w.inputs.shift()
  }
}

const carryServer = (w: World, wire: Wire, output: ServerOutput): void => {
  if (output.do === 'send') wire.down.push(output.text)
  else if (output.do === 'close') wire.serverOpen = false
  else if (output.do === 'refused') w.refused.push(output.why)
  else if (output.do === 'conflict' && output.conflict) w.refused.push('conflict')
  else if (output.do === 'status' || output.do === 'events' || output.do === 'telemetry') w.callbacks.push({ wire, output })
  else if (output.do === 'greeted')
    for (const other of w.wires) if (other !== wire && other.serverOpen) putServer(w, other, { in: 'stop', reason: 'replaced' })
}

export const putServer = (w: World, wire: Wire, input: ServerInput): void => {
  for (const output of stepServer(wire.session, input, w.nowMs)) carryServer(w, wire, output)
}

/** The live wire as both sides see it. */
export const live = (w: World): Wire | undefined => w.wires.find(wire => wire.deviceOpen && wire.serverOpen && !wire.dead)

type Offer = { readonly patch?: { readonly base: string; readonly data: string } }

/** A frame with the patch that its head brings as the wire would have it. */
const withPatch = (w: World, text: string): string => {
  const { patch, ...rest } = JSON.parse(text) as Offer
  if (!patch) return text
  w.patchesMet.add(w.patches)
  if (w.patches === 'pass') return text
  if (w.patches === 'left out') return JSON.stringify(rest)
  const bytes = codec.fromBase64(patch.data)
  const at = Math.floor(bytes.length / 2)
  return JSON.stringify({ ...rest, patch: { ...patch, data: codec.toBase64(bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))) } })
}

/** Delivers one frame in one direction of one wire, or the news that its end closed; false when there was nothing. */
export const deliver = (w: World, wire: Wire, direction: 'up' | 'down'): boolean => {
  if (wire.dead) return false
  const text = wire[direction].shift()
  if (direction === 'up') {
    if (!wire.serverOpen) return false
    if (text !== undefined) {
      w.bytes.up += text.length
      w.bytes.frames.push(`up ${text.length} ${text.slice(0, 200)}`)
      putServer(w, wire, { in: 'frame', text })
      return true
    }
    if (wire.deviceOpen) return false
    wire.serverOpen = false
    putServer(w, wire, { in: 'closed', reason: 'peer closed' })
    return true
  }
  if (!wire.deviceOpen) return false
  if (text !== undefined) {
    w.bytes.down += text.length
    w.bytes.frames.push(`down ${text.length} ${text.slice(0, 200)}`)
    put(w, { in: 'frame', conn: wire.conn, text: withPatch(w, text) })
    return true
  }
  if (wire.serverOpen) return false
  wire.deviceOpen = false
  put(w, { in: 'closed', conn: wire.conn, reason: 'peer closed' })
  return true
}

/** Answers the oldest callback. */
export const settle = (w: World): boolean => {
  const next = w.callbacks.shift()
  if (!next) return false
  const { wire, output } = next
  const ok = !w.rejectCallbacks
  if (ok && output.do === 'status') {
    if (output.whole) w.seen.clear()
    for (const item of output.items as readonly StatusItem[])
      if (item.value === null) w.seen.delete(item.key)
      else w.seen.set(item.key, JSON.stringify(item.value))
  } else if (ok && output.do === 'events') {
    w.put.dropped += output.dropped
    w.events.push(...output.items.map(event => event.note))
  } else if (ok && output.do === 'telemetry') w.telemetry.push(...output.items.map(item => `${item.name}=${item.value}`))
  putServer(w, wire, { in: `${output.do}Done`, ok })
  return true
}

/** A write to the store that may concern the device. */
export const change = (w: World, name: string, value: string | undefined): void => {
  w.truth.revision++
  if (value === undefined) delete w.truth.values[name]
  else w.truth.values[name] = value
  w.desk.current.changed(DEVICE)
  for (const wire of w.wires) if (wire.serverOpen) putServer(w, wire, { in: 'changed' })
}

export const report = (w: World, key: string, value: unknown): void => {
  if (value === null) w.reported.delete(key)
  else w.reported.set(key, value)
  put(w, { in: 'status', key, value })
}

/** Delivers and settles until nothing moves, without time passing. */
export const drain = (w: World): void => {
  for (let moved = true, steps = 0; moved; steps++) {
    if (steps > 20_000) throw new Error(`the two sides never come to rest: ${w.bytes.frames.slice(-6).join(' | ')}`)
    moved = settle(w)
    for (const wire of [...w.wires]) moved = deliver(w, wire, 'up') || deliver(w, wire, 'down') || moved
    w.wires = w.wires.filter(wire => wire.deviceOpen || wire.serverOpen)
  }
}

/** Time passes up to the next thing either side has planned, at most `untilMs`. */
export const advance = (w: World, untilMs: number): void => {
  const wakes = [wakeDeviceAtMs(w.device), ...w.wires.filter(wire => wire.serverOpen).map(wire => wakeServerAtMs(wire.session))]
  const next = Math.min(untilMs, ...wakes.filter(ms => ms !== undefined))
  w.nowMs = Math.max(w.nowMs, next)
  put(w, { in: 'wake' })
  for (const wire of [...w.wires]) if (wire.serverOpen) putServer(w, wire, { in: 'wake' })
}

/** Lets everything run for a while, all faults being over. */
export const run = (w: World, forMs: number): void => {
  const untilMs = w.nowMs + forMs
  drain(w)
  while (w.nowMs < untilMs) {
    advance(w, untilMs)
    drain(w)
  }
}
