// The bounds of the command line.

/** Objects asked for at a time; the rest comes by `continue`. As kubectl's --chunk-size. */
export const CHUNK_SIZE = 500
/** Bytes of a manifest file or of standard input; larger input is refused. */
export const MANIFEST_BYTES_MAX = 64 * 1024 * 1024
/** Bytes of a kubeconfig; larger files are refused. */
export const KUBECONFIG_BYTES_MAX = 4 * 1024 * 1024
/** Bytes of an answer that is read whole; a larger one ends the command with an error. */
export const ANSWER_BYTES_MAX = 1024 * 1024 * 1024
/** Connections to the server at a time; more requests wait. */
export const CONNECTIONS_MAX = 8
/** An operation that takes longer gets a progress line. */
export const PROGRESS_AFTER_MS = 1000
/** How often a progress line that is only rewritten may be repeated where there is no terminal. */
export const PROGRESS_PLAIN_MS = 10_000
/** How often an apply that met a conflict reads and tries again before it gives up (kubectl: 5). */
export const APPLY_ATTEMPTS_MAX = 5
/** How often a change of a list that somebody else changed meanwhile is made again. */
export const WRITE_ATTEMPTS_MAX = 5
/** How long a connection may take to be made; a server that is there answers at once, one that is not says nothing. */
export const CONNECT_MS_MAX = 10_000
/** How long the agent of this machine may take to begin its answer; it answers from memory. */
export const AGENT_MS_MAX = 10_000
/** Pods whose trouble is told below the table of `device pods`; the others are counted. */
export const TROUBLES_MAX = 10
/** A watch that ended is opened again after this long. */
export const WATCH_AGAIN_MS = 1000
/** Containers followed at once by one `logs -f` (kubectl's --max-log-requests); more are refused. */
export const LOG_STREAMS_MAX = 20
/** Files in a folder given with -f -R. */
export const MANIFEST_FILES_MAX = 10_000
/** How long `device sync` waits; the agent itself answers sooner, with what it knows by then. */
export const SYNC_MS_MAX = 90_000
/** Bytes of one message of exec, attach or port-forward; a larger one ends the connection. */
export const CHANNEL_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
/** Connections forwarded at once; further ones are closed as they come. The link has its own, lower bound per device. */
export const FORWARDED_MAX = 64
/** Entries of an archive taken by `cp`, and characters of a path in it; more end the copy. */
export const COPY_ENTRIES_MAX = 1_000_000
export const COPY_PATH_CHARS_MAX = 4096
