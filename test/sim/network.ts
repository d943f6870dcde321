// Links of the simulated world: latency, bandwidth, cuts, half-open connections. Within one connection frames keep their order, as over
// TLS; frames are text, so no object is ever shared between two machines. What a half-open cut holds back is delivered late or never.

import { costOfFrame } from '../../src/link/budget.ts'
import { QUEUE_BYTES_MAX } from '../../src/link/limits.ts'
import type { Connection } from '../../src/link/link.ts'
import type { World } from './world.ts'

export interface LinkShape {
  readonly latencyMinMs: number
  readonly latencyStepMs: number
  readonly bytesPerSecond: number
}

export const LAN: LinkShape = { latencyMinMs: 1, latencyStepMs: 1, bytesPerSecond: 10_000_000 }
export const SLOW: LinkShape = { latencyMinMs: 200, latencyStepMs: 700, bytesPerSecond: 8_000 }

export type CutKind = 'break' | 'half-open'

export interface SimLink {
  /** Settles with the client's end once the other machine took the connection; rejects when nothing answers, or the caller gives up. */
  dial(accept: (connection: Connection) => boolean, signal: AbortSignal): Promise<Connection>
  /** Nothing passes; open connections either break (both ends hear of it) or stay half-open (nobody does). */
  cut(kind: CutKind): void
  heal(): void
  /** A process died: its ends are gone without a word to it, the other ends hear of it as far as the link lets them. */
  drop(side: 'client' | 'server'): void
  /** Calls back once, when the server has been given a report and has not answered it. */
  onReport(fn: () => void): void
  readonly isCut: boolean
  /** World time at which it broke; undefined while it is whole, or cut without a word. */
  readonly brokenAtMs: number | undefined
  readonly bytes: { up: number; down: number }
  /** Bytes with what TCP, TLS and framing add, since the world began; opening connections left out. */
  readonly wireBytes: number
  /** World time of the last frame that reached the device, and of the last one that reached the server. */
  readonly heardAtMs: { readonly client: number; readonly server: number }
  /** The most bytes one end ever had waiting. */
  readonly queuedMax: number
}

interface End extends Connection {
  readonly side: 'client' | 'server'
  queuedBytes: number
  isLive: boolean
  /** What arrived while the link was half-open. */
  held: (() => void)[]
  /** A box on the way has forgotten the connection: nothing arrives any more, and nobody says so. */
  isForgotten: boolean
}

const REPORT = /^\{"t":"(status|events|telemetry)"/

/** How often latency may grow by a step: exponential by coin flips, no floating functions that differ by engine. */
const LATENCY_STEPS_MAX = 6

export const createSimLink = (world: World, name: string, shape: LinkShape): SimLink => {
  const random = world.random.fork(`network/${name}`)
  const state = {
    cut: undefined as CutKind | undefined,
    ends: [] as End[],
    queuedMax: 0,
    wireBytes: 0,
    reported: [] as (() => void)[],
    cutAtMs: 0,
  }
  const bytes = { up: 0, down: 0 }
  const heardAtMs = { client: Number.NEGATIVE_INFINITY, server: Number.NEGATIVE_INFINITY }

  const latency = (): number => {
    let steps = 0
    while (random.int(2) === 0 && steps < LATENCY_STEPS_MAX) steps++
    return shape.latencyMinMs + steps * shape.latencyStepMs
  }
  const end = (one: End, reason: string): void => {
    if (!one.isLive) return
    one.isLive = false
    one.held = []
    one.onClose(reason)
  }

  const createEnd = (side: End['side'], peer: () => End): End => {
    const line = { freeAtMs: 0, lastArrivalMs: 0 }
    /** Behind everything sent before. */
    const travel = (sizeBytes: number, fn: () => void): void => {
      line.freeAtMs = Math.max(world.nowMs, line.freeAtMs) + (sizeBytes / shape.bytesPerSecond) * 1000
      line.lastArrivalMs = Math.max(line.lastArrivalMs, line.freeAtMs + latency())
      world.after(line.lastArrivalMs - world.nowMs, () => {
        if (!peer().isLive || peer().isForgotten) return
        if (state.cut === undefined && peer().held.length === 0) fn()
        else peer().held.push(fn)
      })
    }
    const one: End = {
      side,
      queuedBytes: 0,
      isLive: true,
      held: [],
      isForgotten: false,
      onFrame: () => {},
      onClose: () => {},
      send(frame) {
        if (!one.isLive) return
        if (one.queuedBytes + frame.length > QUEUE_BYTES_MAX) {
          world.mark('a connection closed itself for being slow')
          one.close('slow')
          return
        }
        bytes[side === 'client' ? 'up' : 'down'] += frame.length
        state.wireBytes += costOfFrame(frame.length)
        one.queuedBytes += frame.length
        state.queuedMax = Math.max(state.queuedMax, one.queuedBytes)
        travel(frame.length, () => {
          one.queuedBytes -= frame.length
          heardAtMs[peer().side] = world.nowMs
          peer().onFrame(frame)
          if (side === 'client' && state.reported.length > 0 && REPORT.test(frame)) for (const told of state.reported.splice(0)) told()
        })
      },
      close(reason) {
        if (!one.isLive) return
        travel(0, () => end(peer(), 'closed by the other side'))
        // As with a socket, the end hears of its own close later.
        one.isLive = false
        world.after(0, () => one.onClose(reason))
      },
    }
    state.ends.push(one)
    return one
  }
  const connect = (accept: (connection: Connection) => boolean): Connection | undefined => {
    state.ends = state.ends.filter(one => one.isLive)
    const client: End = createEnd('client', () => server)
    const server: End = createEnd('server', () => client)
    if (accept(server)) return client
    client.isLive = false
    server.isLive = false
    return undefined
  }

  return {
    bytes,
    heardAtMs,
    get wireBytes() {
      return state.wireBytes
    },
    get queuedMax() {
      return state.queuedMax
    },
    get brokenAtMs() {
      return state.cut === 'break' ? state.cutAtMs : undefined
    },
    get isCut() {
      return state.cut !== undefined
    },
    dial: (accept, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('dial server: given up')), { once: true })
        world.after(2 * latency(), () => {
          if (signal.aborted || state.cut === 'half-open') return
          const connection = state.cut === undefined ? connect(accept) : undefined
          if (connection) resolve(connection)
          else reject(new Error('dial server: no route'))
        })
      }),
    cut(kind) {
      if (state.cut !== undefined) return
      state.cut = kind
      state.cutAtMs = world.nowMs
      world.trace(`network ${name} cut ${kind}`)
      if (kind === 'break') for (const one of state.ends) end(one, 'the link broke')
    },
    heal() {
      if (state.cut === undefined) return
      state.cut = undefined
      world.trace(`network ${name} healed`)
      // What was held back arrives late, as TCP would send it again; or a box on the way has forgotten the connection and resets it, or
      // drops it without a word.
      const fate = (['late', 'reset', 'forgotten'] as const)[random.int(3)]
      for (const one of state.ends.filter(each => each.isLive)) {
        if (fate === 'reset') end(one, 'connection reset')
        else if (fate === 'forgotten') one.isForgotten = true
        else if (one.held.length > 0) world.mark('frames arrived late over a half-open connection')
        if (one.isForgotten) one.held = []
        for (let fn = one.held.shift(); fn && one.isLive; fn = one.held.shift()) fn()
      }
    },
    onReport: fn => void state.reported.push(fn),
    drop(side) {
      const [mine, others] = [state.ends.filter(one => one.side === side), state.ends.filter(one => one.side !== side)]
      for (const one of mine) one.isLive = false
      state.ends = others
      for (const one of others) {
        world.after(latency(), () => {
          if (one.isForgotten) return
          if (state.cut === undefined) end(one, 'the other side is gone')
          else one.held.push(() => end(one, 'the other side is gone'))
        })
      }
    },
  }
}
