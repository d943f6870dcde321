// What goes out through one broker, for all devices together, over its connections: in order, no more in flight than the broker takes, and
// what it did not confirm before a connection broke goes first on the next (QoS 1: it may come twice, never not).

import { BROKER_INFLIGHT_MAX, BROKER_OUTBOX_BYTES_MAX } from '../limits.ts'
import type { BrokerLine, PublishOptions } from './broker-line.ts'

interface Letter {
  readonly topic: string
  readonly payload: Uint8Array
  readonly options: PublishOptions
}

/** An empty message (a removal) waits too. */
const sizeOf = (topic: string, payload: Uint8Array): number => topic.length + payload.length

export class BrokerOutbox {
  #line: BrokerLine | undefined
  #waiting: Letter[] = []
  /** Index of the next in `#waiting`: taking from the front of a long array costs its length. */
  #at = 0
  readonly #flying = new Set<Letter>()
  #bytes = 0
  #settled: (() => void) | undefined

  get bytes(): number {
    return this.#bytes
  }

  /** Settles when the broker has confirmed everything. */
  settled(): Promise<void> {
    return new Promise(resolve => {
      if (this.#bytes === 0) resolve()
      else this.#settled = resolve
    })
  }

  /** False when no more is taken: nothing of it will go out. */
  put(topic: string, payload: Uint8Array, options: PublishOptions): boolean {
    const bytes = sizeOf(topic, payload)
    if (this.#bytes + bytes > BROKER_OUTBOX_BYTES_MAX) return false
    this.#bytes += bytes
    this.#waiting.push({ topic, payload, options })
    this.#flush()
    return true
  }

  attach(line: BrokerLine): void {
    this.#line = line
    this.#waiting = [...this.#flying, ...this.#waiting.slice(this.#at)]
    this.#at = 0
    this.#flying.clear()
    this.#flush()
  }

  detach(): void {
    this.#line = undefined
  }

  #flush(): void {
    const line = this.#line
    if (!line) return
    const most = Math.max(1, Math.min(line.receiveMaximum, BROKER_INFLIGHT_MAX))
    while (this.#at < this.#waiting.length && this.#flying.size < most && this.#line === line) {
      const letter = this.#waiting[this.#at++]!
      this.#flying.add(letter)
      line.publish(letter.topic, letter.payload, letter.options, () => this.#confirmed(line, letter))
    }
    if (this.#at === this.#waiting.length || this.#at > BROKER_INFLIGHT_MAX) {
      this.#waiting = this.#waiting.slice(this.#at)
      this.#at = 0
    }
  }

  #confirmed(line: BrokerLine, letter: Letter): void {
    // A late word from an earlier line is as good: the broker has it.
    if (!this.#flying.delete(letter)) return
    this.#bytes -= sizeOf(letter.topic, letter.payload)
    if (this.#line === line) this.#flush()
    if (this.#bytes === 0) this.#settled?.()
  }
}
