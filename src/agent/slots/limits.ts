// The bounds of the slots, with what happens at each.

/** Starts of a program on trial that may end without its being found healthy; the next start is the other slot's. */
export const TRIAL_STARTS_MAX = 3
/** A role is steady when it has been healthy for this long; a shorter life is a failed start. */
export const TRIAL_STEADY_SECONDS = 60
/** A role that is not healthy and steady by then ends with failure, or is killed by the launcher's watchdog a quarter later. */
export const TRIAL_DEADLINE_SECONDS = 300
/** A role on trial that is found not healthy is looked at again after this long, until its deadline. */
export const TRIAL_LOOK_MS = 5_000
/** Digits of a number of seconds in the file `trial`; a longer number makes the file unreadable. */
export const SECONDS_DIGITS_MAX = 5
/** Characters of a version; a longer one is written as `unknown`. */
export const VERSION_CHARS_MAX = 64
/** Characters of a reason; the rest is cut off. */
export const REASON_CHARS_MAX = 200
/** Programs remembered as bad; the oldest is forgotten. */
export const BAD_MAX = 32
/** Bytes read of a state file; a larger one counts as damaged. The launcher writes at most BAD_MAX lines. */
export const STATE_BYTES_MAX = 64 * 1024
/** An executable above this is refused before it is read; packaged ones have 75 to 115 MB. */
export const PROGRAM_BYTES_MAX = 256 * 1024 * 1024
/** SQLite's addon beside a script; a larger one is refused. */
export const ADDON_BYTES_MAX = 32 * 1024 * 1024
/** Read and written at a time when a program is copied. */
export const COPY_CHUNK_BYTES = 1024 * 1024
/** Left free on the disk of the slots beside a new program: databases go on being written. */
export const SPARE_BYTES_MIN = 16 * 1024 * 1024
/** Where the launcher is installed. */
export const LAUNCHER_PATH = '/usr/local/bin/helio'
