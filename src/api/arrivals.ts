// Bodies on their way. They hold no place among the requests in work, else whoever sends his slowly would keep all others out. Bounded by
// number and bytes; beyond either the one that has been on its way the longest is given up: one that is meant has long arrived.

/** What the reader of one body is told and tells. */
export interface Arrival {
  /** Aborts when the body is given up: others need its place. */
  readonly signal: AbortSignal
  /** So many bytes more are in memory. */
  grew(bytes: number): void
}

export interface Arrivals {
  /** Reads one body; settles as the reader does. */
  take(read: (arrival: Arrival) => Promise<Buffer>): Promise<Buffer>
}

interface Waiting {
  readonly stop: AbortController
  bytes: number
}

export const createArrivals = ({ countMax, bytesMax }: { readonly countMax: number; readonly bytesMax: number }): Arrivals => {
  const waiting = new Set<Waiting>()
  let bytes = 0
  const leave = (each: Waiting): void => {
    if (waiting.delete(each)) bytes -= each.bytes
  }
  const relieve = (): void => {
    for (const oldest of waiting) {
      if (waiting.size <= countMax && bytes <= bytesMax) return
      leave(oldest)
      oldest.stop.abort()
    }
  }
  return {
    async take(read) {
      const own: Waiting = { stop: new AbortController(), bytes: 0 }
      waiting.add(own)
      relieve()
      try {
        return await read({
          signal: own.stop.signal,
          grew(more) {
            if (!waiting.has(own)) return
            own.bytes += more
            bytes += more
            relieve()
          },
        })
      } finally {
        leave(own)
      }
    },
  }
}
