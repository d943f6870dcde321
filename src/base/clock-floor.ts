// A clock that is never earlier than what is certain: the time the program was built and the last signed time seen, carried on by the
// monotonic clock. Boards without a battery wake up in 1970; a wall clock alone is never believed. DESIGN section 7.

import { type Clock, timestamp } from './clock.ts'

/** A wall clock this far off a time that is certain is told to the operator. */
export const CLOCK_OFF_MS = 86_400_000
/** Without any signed time in this run, a wall clock is called odd only when this far ahead of the floor. */
const UNHEARD_AHEAD_MS = 10 * 365 * CLOCK_OFF_MS

export interface FlooredClock extends Clock {
  /** The wall clock, or the floor where that is later. */
  now(): number
  /** What is certain now: no true clock shows less. Never comes from the wall clock, so it may be kept on disk. */
  floor(): number
  /** A time that was certain when it was kept, from the disk of an earlier run. */
  raise(atMs: number): void
  /**
   * The present, signed for this very run by a server whose key is pinned. It is believed in both directions, so that a server whose clock
   * was wrong for a day does not leave its devices in the future for ever; never below the time of the build.
   */
  told(atMs: number): void
  /** What is wrong with the wall clock, in plain words; undefined when nothing is. */
  complaint(): string | undefined
}

const days = (ms: number): string => `${Math.round(ms / 86_400_000)} days`

/** `builtMs`: when the program was built; everything certain is later. */
export const clockWithFloor = (clock: Clock, builtMs: number): FlooredClock => {
  const known = { floorMs: builtMs, atMonoMs: clock.mono(), signed: false }
  const floor = (): number => known.floorMs + Math.max(0, clock.mono() - known.atMonoMs)
  const set = (atMs: number): void => {
    known.floorMs = atMs
    known.atMonoMs = clock.mono()
  }
  return {
    now: () => Math.max(clock.now(), Math.floor(floor())),
    mono: () => clock.mono(),
    after: (delayMs, fn) => clock.after(delayMs, fn),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
    floor: () => Math.floor(floor()),
    raise: atMs => (atMs > floor() ? set(atMs) : undefined),
    told(atMs) {
      known.signed = true
      // A little back is the way of the answer through the network.
      if (atMs > floor() || atMs < floor() - CLOCK_OFF_MS) set(Math.max(builtMs, atMs))
    },
    complaint() {
      const [wallMs, floorMs] = [clock.now(), floor()]
      const shown = timestamp(wallMs)
      if (wallMs < floorMs - CLOCK_OFF_MS)
        return `the clock of this machine is wrong: it shows ${shown}, at least ${timestamp(floorMs)} is certain`
      const ahead = wallMs - floorMs
      if (ahead <= (known.signed ? CLOCK_OFF_MS : UNHEARD_AHEAD_MS)) return undefined
      return `the clock of this machine is ${days(ahead)} ahead of ${known.signed ? 'the server’s' : 'the last time that is certain'}: it shows ${shown}`
    },
  }
}
