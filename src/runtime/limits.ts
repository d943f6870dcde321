// Every bound of the runtimes, with what happens at it.

/** Open files of a container, soft and hard; lowered to the agent's own hard limit where that is lower and cannot be raised. */
export const CONTAINER_NOFILE = 65_536

/** Processes of a container whose pod names no limit: fork fails with EAGAIN beyond it, the device stays usable. */
export const CONTAINER_PIDS_DEFAULT = 4_096

/** /dev/shm of a pod: writing beyond it gives ENOSPC. Kubernetes' runtimes give the same 64 MiB. */
export const SHM_BYTES = 64 * 1024 * 1024

/** The kernel's own bound of overlay layers; an image with more is refused before anything is created. */
export const OVERLAY_LAYERS_MAX = 500

/** A runtime command that has not ended by then is killed and the start refused; the agent's backoff tries again. */
export const COMMAND_TIMEOUT_MS = 30_000

/** From starting the monitor to its report that the container exists; then the start is refused and what was made is removed. */
export const CREATE_TIMEOUT_MS = 30_000

/** After SIGKILL the kernel may need this long to end a process (uninterruptible I/O): then stopContainer rejects and may be called again. */
export const KILL_WAIT_MS = 30_000

/** A process that is gone although nobody recorded its exit gets this long for the record to appear, then its exit is reported unknown. */
export const EXIT_RECORD_WAIT_MS = 2_000

/** What is kept of a program's error output for a message. The rest is dropped. */
export const ERROR_TEXT_MAX = 2_048

/** Output of a container kept in memory while it is turned into log lines; also the longest line before it is cut into partial ones. */
export const LOG_CHUNK_BYTES = 64 * 1024
export const LOG_LINE_BYTES_MAX = 16 * 1024

/** Bytes of a log that a monitor writes before it starts the file anew and drops what was in it. Only met when a container writes this much
 * between two looks of the agent, which rotates far earlier and drops nothing, or while there is no agent. */
export const MONITORED_LOG_BYTES_MAX = 64 * 1024 * 1024

/** A record on disk larger than this is not ours: it is reported and left alone. */
export const RECORD_BYTES_MAX = 1024 * 1024

/** Converted output of a plain process is given back to the disk in steps of this size. Where holes are impossible it stays until the end. */
export const LOG_RECLAIM_BYTES = 4 * 1024 * 1024

/** A folder that fills while it is cleared is cleared again this often, with a growing pause; then removing rejects and may be called again. */
export const REMOVE_RETRIES = 5
export const REMOVE_RETRY_MS = 20
