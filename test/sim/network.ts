// Links of the simulated world: latency, bandwidth, cuts, half-open connections. Within one connection frames keep their order, as
// over WebSocket; a cut loses what is on its way. Frames are text, so no object is ever shared between two machines.

import type { Connection } from '../../src/link/link.ts'
import type { World } from './world.ts'

export interface LinkShape {
  readonly latencyMinMs: number
  readonly latencyMeanMs: number
  readonly bytesPerSecond: number
}

export const LAN: LinkShape = { latencyMinMs: 1, latencyMeanMs: 2, bytesPerSecond: 10_000_000 }

export interface SimLink {
  /** Opens a connection now; `accept` gets the server's end. Undefined when the link is cut. */
  open(accept: (connection: Connection) => void): Connection | undefined
  /** Nothing passes; open connections either break (both ends hear of it) or stay half-open (nobody does). */
  cut(kind: 'break' | 'half-open'): void
  heal(): void
  readonly isCut: boolean
  readonly bytes: { up: number; down: number }
}

interface End extends Connection {
  live: boolean
}

export const createSimLink = (world: World, name: string, shape: LinkShape): SimLink => {
  const random = world.random.fork(`network/${name}`)
  const state = { cut: false, ends: [] as End[], generation: 0 }
  const bytes = { up: 0, down: 0 }

  /** Exponential by a table of integer draws: no floating functions that differ by engine. */
  const latency = (): number => {
    let steps = 0
    while (random.int(2) === 0 && steps < 6) steps++
    return shape.latencyMinMs + steps * (shape.latencyMeanMs - shape.latencyMinMs)
  }

  const createEnd = (direction: 'up' | 'down', peer: () => End): End => {
    const line = { freeAtMs: 0, lastArrivalMs: 0, queued: 0 }
    const end: End = {
      live: true,
      queuedBytes: 0,
      onFrame: () => {},
      onClose: () => {},
      send(frame) {
        if (!end.live) return
        bytes[direction] += frame.length
        if (state.cut) return
        const generation = state.generation
        const startMs = Math.max(world.nowMs, line.freeAtMs)
        line.freeAtMs = startMs + (frame.length / shape.bytesPerSecond) * 1000
        line.lastArrivalMs = Math.max(line.lastArrivalMs, line.freeAtMs + latency())
        world.after(line.lastArrivalMs - world.nowMs, () => {
          if (generation === state.generation && peer().live) peer().onFrame(frame)
        })
      },
      close(reason) {
        if (!end.live) return
        end.live = false
        end.onClose(reason)
        if (state.cut) return
        world.after(latency(), () => {
          const other = peer()
          if (!other.live) return
          other.live = false
          other.onClose('closed by the other side')
        })
      },
    }
    state.ends.push(end)
    return end
  }

  return {
    bytes,
    get isCut() {
      return state.cut
    },
    open(accept) {
      if (state.cut) return undefined
      state.ends = state.ends.filter(end => end.live)
      const client: End = createEnd('up', () => server)
      const server: End = createEnd('down', () => client)
      world.after(latency(), () => {
        if (server.live && !state.cut) accept(server)
      })
      return client
    },
    cut(kind) {
      if (state.cut) return
      state.cut = true
      state.generation++
      world.trace(`network ${name} cut ${kind}`)
      if (kind === 'half-open') return
      for (const end of state.ends.filter(e => e.live)) {
        end.live = false
        end.onClose('the link broke')
      }
    },
    heal() {
      if (!state.cut) return
      state.cut = false
      world.trace(`network ${name} healed`)
      // What was sent into a half-open connection is lost, so it cannot go on: the first packet after the cut resets it.
      for (const end of state.ends.filter(e => e.live)) {
        end.live = false
        end.onClose('connection reset')
      }
    },
  }
}
