// Time as a parameter. Wall time is for stored stamps, durations use `mono`; nothing else in the code may read a clock.
// Source: CONVENTIONS 7.

/** A running timer; calling it cancels the timer and is harmless afterwards. */
export type Cancel = () => void

export interface Clock {
  /** Wall time, milliseconds since 1970-01-01T00:00:00Z. May jump, may be wrong by decades. */
  now(): number
  /** Monotonic milliseconds since an arbitrary start; never goes back while the process lives. */
  mono(): number
  /** Calls `fn` once after `delayMs`; never early, never re-entrantly. */
  after(delayMs: number, fn: () => void): Cancel
  /** Settles after `delayMs`, or at once (without error) when `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

/** RFC 3339 with seconds, as metav1.Time prints it: `2026-11-22T10:00:00Z`. */
export const timestamp = (nowMs: number): string => `${new Date(nowMs).toISOString().slice(0, 19)}Z`

/** RFC 3339 with microseconds, as metav1.MicroTime prints it. */
export const microTimestamp = (nowMs: number): string => new Date(nowMs).toISOString().replace('Z', '000Z')

/** Milliseconds of an RFC 3339 stamp; NaN when it is not one. */
export const parseTimestamp = (stamp: string): number => Date.parse(stamp)
