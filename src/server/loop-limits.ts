// Bounds of the loop, with what happens at them.

/** Actions of one run in flight together; the next starts when one ends. Enough for the store's group commit. */
export const RUN_IN_FLIGHT_MAX = 64
/** Actions of all runs in flight together; above it no new run starts until some end. */
export const IN_FLIGHT_MAX = 256
/** Runs and milliseconds in one slice; then other work of the process gets its turn. */
export const SLICE_RUNS = 256
export const SLICE_MS = 10
/** Events waiting to be recorded; above it the newest are dropped and counted. */
export const EVENTS_WAITING_MAX = 2_000
/** Events being recorded together: they are the least urgent writes. */
export const EVENTS_IN_FLIGHT_MAX = 8

/** Events remembered for coalescing; above it the one not seen for longest is forgotten and would be written anew. */
export const EVENTS_REMEMBERED_MAX = 4_096
/** Events one source may write about one object at once, and how long one more takes to be granted; above it they are dropped. */
export const EVENT_TOKENS_MAX = 25
export const EVENT_TOKEN_MS = 300_000
/** Different notes of one reason about one object before they are combined into one Event. */
export const EVENT_NOTES_MAX = 10
/** Events that alike within this time are one Event with a count. */
export const EVENT_SAME_MS = 600_000
