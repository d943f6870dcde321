// The simulated world: discrete events ordered by (time, sequence), one seed, a rolling hash of everything that happened.
// It jumps to the next event; there are no ticks. Nothing in it reads the real clock or draws real randomness.

import type { Log } from '../../src/base/log.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'

interface Timed {
  readonly atMs: number
  readonly seq: number
  fn: () => void
  live: boolean
}

const nothing = (): void => {}

const before = (a: Timed, b: Timed): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq)

/** A binary heap of events. */
const createHeap = () => {
  const items: Timed[] = []
  const swap = (i: number, j: number): void => {
    const x = items[i]!
    items[i] = items[j]!
    items[j] = x
  }
  return {
    get size() {
      return items.length
    },
    push(item: Timed): void {
      let i = items.push(item) - 1
      for (let up = (i - 1) >> 1; i > 0 && before(items[i]!, items[up]!); i = up, up = (i - 1) >> 1) swap(i, up)
    },
    pop(): Timed | undefined {
      const top = items[0]
      const last = items.pop()
      if (!top || !last || items.length === 0) return top
      items[0] = last
      for (let i = 0; ; ) {
        const left = 2 * i + 1
        const right = left + 1
        let least = i
        if (left < items.length && before(items[left]!, items[least]!)) least = left
        if (right < items.length && before(items[right]!, items[least]!)) least = right
        if (least === i) return top
        swap(i, least)
        i = least
      }
    },
  }
}

/** FNV-1a over UTF-16 code units, 32 bits: enough to compare two runs of one seed. */
const hashText = (hash: number, text: string): number => {
  let h = hash
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619)
  return h >>> 0
}

const TAIL_LINES = 50
/** More events in one moment are a timer that is due again and again. */
const AT_ONCE_MAX = 200_000

/** The first thing that was not as it must be. */
export interface Failure {
  readonly check: string
  readonly message: string
  readonly atMs: number
}

export interface World {
  readonly seed: string
  readonly random: Random
  /** True virtual time in ms since the world began. */
  readonly nowMs: number
  /** Runs `fn` after a delay; the returned function cancels it. */
  after(delayMs: number, fn: () => void): () => void
  /** One line of the trace: hashed, and kept for the report of a failure. */
  trace(line: string): void
  /** Counts an interesting state; a batch that never reaches it is a bad test. */
  mark(name: string): void
  readonly marks: ReadonlyMap<string, number>
  /** Something that must hold does not: the world stops after this event. The first one counts. */
  fail(check: string, message: string): void
  readonly failure: Failure | undefined
  readonly hash: string
  readonly events: number
  readonly tail: readonly string[]
  /** Runs until virtual time `untilMs` or a failure. Between two events all promises settle: one macrotask boundary each. */
  run(untilMs: number): Promise<void>
}

export const createWorld = (seed: string, onTrace: (line: string) => void = () => {}): World => {
  const heap = createHeap()
  const state = { nowMs: 0, seq: 0, hash: 2166136261, events: 0, atOnce: 0, failure: undefined as Failure | undefined }
  const tail: string[] = []
  const marks = new Map<string, number>()
  const world: World = {
    seed,
    random: seededRandom(seed),
    get nowMs() {
      return state.nowMs
    },
    get hash() {
      return state.hash.toString(16).padStart(8, '0')
    },
    get events() {
      return state.events
    },
    get failure() {
      return state.failure
    },
    tail,
    marks,
    after(delayMs, fn) {
      const item: Timed = { atMs: state.nowMs + Math.max(0, delayMs), seq: state.seq++, fn, live: true }
      heap.push(item)
      return () => {
        item.live = false
        // A timer that was far away must not keep alive what it would have touched.
        item.fn = nothing
      }
    },
    trace(line) {
      const stamped = `${(state.nowMs / 1000).toFixed(3)} ${line}`
      state.hash = hashText(state.hash, stamped)
      tail.push(stamped)
      if (tail.length > TAIL_LINES) tail.shift()
      onTrace(stamped)
    },
    mark(name) {
      marks.set(name, (marks.get(name) ?? 0) + 1)
    },
    fail(check, message) {
      if (state.failure) return
      state.failure = { check, message, atMs: state.nowMs }
      world.trace(`FAILED ${check}: ${message}`)
    },
    async run(untilMs) {
      for (let item = heap.pop(); item; item = heap.pop()) {
        if (item.atMs > untilMs) {
          heap.push(item)
          break
        }
        if (!item.live) continue
        state.atOnce = item.atMs === state.nowMs ? state.atOnce + 1 : 0
        state.nowMs = item.atMs
        state.events++
        if (state.atOnce > AT_ONCE_MAX) world.fail('time goes on', `${AT_ONCE_MAX} events in one moment: something is due for ever`)
        try {
          item.fn()
        } catch (error) {
          world.fail('nothing throws', error instanceof Error ? (error.stack ?? error.message) : String(error))
        }
        await new Promise(resolve => setImmediate(resolve))
        if (state.failure) return
      }
      state.nowMs = Math.max(state.nowMs, untilMs)
    },
  }
  return world
}

/** What a device says of a restored server; whether there was one is judged at the end. */
const isConflict = (message: string, fields: unknown): boolean =>
  /refused/.test(message) && /an operator must decide/.test(JSON.stringify(fields ?? {}))
export const CONFLICTED = 'a device would not follow a restored server'

/** A machine's log. In a world whose disks and programs do as they should, an error is a fault of the product: the world does not let it pass. */
export const worldLog = (world: World, machine: string): Log => ({
  error(message, fields) {
    if (isConflict(message, fields)) world.mark(CONFLICTED)
    else world.fail('nothing is logged as an error', `${machine}: ${message} ${JSON.stringify(fields ?? {})}`)
  },
  info: () => {},
  debug: () => {},
})
