// Bounds of the API room, with what happens at each. Source: kube-apiserver's own limits where it has one.

/** Bytes of a request body. Above it: 413 RequestEntityTooLarge; nothing beyond it is kept in memory. */
export const BODY_BYTES_MAX = 3 * 1024 * 1024
/** Nesting of a JSON body. Deeper: 400 before it is parsed. */
export const BODY_DEPTH_MAX = 256
/** Keys that come twice, named in one refusal; the rest is not looked for. */
export const DUPLICATES_MAX = 100
/** Characters of the path of such a key; longer paths are cut. */
export const PATH_LENGTH_MAX = 1024
/** Causes in one refusal; the rest is left out, and the last one says how many. */
export const CAUSES_MAX = 100
/** Characters of a name or a field's path in a refusal; longer ones are cut and end in `…`. */
export const SHOWN_LENGTH_MAX = 1024
/** Signs, words and line ends of a YAML body (a block of text counts as one). More: 400. Its parser takes 3 µs and 400 bytes for each. */
export const YAML_LEXEMES_MAX = 200_000
/** Aliases of a YAML body times its length. Above: 400, since every alias may stand for most of the body. */
export const YAML_ALIASED_BYTES_MAX = 16 * 1024 * 1024
/** Expansions of YAML aliases in one body. More: 400 ("billion laughs"). */
export const YAML_ALIASES_MAX = 100
/** Characters of a request's path and query. Longer: 414. */
export const URL_LENGTH_MAX = 16 * 1024
/** Bytes of all request headers. Above it the connection is answered 431 or the stream is refused. */
export const HEADER_BYTES_MAX = 64 * 1024
/** Bodies on their way at once, by number and in bytes. More: the one on its way the longest is given up with 504. */
export const ARRIVING_MAX = 2_000
export const ARRIVING_BYTES_MAX = 256 * 1024 * 1024
/** The same for callers without a name. */
export const ARRIVING_STRANGERS_MAX = 512
export const ARRIVING_STRANGERS_BYTES_MAX = ARRIVING_STRANGERS_MAX * 32 * 1024
/** Requests in work at once of callers without a name (joining devices). More: 429; callers with a name do not notice. */
export const STRANGERS_MAX = 64
/** Bytes of a body read for a caller without a name. Above it: 413. */
export const STRANGER_BODY_BYTES_MAX = 32 * 1024
/** The body of such a caller must have arrived within this. */
export const STRANGER_BODY_MS_MAX = 10_000
/** Requests in work at once, watches and bodies on their way not counted. More: 429 with Retry-After. */
export const REQUESTS_MAX = 800
/** HTTP watches open at once. More: 429 with Retry-After. */
export const WATCHES_MAX = 10_000
/** Log streams open at once. More: 429 with Retry-After. */
export const LOG_STREAMS_MAX = 200
/** Connections open at once. More are closed as they arrive. */
export const CONNECTIONS_MAX = 20_000
/** Connections whose TLS handshake has not ended. More: the one that came first is closed, since one that means it is soon done. */
export const UNPROVEN_MAX = 5_000
/** HTTP/2 streams in one connection. More are refused by the protocol and wait in the client. Source: kube-apiserver. */
export const STREAMS_MAX = 250
/** Memory of one HTTP/2 session, in MiB; above it the session refuses new streams. */
export const SESSION_MEMORY_MIB = 16

/** Seconds named by Retry-After where a bound was met. */
export const RETRY_AFTER_SECONDS = 1

/** A request (head and body) must have arrived within this; else 408 and the connection is closed. */
export const REQUEST_MS_MAX = 60_000
/** The head of a request must have arrived within this. */
export const HEAD_MS_MAX = 30_000
/** A TLS handshake must have ended within this. */
export const HANDSHAKE_MS_MAX = 15_000
/** A client that comes back within a day resumes its TLS session, at half the bytes; who it is is judged anew each time. */
export const TICKET_SECONDS = 86_400
/** An idle connection without open streams is closed after this. */
export const IDLE_MS_MAX = 180_000
/** TCP keep-alive probes start after this silence: how a dead watcher is noticed. */
export const PROBE_AFTER_MS = 45_000
/** Open requests get this long to end when the listener closes; then their connections are destroyed. */
export const CLOSE_MS_MAX = 3_000

/** A watch without timeoutSeconds ends after this and up to twice this. Source: --min-request-timeout. */
export const WATCH_MS_DEFAULT = 1_800_000
/** A watch never lives longer, whatever timeoutSeconds says. */
export const WATCH_MS_MAX = 86_400_000
/** Bookmarks of all watches that asked for them are sent this often, to those whose revision has moved. */
export const BOOKMARK_MS = 60_000
/** Bytes a watch client has not taken yet. Above it the watch is closed; the client lists or resumes. */
export const WATCH_PENDING_BYTES_MAX = 4 * 1024 * 1024
/** The same for all watches together: each may fall behind by an equal share of it, but not by less than WATCH_SHARE_BYTES_MIN. */
export const WATCHES_PENDING_BYTES_MAX = 256 * 1024 * 1024
export const WATCH_SHARE_BYTES_MIN = 64 * 1024

/** Operations of a JSON patch. More: 413. Source: kube-apiserver. */
export const JSON_PATCH_OPERATIONS_MAX = 10_000
/** Bytes that the copies of one JSON patch may add. More: 413. Source: kube-apiserver, AccumulatedCopySizeLimit. */
export const JSON_PATCH_COPY_BYTES_MAX = BODY_BYTES_MAX
/** Bytes that the moves of one JSON patch may carry about, each as often as it is moved. More: 413. */
export const JSON_PATCH_MOVE_BYTES_MAX = 64 * 1024 * 1024
/** New names tried for one generateName; then 409 AlreadyExists. Source: k8s RetryGenerateName. */
export const GENERATE_NAME_TRIES = 8
/** Objects a filtered LIST looks at per step of its search. */
export const SCAN_PAGE = 500
/** Objects deleted by deletecollection per group of concurrent writes. */
export const DELETE_PAGE = 200
/** Warnings in one response; further ones are dropped. */
export const WARNINGS_MAX = 50
/** Characters of one warning; the rest is cut. */
export const WARNING_LENGTH_MAX = 256
/** Kinds of Accept headers remembered; the memory starts anew when it is full. */
export const ACCEPT_MEMO_MAX = 256
/** The response of a log stream is committed (200) after this even when the container has said nothing yet. */
export const LOG_COMMIT_MS = 1_000
/** Bytes of a list written to a connection at a time. */
export const WRITE_CHUNK_BYTES = 256 * 1024
/** A body below this is handed to the system at once. */
export const SMALL_BODY_BYTES = 64 * 1024
/** A client that has not taken such a piece within this (2 KB a second) does not read: its connection or stream is cut. */
export const WRITE_STALL_MS_MAX = 120_000
/** Entries of ordinary writers in metadata.managedFields; the oldest are folded into one. Source: k8s DefaultMaxUpdateManagers. */
export const MANAGERS_MAX = 10
