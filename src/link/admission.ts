// Who may come in now: a token bucket, and for those who may not, a time of their own to come again, spread at the rate of admission.
// PURE but for the record it owns.

import { BUSY_MS_MAX, HERD_WINDOW_MS_MAX } from './limits.ts'

export interface Admission {
  /** 0: come in; else the milliseconds after which to come again, between a second and BUSY_MS_MAX. */
  ask(nowMs: number): number
  /** The window over which `devices` spread their first dial, so that all can be admitted within it. */
  herdWindowMs(devices: number): number
}

const BUSY_MS_MIN = 1000

export const createAdmission = (ratePerSecond: number, burst: number): Admission => {
  const stepMs = 1000 / ratePerSecond
  const bucket = { tokens: burst, atMs: Number.NEGATIVE_INFINITY, promisedMs: 0 }
  return {
    ask(nowMs) {
      bucket.tokens = Math.min(burst, bucket.tokens + Math.max(0, nowMs - bucket.atMs) / stepMs)
      bucket.atMs = nowMs
      if (bucket.tokens >= 1) {
        bucket.tokens--
        return 0
      }
      bucket.promisedMs = Math.max(bucket.promisedMs, nowMs) + stepMs
      if (bucket.promisedMs - nowMs > BUSY_MS_MAX) bucket.promisedMs = nowMs + BUSY_MS_MAX
      return Math.max(BUSY_MS_MIN, Math.ceil(bucket.promisedMs - nowMs))
    },
    herdWindowMs: devices => Math.min(HERD_WINDOW_MS_MAX, Math.ceil(devices * stepMs)),
  }
}
