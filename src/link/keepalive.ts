// How long a connection may be silent before it is asked whether it still lives. The interval doubles while pings are answered. One that is
// not is blamed on the interval (middle boxes forget idle connections after a time only trial can tell) only where that length has never
// been answered on this path, or fails twice in a row: a link that broke says nothing about lengths. PURE.

import { KEEPALIVE_GOOD_MAX, KEEPALIVE_GOOD_MIN, KEEPALIVE_MS_MAX, KEEPALIVE_MS_MIN, PONG_TIMEOUT_MS } from './limits.ts'

/** Owned by one session; survives its connections, so what was learnt of the path is kept. */
export interface Keepalive {
  intervalMs: number
  /** The longest to grow to. */
  capMs: number
  /** The longest silence after which a ping was answered. */
  safeMs: number
  good: number
  goodNeeded: number
  /** Half-open connections since the last answered ping. */
  bad: number
  heardMs: number
  pingSentMs: number | undefined
  n: number
}

const within = (ms: number): number => Math.min(KEEPALIVE_MS_MAX, Math.max(KEEPALIVE_MS_MIN, ms))

export const newKeepalive = (startMs: number): Keepalive => ({
  intervalMs: within(startMs),
  capMs: within(startMs),
  safeMs: 0,
  good: 0,
  goodNeeded: KEEPALIVE_GOOD_MIN,
  bad: 0,
  heardMs: 0,
  pingSentMs: undefined,
  n: 0,
})

/** What is wanted of the path now; a longer interval is grown to, a shorter one holds at once. */
export const capKeepalive = (k: Keepalive, capMs: number): void => {
  k.capMs = within(capMs)
  k.intervalMs = Math.min(k.intervalMs, k.capMs)
}

/** Another way out, of which nothing is known. */
export const restartKeepalive = (k: Keepalive, startMs: number, capMs: number): void => {
  k.intervalMs = within(startMs)
  k.safeMs = 0
  k.good = 0
  k.goodNeeded = KEEPALIVE_GOOD_MIN
  k.bad = 0
  capKeepalive(k, capMs)
}

export const keepaliveOpened = (k: Keepalive, capMs: number, nowMs: number): void => {
  capKeepalive(k, capMs)
  k.heardMs = nowMs
  k.pingSentMs = undefined
}

export const keepaliveHeard = (k: Keepalive, nowMs: number): void => {
  k.heardMs = nowMs
  k.pingSentMs = undefined
}

/** The ping that was sent came back after a silence of the full interval: the path can take that much. */
export const keepalivePong = (k: Keepalive, n: number): void => {
  if (n !== k.n) return
  k.bad = 0
  k.safeMs = Math.max(k.safeMs, k.intervalMs)
  if (++k.good < k.goodNeeded) return
  k.good = 0
  k.intervalMs = Math.min(k.capMs, k.intervalMs * 2)
}

export type KeepaliveDue = 'ping' | 'halfOpen' | undefined

export const keepaliveAtMs = (k: Keepalive): number =>
  k.pingSentMs === undefined ? k.heardMs + k.intervalMs : k.pingSentMs + PONG_TIMEOUT_MS

/** What is due now. 'ping' numbers the ping and starts waiting for its pong; 'halfOpen' has learnt from it. */
export const keepaliveDue = (k: Keepalive, nowMs: number): KeepaliveDue => {
  if (nowMs < keepaliveAtMs(k)) return undefined
  if (k.pingSentMs === undefined) {
    k.pingSentMs = nowMs
    k.n++
    return 'ping'
  }
  k.good = 0
  if (k.intervalMs > k.safeMs || ++k.bad >= 2) {
    k.bad = 0
    k.safeMs = Math.min(k.safeMs, k.intervalMs / 2)
    k.goodNeeded = Math.min(KEEPALIVE_GOOD_MAX, k.goodNeeded * 4)
    k.intervalMs = within(k.intervalMs / 2)
  }
  return 'halfOpen'
}
