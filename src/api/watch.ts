// A watch: the state first when asked for, then every change in revision order, bookmarks, an end. Filters turn changes into arrivals
// and departures. A client that does not read is cut off and resumes. Source: k8s API concepts, "efficient detection of changes".

import { toStatus } from '../base/errors.ts'
import { storePrefix } from '../kinds/kind.ts'
import type { Store, StoreEvent } from '../store/store.ts'
import type { Form } from './accept.ts'
import type { ApiDeps } from './api.ts'
import type { Bookmarks } from './bookmarks.ts'
import { WATCH_MS_DEFAULT, WATCH_MS_MAX, WRITE_CHUNK_BYTES } from './limits.ts'
import { type ApiResponse, JSON_TYPE, type Sink } from './message.ts'
import { readPage, refuseFuture } from './page.ts'
import type { ResourcePath } from './path.ts'
import { type ListQuery, revisionOf } from './query.ts'
import type { Selection } from './selection.ts'
import type { IncludeObject } from './table.ts'
import { createEncoder, type Encoder } from './watch-event.ts'
import type { WatchShare } from './watch-share.ts'

export interface WatchDeps extends Pick<ApiDeps, 'store' | 'clock' | 'random'> {
  readonly bookmarks: Bookmarks
  readonly watchShare: WatchShare
}

export interface WatchRequest {
  readonly path: ResourcePath
  readonly query: ListQuery
  readonly selection: Selection
  readonly form: Form
  readonly include: IncludeObject
}

const errorEvent = (error: unknown): Buffer => Buffer.from(`${JSON.stringify({ type: 'ERROR', object: toStatus(error) })}\n`)

/** Whether the watch starts with the present state, and whether a bookmark says where that state ends. */
const startOf = (query: ListQuery): { readonly state: boolean; readonly marked: boolean } => {
  if (query.sendInitialEvents !== undefined) return { state: query.sendInitialEvents, marked: query.sendInitialEvents }
  return { state: query.resourceVersion === '' || query.resourceVersion === '0', marked: false }
}

/** Writes the present state as ADDED events, no faster than the client reads. Returns its revision. */
const sendState = async (store: Store, request: WatchRequest, encoder: Encoder, sink: Sink): Promise<number> => {
  const { path, query, selection } = request
  const page = readPage(store, path, { ...query, resourceVersion: '', resourceVersionMatch: '', limit: 0, continue: '' }, selection)
  let pending: Buffer[] = []
  let bytes = 0
  const send = async (): Promise<void> => {
    if (pending.length > 0) sink.write(Buffer.concat(pending))
    pending = []
    bytes = 0
    if (sink.pendingBytes() > 0) await sink.drained()
  }
  for (const entry of page.entries) {
    const line = encoder.added(entry)
    pending.push(line)
    bytes += line.length
    if (bytes >= WRITE_CHUNK_BYTES) await send()
    if (sink.signal.aborted) break
  }
  await send()
  return Number(page.meta.resourceVersion)
}

class SlowWatch extends Error {
  constructor() {
    super('follow changes: the client does not read them')
    this.name = 'SlowWatch'
  }
}

/** Follows changes from a revision until the client goes, time is up or the store closes; rejects when the client reads too slowly. */
const follow = (deps: WatchDeps, request: WatchRequest, encoder: Encoder, sink: Sink, from: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const { query, path } = request
    const lifeMs = query.timeoutSeconds
      ? Math.min(query.timeoutSeconds * 1000, WATCH_MS_MAX)
      : WATCH_MS_DEFAULT + deps.random.int(WATCH_MS_DEFAULT)
    const endings: (() => void)[] = []
    let last = from
    let over = false
    const end = (): void => {
      over = true
      sink.signal.removeEventListener('abort', end)
      for (const each of endings.splice(0)) each()
      resolve()
    }
    /** Ending in order would keep all that is pending until the client reads it, which it does not. */
    const cut = (): void => {
      reject(new SlowWatch())
      end()
    }
    const onEvents = (events: readonly StoreEvent[]): void => {
      const lines: Buffer[] = []
      for (const event of events) {
        const line = encoder.event(event)
        if (line) lines.push(line)
      }
      if (lines.length === 0) return
      if (sink.pendingBytes() > deps.watchShare.bytesMax()) {
        cut()
        return
      }
      last = events.at(-1)!.revision
      sink.write(lines.length === 1 ? lines[0]! : Buffer.concat(lines))
    }
    sink.signal.addEventListener('abort', end, { once: true })
    if (sink.signal.aborted) return end()
    try {
      const watch = deps.store.watch({
        prefix: storePrefix(path.kind, path.namespace),
        fromRevision: from,
        onEvents,
        onClose: reason => (reason === 'slow' ? cut() : end()),
        pendingBytes: () => sink.pendingBytes(),
      })
      // The store may have ended it already, from inside the call.
      if (over) return watch.close()
      endings.push(() => watch.close())
    } catch (error) {
      sink.signal.removeEventListener('abort', end)
      return reject(error as Error)
    }
    endings.push(deps.watchShare.join(), deps.clock.after(lifeMs, end))
    if (!query.allowWatchBookmarks) return
    const bookmark = (revision: number): void => {
      if (revision <= last) return
      last = revision
      sink.write(encoder.bookmark(revision, false))
    }
    endings.push(deps.bookmarks.add(bookmark))
  })

const run = async (deps: WatchDeps, request: WatchRequest, sink: Sink): Promise<void> => {
  const { query, path, selection, form, include } = request
  const encoder = createEncoder({ kind: path.kind, selection, form, include, nowMs: () => deps.clock.now() })
  const { state, marked } = startOf(query)
  try {
    const asked = query.resourceVersion === '' ? 0 : revisionOf(query.resourceVersion)
    const from = state ? await sendState(deps.store, request, encoder, sink) : asked || deps.store.revision
    if (marked && query.allowWatchBookmarks) sink.write(encoder.bookmark(from, true))
    await follow(deps, request, encoder, sink, from)
  } catch (error) {
    if (error instanceof SlowWatch) throw error
    // An expired revision is told in the stream: that is where clients look for it.
    sink.write(errorEvent(error))
  }
}

/** The answer to GET with watch=true. */
export const watchResponse = (deps: WatchDeps, request: WatchRequest): ApiResponse => {
  const { resourceVersion, sendInitialEvents } = request.query
  if (resourceVersion !== '') {
    const revision = revisionOf(resourceVersion)
    if (sendInitialEvents) refuseFuture(deps.store, revision)
  }
  return { status: 200, headers: { 'content-type': JSON_TYPE }, body: sink => run(deps, request, sink) }
}
