// How far one watch may fall behind: an equal share of what all may hold together, so that a thousand clients that do not read cost the
// server no more memory than ten.

import { WATCH_PENDING_BYTES_MAX, WATCH_SHARE_BYTES_MIN, WATCHES_PENDING_BYTES_MAX } from './limits.ts'

export interface WatchShare {
  /** One watch more; the returned function says that it has ended. */
  join(): () => void
  /** Bytes one watch may have pending now, before it is given more. */
  bytesMax(): number
}

export const createWatchShare = (): WatchShare => {
  const watches = new Set<symbol>()
  return {
    join() {
      const me = Symbol('watch')
      watches.add(me)
      return () => void watches.delete(me)
    },
    bytesMax: () =>
      Math.max(WATCH_SHARE_BYTES_MIN, Math.min(WATCH_PENDING_BYTES_MAX, Math.floor(WATCHES_PENDING_BYTES_MAX / Math.max(1, watches.size)))),
  }
}
