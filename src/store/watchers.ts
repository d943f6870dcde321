// Who gets which event: every watcher every event of its prefix once, in revision order, in batches; one that cannot keep up is closed.
// Source: etcd's watch guarantees (ordered, unique, atomic, reliable, resumable).

import { ApiError } from '../base/errors.ts'
import { WATCHER_PENDING_BYTES_MAX, WATCHERS_MAX } from './limits.ts'
import type { StoreEvent, WatchOptions } from './store.ts'

interface Watcher {
  readonly options: WatchOptions
  /** Events up to this revision have been delivered or were not wanted. */
  position: number
  open: boolean
}

export class Watchers {
  /** Watchers of one prefix share the filtering. */
  readonly #groups = new Map<string, Set<Watcher>>()
  readonly #queue: (readonly StoreEvent[])[] = []
  readonly #fault: (message: string, error: unknown) => void
  #delivering = false
  #size = 0

  /** `fault` hears of callbacks that threw; their watch is closed as slow, since it may have lost events, the others go on. */
  constructor(fault: (message: string, error: unknown) => void) {
    this.#fault = fault
  }

  /** Delivers the backlog (in order, above `fromRevision`, any prefix), then adds the watcher. Throws TooManyRequests. */
  add(options: WatchOptions, backlog: readonly StoreEvent[]): { close(): void } {
    if (this.#size >= WATCHERS_MAX) {
      throw new ApiError('TooManyRequests', `watch ${options.prefix}: ${WATCHERS_MAX} watches are open`, {
        details: { retryAfterSeconds: 5 },
      })
    }
    const watcher: Watcher = { options, position: options.fromRevision, open: true }
    this.#size++
    const group = this.#groups.get(options.prefix)
    if (group) group.add(watcher)
    else this.#groups.set(options.prefix, new Set([watcher]))
    const wanted = backlog.filter(event => event.key.startsWith(options.prefix))
    if (wanted.length > 0) this.#send(watcher, wanted)
    return { close: () => void this.#remove(watcher) }
  }

  /** Events in order, all above those delivered before. A call from inside a callback is carried out after the running delivery. */
  deliver(events: readonly StoreEvent[]): void {
    this.#queue.push(events)
    if (this.#delivering) return
    this.#delivering = true
    for (let batch = this.#queue.shift(); batch; batch = this.#queue.shift()) this.#deliverNow(batch)
    this.#delivering = false
  }

  closeAll(): void {
    for (const group of [...this.#groups.values()]) for (const watcher of [...group]) this.#end(watcher, 'closed')
  }

  #deliverNow(events: readonly StoreEvent[]): void {
    for (const [prefix, group] of [...this.#groups]) {
      const wanted = events.filter(event => event.key.startsWith(prefix))
      if (wanted.length > 0) for (const watcher of [...group]) this.#send(watcher, wanted)
    }
  }

  /** `events` are of the watcher's prefix. */
  #send(watcher: Watcher, events: readonly StoreEvent[]): void {
    const fresh = events[0]!.revision > watcher.position ? events : events.filter(event => event.revision > watcher.position)
    const last = fresh.at(-1)
    if (!watcher.open || last === undefined) return
    try {
      if ((watcher.options.pendingBytes?.() ?? 0) > WATCHER_PENDING_BYTES_MAX) {
        this.#end(watcher, 'slow')
        return
      }
      watcher.position = last.revision
      watcher.options.onEvents(fresh)
    } catch (error) {
      this.#fault('deliver events: callback threw', error)
      this.#end(watcher, 'slow')
    }
  }

  #end(watcher: Watcher, reason: 'slow' | 'closed'): void {
    if (!this.#remove(watcher)) return
    try {
      watcher.options.onClose(reason)
    } catch (error) {
      this.#fault('close watcher: callback threw', error)
    }
  }

  #remove(watcher: Watcher): boolean {
    if (!watcher.open) return false
    watcher.open = false
    this.#size--
    const group = this.#groups.get(watcher.options.prefix)
    group?.delete(watcher)
    if (group?.size === 0) this.#groups.delete(watcher.options.prefix)
    return true
  }
}
