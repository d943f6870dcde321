// Events live for an hour, and there are at most so many of them. Swept seldom and in bounded steps; nothing runs while there are none.

import { parseTimestamp } from '../base/clock.ts'
import type { KubeObject } from '../kinds/meta.ts'
import { keyOf } from '../kinds/meta.ts'
import type { Action, Controller } from './controller.ts'
import { EVENT_BURST, EVENT_GAP_MS, EVENT_SWEEP_MS, EVENT_TTL_MS, EVENTS_MAX } from './limits.ts'
import { uidOf } from './reference.ts'

const SWEEP = 'events'

export const eventCleanup: Controller = {
  name: 'event-cleanup',
  gapMs: EVENT_GAP_MS,
  watches: [{ kind: 'Event', keys: (_event, old) => (old ? [] : [SWEEP]) }],
  reconcile(view, _key, nowMs) {
    const events = view.list('Event').map(event => ({ event, atMs: lastSeenMs(event) }))
    if (events.length === 0) return { actions: [] }
    const oldestFirst = events.sort((a, b) => a.atMs - b.atMs)
    const surplus = oldestFirst.length - EVENTS_MAX
    const due = oldestFirst.filter(({ atMs }, index) => index < surplus || atMs + EVENT_TTL_MS <= nowMs)
    const actions = due.slice(0, EVENT_BURST).map(({ event }) => remove(event))
    const next = oldestFirst[due.length]
    if (!next && due.length <= EVENT_BURST) return { actions }
    const afterMs = due.length > EVENT_BURST ? 0 : Math.max(EVENT_SWEEP_MS, next!.atMs + EVENT_TTL_MS - nowMs)
    return { actions, again: { afterMs, why: 'Events grow old' } }
  },
}

const remove = (event: KubeObject): Action => ({ do: 'delete', kind: 'Event', key: keyOf(event.metadata), uid: uidOf(event) })

/** When it last happened (wall ms); 0 when no stamp can be read, so that it goes at once. */
const lastSeenMs = (event: KubeObject): number => {
  const stamps = [event['lastTimestamp'], event['eventTime'], event.metadata.creationTimestamp]
  for (const stamp of stamps) {
    const ms = typeof stamp === 'string' ? parseTimestamp(stamp) : Number.NaN
    if (!Number.isNaN(ms)) return ms
  }
  return 0
}
