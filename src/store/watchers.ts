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

export interface Watchers {
  /** Delivers the backlog, then adds the watcher. The backlog is in order and above `fromRevision`. */
  add(options: WatchOptions, backlog: readonly StoreEvent[]): { close(): void }
  /** Events in order, all above those delivered before. A call from inside a callback is carried out after the running delivery. */
  deliver(events: readonly StoreEvent[]): void
  closeAll(): void
  readonly size: number
}

/** `fault` hears of callbacks that threw; their watcher is closed as slow, since it may have lost events, the others go on. */
export const createWatchers = (fault: (message: string, error: unknown) => void): Watchers => {
  /** Watchers of one prefix share the filtering. */
  const groups = new Map<string, Set<Watcher>>()
  const queue: (readonly StoreEvent[])[] = []
  let delivering = false
  let size = 0

  const remove = (watcher: Watcher): boolean => {
    if (!watcher.open) return false
    watcher.open = false
    size--
    const group = groups.get(watcher.options.prefix)
    group?.delete(watcher)
    if (group?.size === 0) groups.delete(watcher.options.prefix)
    return true
  }
  const end = (watcher: Watcher, reason: 'slow' | 'closed'): void => {
    if (!remove(watcher)) return
    try {
      watcher.options.onClose(reason)
    } catch (error) {
      fault('close watcher: callback threw', error)
    }
  }
  /** `events` are of the watcher's prefix. */
  const send = (watcher: Watcher, events: readonly StoreEvent[]): void => {
    const fresh = events[0]!.revision > watcher.position ? events : events.filter(event => event.revision > watcher.position)
    const last = fresh.at(-1)
    if (!watcher.open || last === undefined) return
    try {
      if ((watcher.options.pendingBytes?.() ?? 0) > WATCHER_PENDING_BYTES_MAX) {
        end(watcher, 'slow')
        return
      }
      watcher.position = last.revision
      watcher.options.onEvents(fresh)
    } catch (error) {
      fault('deliver events: callback threw', error)
      end(watcher, 'slow')
    }
  }
  const deliverNow = (events: readonly StoreEvent[]): void => {
    for (const [prefix, group] of [...groups]) {
      const wanted = events.filter(event => event.key.startsWith(prefix))
      if (wanted.length > 0) for (const watcher of [...group]) send(watcher, wanted)
    }
  }
  return {
    get size() {
      return size
    },
    add(options, backlog) {
      if (size >= WATCHERS_MAX) {
        throw new ApiError('TooManyRequests', `watch ${options.prefix}: ${WATCHERS_MAX} watches are open`, {
          details: { retryAfterSeconds: 5 },
        })
      }
      const watcher: Watcher = { options, position: options.fromRevision, open: true }
      size++
      const group = groups.get(options.prefix)
      if (group) group.add(watcher)
      else groups.set(options.prefix, new Set([watcher]))
      const wanted = backlog.filter(event => event.key.startsWith(options.prefix))
      if (wanted.length > 0) send(watcher, wanted)
      return { close: () => void remove(watcher) }
    },
    deliver(events) {
      queue.push(events)
      if (delivering) return
      delivering = true
      for (let batch = queue.shift(); batch; batch = queue.shift()) deliverNow(batch)
      delivering = false
    },
    closeAll() {
      for (const group of [...groups.values()]) for (const watcher of [...group]) end(watcher, 'closed')
    },
  }
}
