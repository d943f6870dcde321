// Every bound of the store, with what happens at it. Source: DESIGN invariant 5.

/** One object as JSON. Larger: the write is refused with RequestEntityTooLarge (etcd's default is 1.5 MiB as well). */
export const VALUE_BYTES_MAX = 1536 * 1024
/** All current objects together. Beyond it creates and growing updates are refused with ServiceUnavailable; deletes always pass. */
export const CURRENT_BYTES_MAX = 512 * 1024 * 1024
/**
 * Values of current objects held in memory; those not read lately lie in a file beside the database. When that file takes no more (disk
 * full), creates and growing updates are refused with ServiceUnavailable until it does, or objects are deleted.
 */
export const HOT_BYTES_MAX = 64 * 1024 * 1024
/** The file of cold values is filled and emptied in parts of this size; a step of its compaction moves less than one part. */
export const SPILL_SEGMENT_BYTES = 4 * 1024 * 1024
/** Compaction steps with one value put: more than enough to outrun it. The file stays below one and a half times its values and three parts. */
export const SPILL_STEPS_MAX = 2
/** The database file, in pages of 4 KiB (1 GiB). Beyond it SQLite refuses the commit and its writers get ServiceUnavailable. */
export const DATABASE_PAGES_MAX = 256 * 1024

/** Writes waiting for a commit. Beyond either bound a write is refused with TooManyRequests (retry after a second). */
export const PENDING_WRITES_MAX = 10_000
export const PENDING_BYTES_MAX = 32 * 1024 * 1024
/** One commit holds at most this much; the rest waits for the next one. A single larger value still commits, alone. */
export const BATCH_ROWS_MAX = 512
export const BATCH_BYTES_MAX = 4 * 1024 * 1024

/** The event window: what watches resume from and old revisions are listed from. The oldest events leave first; older asks get 410 Expired. */
export const WINDOW_EVENTS_MAX = 10_000
/** Counts each event's value and the value it replaced. */
export const WINDOW_BYTES_MAX = 12 * 1024 * 1024
export const WINDOW_AGE_MS_MAX = 60 * 60 * 1000

/** The log on disk follows the window: rows that left it are deleted with later commits, never on their own, once this many or this much wait … */
export const COMPACT_ROWS_MIN = 512
export const COMPACT_BYTES_MIN = 2 * 1024 * 1024
/** … at most so many at once, or this many for each row the commit adds, so deletion outruns growth whatever the backlog. */
export const COMPACT_ROWS_PER_WRITE = 4

/** Bytes a watcher has not taken yet; above it the watcher is closed with 'slow' and has to list again. */
export const WATCHER_PENDING_BYTES_MAX = 4 * 1024 * 1024
/** Open watches; more are refused with TooManyRequests. */
export const WATCHERS_MAX = 20_000

/** Parsed objects kept, counted in serialised bytes (their heap is about four times that); the least used are parsed again when asked for. */
export const PARSED_BYTES_MAX = 12 * 1024 * 1024

/** Lazy writes reach the disk with the next durable commit, or after this long. */
export const LAZY_FLUSH_MS = 5_000
/** What lazy flushes of their own may write in a day; the budget saves up at most an hour's share, and at its end flushes wait for more. */
export const LAZY_BYTES_PER_DAY = 2 * 1024 * 1024
/** What a flush costs besides its values: the pages it touches. */
export const LAZY_FLUSH_COST_BYTES = 16 * 1024
/** Lazy state not on disk yet; above it a flush starts whatever the budget says. */
export const LAZY_PENDING_BYTES_MAX = 4 * 1024 * 1024
/** A commit that failed (disk full) is followed by another try after this, doubling; the store has a problem until one succeeds. */
export const FLUSH_BACKOFF = { baseMs: 5_000, capMs: 60_000 } as const

/** Revisions are reserved on disk in steps of this size; after a crash counting goes on above the reservation. */
export const CEILING_STEP = 10_000
/** A state restored from a snapshot counts on this far above it, so that no revision of the lost time comes again (etcdutl --bump-revision). */
export const RESTORE_REVISION_STEP = 1_000_000_000
/** A watch from further ahead comes from a history that a restore has ended: it is told to list again (410). Nearer, it waits. */
export const WATCH_AHEAD_MAX = 1_000_000
/** Steps taken by one restore, at most: some nine hundred restores fit into a safe integer, whatever is drawn. */
export const RESTORE_STEPS_MAX = 10_000

/** Verified snapshots kept; the oldest is removed after a newer one is verified. */
export const SNAPSHOTS_KEPT = 3
/** The first snapshot follows the first durable write by this. */
export const SNAPSHOT_FIRST_MS = 60_000
/** Between two snapshots at least this, at most a day, in between what the byte budget allows for the size; none without a durable write. */
export const SNAPSHOT_INTERVAL_MS_MIN = 10 * 60_000
export const SNAPSHOT_INTERVAL_MS_MAX = 24 * 60 * 60_000
export const SNAPSHOT_BYTES_PER_DAY = 8 * 1024 * 1024
/** A store that wrote this many times the size of its last snapshot gets the next one as early as the minimum allows. */
export const SNAPSHOT_HURRY_FACTOR = 8
/** A clean stop writes a snapshot of what is newer than the last one, unless the state is larger: a stop has seconds only. */
export const CLOSING_SNAPSHOT_BYTES_MAX = 8 * 1024 * 1024
/** A snapshot that failed is tried again after this long. */
export const SNAPSHOT_RETRY_MS = 30 * 60_000
/** Rows of an older version sealed in one transaction: at most so many of the largest in memory. */
export const SEAL_ROWS = 100
/** Rows per statement while a snapshot is written or a database is read. */
export const COPY_ROWS = 500
/** Free pages of the database are given back to the disk after a snapshot, when there are so many and they are more than half of the file … */
export const TRIM_PAGES_MIN = 1024
/** … in statements of so many pages, so that no commit waits long for one, and at most so many statements after one snapshot. */
export const TRIM_STEP_PAGES = 128
export const TRIM_STEPS_MAX = 256
/** Damaged databases kept for the operator; older ones are removed. */
export const DAMAGED_KEPT = 3
