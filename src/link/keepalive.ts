// How long a connection may be silent before it is asked whether it still lives. The interval doubles while pings are answered and halves
// when a connection turns out half-open: middle boxes forget idle connections after a time only trial can tell. PURE.

import { KEEPALIVE_GOOD_MAX, KEEPALIVE_GOOD_MIN, KEEPALIVE_MS_MAX, KEEPALIVE_MS_MIN, PONG_TIMEOUT_MS } from './limits.ts'

/** Owned by one session; survives its connections, so what was learnt of the path is kept. */
export interface Keepalive {
  intervalMs: number
  announcedMs: number
  good: number
  goodNeeded: number
  heardMs: number
  pingSentMs: number | undefined
  n: number
}

const within = (ms: number): number => Math.min(KEEPALIVE_MS_MAX, Math.max(KEEPALIVE_MS_MIN, ms))

export const newKeepalive = (startMs: number): Keepalive => ({
  intervalMs: within(startMs),
  announcedMs: within(startMs),
  good: 0,
  goodNeeded: KEEPALIVE_GOOD_MIN,
  heardMs: 0,
  pingSentMs: undefined,
  n: 0,
})

export const keepaliveOpened = (k: Keepalive, announcedMs: number, nowMs: number): void => {
  k.announcedMs = within(announcedMs)
  k.intervalMs = Math.min(k.intervalMs, k.announcedMs)
  k.heardMs = nowMs
  k.pingSentMs = undefined
}

export const keepaliveHeard = (k: Keepalive, nowMs: number): void => {
  k.heardMs = nowMs
  k.pingSentMs = undefined
}

/** The ping that was sent came back after a silence of the full interval: the path can take that much. */
export const keepalivePong = (k: Keepalive, n: number): void => {
  if (n !== k.n || ++k.good < k.goodNeeded) return
  k.good = 0
  k.intervalMs = Math.min(k.announcedMs, k.intervalMs * 2)
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
  k.goodNeeded = Math.min(KEEPALIVE_GOOD_MAX, k.goodNeeded * 4)
  k.intervalMs = within(k.intervalMs / 2)
  return 'halfOpen'
}
