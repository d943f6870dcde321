// One timer for the bookmarks of all watches; it runs only while somebody wants them (DESIGN invariant 7).

import type { Cancel, Clock } from '../base/clock.ts'
import { BOOKMARK_MS } from './limits.ts'

export interface Bookmarks {
  /** `send` is called with the newest revision now and then, until cancelled. */
  add(send: (revision: number) => void): Cancel
}

export const createBookmarks = (clock: Pick<Clock, 'after'>, revision: () => number): Bookmarks => {
  const wanting = new Set<(revision: number) => void>()
  const timer: { cancel: Cancel | undefined } = { cancel: undefined }
  const tick = (): void => {
    const now = revision()
    for (const send of [...wanting]) send(now)
    timer.cancel = wanting.size > 0 ? clock.after(BOOKMARK_MS, tick) : undefined
  }
  return {
    add(send) {
      wanting.add(send)
      timer.cancel ??= clock.after(BOOKMARK_MS, tick)
      return () => {
        wanting.delete(send)
        if (wanting.size > 0) return
        timer.cancel?.()
        timer.cancel = undefined
      }
    },
  }
}
