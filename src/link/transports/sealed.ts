// One conversation through a broker as a Connection, the same on both sides: numbered sealed messages, a window of what the other side has
// confirmed, a small buffer for what came too early. A message that was there is dropped, one that stays away ends the conversation; the
// sessions above begin anew from what both hold. A server keeps thousands of these: fields only, no closures while nothing is amiss.

import type { Cancel, Clock } from '../../base/clock.ts'
import {
  BROKER_AHEAD_BYTES,
  BROKER_CONFIRM_BYTES,
  BROKER_CONFIRM_MESSAGES,
  BROKER_EARLY_MAX,
  BROKER_GAP_MS,
  BROKER_WINDOW_BYTES,
  BROKER_WINDOW_MESSAGES,
  FRAME_BYTES_MAX,
  QUEUE_BYTES_MAX,
} from '../limits.ts'
import type { Connection } from '../link.ts'
import type { Sealed } from './broker-frames.ts'
import { type Direction, keyOf, type SealKeys, seal, unseal } from './seal.ts'

/** What carries the messages of many conversations. */
export interface SealedPort {
  readonly clock: Pick<Clock, 'after'>
  /** Hands a message to the broker; false when it takes no more. */
  publish(of: SealedConnection, payload: Uint8Array): boolean
  /** The other side has shown that it has the keys; before anything it said is delivered. */
  proven(of: SealedConnection): void
  /** Nothing is sent or delivered any more. */
  ended(of: SealedConnection, reason: string): void
  /** Keeps the device's head at the broker; absent on devices. */
  readonly retain?: (of: SealedConnection, head: string) => void
}

export interface SealedSide {
  readonly device: string
  readonly conversation: Uint8Array
  readonly keys: SealKeys
  /** Its own direction. */
  readonly sends: Direction
}

const KIND = { frame: 0, confirm: 1, close: 2, check: 3 } as const
/** Kind, and the last message received in order. */
const BODY_HEADER_BYTES = 5
const SEQUENCE_MAX = 0xffff_fffe
const REASON_CHARS_MAX = 256
/** No more can be unconfirmed at the other side, and so early here: the window, and the one frame that is let through when nothing flies. */
const EARLY_BYTES_MAX = BROKER_WINDOW_BYTES + FRAME_BYTES_MAX

const ignore = (): void => {}

export class SealedConnection implements Connection {
  onFrame: (frame: string) => void = ignore
  onClose: (reason: string) => void = ignore
  onDrain?: () => void
  readonly device: string
  readonly conversation: Uint8Array
  readonly #port: SealedPort
  readonly #keys: SealKeys
  readonly #sends: Direction
  #sent = 0
  #received = 0
  #confirmed = 0
  /** Sequence and bytes of frames that are not confirmed, in turn. */
  #flying: number[] = []
  #flyingBytes = 0
  #queue: string[] = []
  #queuedBytes = 0
  #freshFrames = 0
  #freshBytes = 0
  #early: Map<number, Buffer> | undefined
  #earlyBytes = 0
  #gap: Cancel | undefined
  #proven = false
  #over = false

  constructor(port: SealedPort, side: SealedSide) {
    this.#port = port
    this.device = side.device
    this.conversation = side.conversation
    this.#keys = side.keys
    this.#sends = side.sends
  }

  /** What is under way counts only beyond what keeps a slow path busy: more would hold up frames of a higher priority. */
  get queuedBytes(): number {
    return this.#queuedBytes + Math.max(0, this.#flyingBytes - BROKER_AHEAD_BYTES)
  }

  get over(): boolean {
    return this.#over
  }

  send(frame: string): void {
    if (this.#over) return
    const bytes = Buffer.byteLength(frame)
    if (bytes > FRAME_BYTES_MAX) {
      this.close('protocol: a frame is too large')
      return
    }
    if (this.#queuedBytes + this.#flyingBytes + bytes > QUEUE_BYTES_MAX) {
      this.#queue.length = 0
      this.close('slow')
      return
    }
    this.#queue.push(frame)
    this.#queuedBytes += bytes
    this.#flush(false)
  }

  retain(head: string): void {
    if (!this.#over) this.#port.retain?.(this, head)
  }

  /** What was sent before still goes out, whatever the window says: nothing will be confirmed any more. */
  close(reason: string): void {
    if (this.#over) return
    this.#flush(true)
    this.#publish(KIND.close, reason.slice(0, REASON_CHARS_MAX))
    this.fail(reason)
  }

  /** Ends it on this side alone: the other is not to be reached, or is to find out by itself. */
  fail(reason: string): void {
    if (this.#over) return
    this.#over = true
    this.#gap?.()
    this.#gap = undefined
    this.#early = undefined
    this.#queue.length = 0
    this.#queuedBytes = 0
    this.#flying.length = 0
    this.#flyingBytes = 0
    this.#port.ended(this, reason)
    queueMicrotask(() => this.onClose(reason))
  }

  /** Says nothing but that it has the keys, unless something was said already. */
  prove(): void {
    if (this.#sent === 0) this.#publish(KIND.confirm, '')
  }

  /** The other side, if it has said more than came, says so: what was lost is missed then, though nothing else would follow it. */
  check(): void {
    this.#publish(KIND.check, '')
  }

  /** Takes a message that names this conversation. What was there already, or was not sealed by the other side, changes nothing. */
  receive(message: Sealed): void {
    const { sequence } = message
    const ahead = sequence - this.#received
    if (this.#over || ahead < 1 || ahead > BROKER_EARLY_MAX || this.#early?.has(sequence)) return
    const body = unseal(keyOf(this.#keys, this.#sends === 'up' ? 'down' : 'up'), message.header, sequence, message.body)
    if (!body || body.length < BODY_HEADER_BYTES) return
    if (!this.#proven) {
      this.#proven = true
      this.#port.proven(this)
    }
    if (ahead > 1) {
      if (this.#earlyBytes + body.length > EARLY_BYTES_MAX) {
        this.close('protocol: more came than was confirmed')
        return
      }
      this.#early ??= new Map()
      this.#early.set(sequence, body)
      this.#earlyBytes += body.length
      this.#gap ??= this.#port.clock.after(BROKER_GAP_MS, () => this.close('the broker lost a message'))
      return
    }
    this.#takeInOrder(body)
  }

  #takeInOrder(first: Buffer): void {
    for (let body: Buffer | undefined = first; body && !this.#over; body = this.#early?.get(this.#received + 1)) {
      this.#received++
      if (this.#early?.delete(this.#received)) this.#earlyBytes -= body.length
      this.#take(body)
    }
    if (this.#over) return
    // Each gap has the whole time to close; one that moves on is not lost.
    this.#gap?.()
    this.#gap = undefined
    if (this.#early?.size === 0) this.#early = undefined
    if (this.#early) this.#gap = this.#port.clock.after(BROKER_GAP_MS, () => this.close('the broker lost a message'))
    if (this.#freshFrames >= BROKER_CONFIRM_MESSAGES || this.#freshBytes >= BROKER_CONFIRM_BYTES) this.#publish(KIND.confirm, '')
  }

  #take(body: Buffer): void {
    const payload = body.subarray(BODY_HEADER_BYTES)
    const confirmed = body.readUInt32BE(1)
    this.#confirm(confirmed)
    if (this.#over || body[0] === KIND.confirm) return
    if (body[0] === KIND.check) {
      if (this.#sent > confirmed) this.#publish(KIND.confirm, '')
      return
    }
    if (body[0] === KIND.close) {
      this.fail(payload.toString('utf8', 0, REASON_CHARS_MAX) || 'closed by the other side')
      return
    }
    if (body[0] !== KIND.frame || payload.length > FRAME_BYTES_MAX) {
      this.close(body[0] === KIND.frame ? 'protocol: a frame is too large' : 'protocol: a message of no known kind')
      return
    }
    this.#freshFrames++
    this.#freshBytes += payload.length
    this.onFrame(payload.toString('utf8'))
  }

  #confirm(sequence: number): void {
    if (sequence <= this.#confirmed || sequence > this.#sent) return
    this.#confirmed = sequence
    const waited = this.queuedBytes > 0
    let used = 0
    for (; used < this.#flying.length && this.#flying[used]! <= sequence; used += 2) this.#flyingBytes -= this.#flying[used + 1]!
    this.#flying.splice(0, used)
    this.#flush(false)
    if (waited && this.queuedBytes === 0) this.onDrain?.()
  }

  #mayFly(bytes: number): boolean {
    const count = this.#flying.length / 2
    return count === 0 || (count < BROKER_WINDOW_MESSAGES && this.#flyingBytes + bytes <= BROKER_WINDOW_BYTES)
  }

  #flush(beyond: boolean): void {
    while (this.#queue.length > 0) {
      const bytes = Buffer.byteLength(this.#queue[0]!)
      if (!beyond && !this.#mayFly(bytes)) return
      // Out of the queue before it is sent: the answer may come within the call, and lead here again.
      const frame = this.#queue.shift()!
      this.#queuedBytes -= bytes
      this.#flying.push(this.#sent + 1, bytes)
      this.#flyingBytes += bytes
      this.#publish(KIND.frame, frame)
    }
  }

  #publish(kind: number, text: string): void {
    if (this.#over) return
    if (this.#sent >= SEQUENCE_MAX) {
      this.fail('the conversation is worn out')
      return
    }
    const bytes = Buffer.byteLength(text)
    const body = Buffer.allocUnsafe(BODY_HEADER_BYTES + bytes)
    body[0] = kind
    body.writeUInt32BE(this.#received, 1)
    body.write(text, BODY_HEADER_BYTES, 'utf8')
    this.#freshFrames = 0
    this.#freshBytes = 0
    this.#sent++
    if (!this.#port.publish(this, seal(keyOf(this.#keys, this.#sends), this.conversation, this.#sent, body))) this.fail('slow')
  }
}
