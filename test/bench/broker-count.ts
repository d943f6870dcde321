// Counts messages through a real broker that is killed and started again under them, and that delivers some twice and some out of order:
// each side must hear every number of the other once and in its turn. After a conversation ends, each tells what it has and goes on there,
// as the sessions of the link do.

import { systemClock } from '../../src/host/clock.ts'
import { systemRandom } from '../../src/host/random.ts'
import type { Connection } from '../../src/link/link.ts'
import type { BrokerLine, OpenLine } from '../../src/link/transports/broker-line.ts'
import type { BrokerWorld } from '../contract/broker-world.ts'

export interface CountOptions {
  readonly devices: number
  /** Of each device, each way. */
  readonly messages: number
  readonly restarts: number
  /** How often the server's own line breaks, which first swallows what comes: the devices' connections to the broker live on. */
  readonly cuts?: number
}

export interface Counted {
  readonly heard: number
  /** Numbers that came a second time, and numbers before which one was missing. Both are to be 0. */
  readonly twice: number
  readonly missed: number
  readonly conversations: number
  readonly restarts: number
  /** What the broker was made to do besides: deliveries repeated and swapped. */
  readonly repeated: number
  readonly swapped: number
  /** Messages that were on their way when the server's line broke. */
  readonly swallowed: number
  readonly elapsedMs: number
}

/** One direction's two ends, over all conversations. */
interface Lane {
  heard: number
  next: number
}

interface Tally {
  twice: number
  missed: number
  conversations: number
  repeated: number
  swapped: number
  swallowed: number
}

const EVERY = { repeat: 7, swap: 11 }
/** A line that is to break has its messages swallowed up to this number. */
const SWALLOWED = 20

/** A line that delivers, both ways, some messages twice and some after the next one. */
const clumsy =
  (open: OpenLine, tally: Tally, cut: { wanted: number }): OpenLine =>
  async (options, signal) => {
    const line = await open(options, signal)
    const through = (deliver: (...message: never[]) => void) => {
      const state: { held: never[] | undefined; count: number } = { held: undefined, count: 0 }
      return (...message: never[]): void => {
        state.count++
        if (state.count % EVERY.swap === 0 && !state.held) {
          state.held = message
          tally.swapped++
          // Not for ever: the next may never come.
          systemClock.after(20, () => {
            if (state.held === message) deliver(...message)
            if (state.held === message) state.held = undefined
          })
          return
        }
        deliver(...message)
        if (state.held) deliver(...state.held)
        state.held = undefined
        if (state.count % EVERY.repeat === 0) {
          tally.repeated++
          deliver(...message)
        }
      }
    }
    const outer: BrokerLine = {
      receiveMaximum: line.receiveMaximum,
      sessionPresent: line.sessionPresent,
      publish: through((...message) => line.publish(...(message as unknown as Parameters<BrokerLine['publish']>))) as BrokerLine['publish'],
      subscribe: filters => line.subscribe(filters),
      onMessage: () => {},
      onClose: () => {},
      close: () => line.close(),
    }
    const deliver = through((...message) =>
      outer.onMessage(...(message as unknown as Parameters<BrokerLine['onMessage']>)),
    ) as BrokerLine['onMessage']
    const state = { swallowed: 0 }
    line.onMessage = (...message) => {
      if (cut.wanted === 0 && state.swallowed === 0) return deliver(...message)
      tally.swallowed++
      if (state.swallowed++ === 0) {
        cut.wanted--
        // At the latest: the last of all messages may be among the swallowed.
        systemClock.after(200, end)
      }
      if (state.swallowed === SWALLOWED) end()
    }
    const end = (): void => {
      if (state.swallowed === Number.POSITIVE_INFINITY) return
      state.swallowed = Number.POSITIVE_INFINITY
      line.close()
      outer.onClose('cut')
    }
    line.onClose = reason => outer.onClose(reason)
    return outer
  }

/** One side of a conversation: says what it has heard, then numbers from where the other side is. */
const talk = (connection: Connection, mine: Lane, theirs: Lane, messages: number, tally: Tally, heard: () => void): void => {
  const state = { begun: false }
  const send = (): void => {
    while (mine.next <= messages && connection.queuedBytes === 0) connection.send(`${mine.next++}`)
  }
  connection.onDrain = send
  connection.onFrame = frame => {
    if (frame.startsWith('have ')) {
      mine.next = Number(frame.slice(5)) + 1
      state.begun = true
      send()
      return
    }
    const number = Number(frame)
    if (number === theirs.heard + 1) theirs.heard = number
    else if (number <= theirs.heard) tally.twice++
    else tally.missed++
    heard()
  }
  connection.send(`have ${theirs.heard}`)
}

/** Runs until everything was heard. */
export const countThroughBroker = async (world: BrokerWorld, { devices, messages, restarts, cuts = 0 }: CountOptions): Promise<Counted> => {
  const startMs = systemClock.mono()
  const tally: Tally = { twice: 0, missed: 0, conversations: 0, repeated: 0, swapped: 0, swallowed: 0 }
  const lanes = new Map<string, { up: Lane; down: Lane }>()
  const total = 2 * devices * messages
  const cut = { wanted: 0, made: 0 }
  const state = { heard: 0, restarts: 0, restarting: Promise.resolve() as Promise<void> }
  const stop = new AbortController()
  const random = systemRandom.fork('count')
  const done = new Promise<void>((resolve, reject) => {
    const heard = (): void => {
      state.heard++
      if (state.restarts < restarts && state.heard >= ((state.restarts + 1) * total) / (restarts + 1)) {
        state.restarts++
        state.restarting = state.restarting.then(world.mosquitto.kill).then(world.mosquitto.start)
        state.restarting.catch(reject)
      }
      // Between the restarts.
      if (cut.made < cuts && state.heard >= ((cut.made + 0.5) * total) / (cuts + 1)) {
        cut.made++
        cut.wanted++
      }
      if ([...lanes.values()].every(({ up, down }) => up.heard === messages && down.heard === messages)) resolve()
    }
    world.server(
      (device, connection) => {
        tally.conversations++
        const { up, down } = lanes.get(device)!
        talk(connection, down, up, messages, tally, heard)
      },
      { through: open => clumsy(open, tally, cut) },
    )
    for (let i = 0; i < devices; i++) {
      const name = `edge-${i}`
      const { up, down } = { up: { heard: 0, next: 1 }, down: { heard: 0, next: 1 } }
      lanes.set(name, { up, down })
      const dialer = world.dialer(name)
      const again = (): void => void systemClock.after(random.int(300), dial)
      const dial = (): void => {
        if (stop.signal.aborted) return
        dialer.dial(stop.signal).then(connection => {
          connection.onClose = again
          stop.signal.addEventListener('abort', () => connection.close('counted'), { once: true })
          talk(connection, up, down, messages, tally, heard)
        }, again)
      }
      dial()
    }
  })
  await done
  await state.restarting
  stop.abort()
  return { ...tally, heard: state.heard, restarts: state.restarts, elapsedMs: systemClock.mono() - startMs }
}
