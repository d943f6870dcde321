// Every bound of the agent, with what happens at the bound written beside it. CONVENTIONS 19.

import type { BackoffPolicy } from '../base/backoff.ts'

/** Delay before a crashed container starts again, after a first restart that is immediate. At the cap it stays there. As kubelet. */
export const RESTART_BACKOFF: BackoffPolicy = { baseMs: 10_000, capMs: 300_000 }
/** A container that ran this long starts its backoff anew. */
export const RESTART_RESET_MS = 600_000
/** Delay before a failed step of a pod (volumes, sandbox, network, removal) is tried again. */
export const SETUP_BACKOFF: BackoffPolicy = { baseMs: 1_000, capMs: 120_000 }
/** Delay between attempts to join; the pods run meanwhile. */
export const JOIN_BACKOFF: BackoffPolicy = { baseMs: 1_000, capMs: 60_000 }
/**
 * An agent that cannot know when its forerunner last heard the server lets pods with stop-after run on for at most so long without it; a link
 * that was quiet for longer than stop-after and is found broken gets so long to come back.
 */
export const SILENCE_PATIENCE_MS = 60_000
/** A certificate is made new when this share of its life is over, or up to so much of that share sooner: not the whole fleet at once. */
export const RENEW_AT_SHARE = 2 / 3
export const RENEW_JITTER = 0.2
/** Dials that show a renewed certificate before as many show the one before it: over two ways at once, and through a bad hour. */
export const RENEWED_DIALS = 8
/** Delay between attempts to renew while there is contact; the old certificate works meanwhile, whatever its dates. */
export const RENEW_BACKOFF: BackoffPolicy = { baseMs: 60_000, capMs: 86_400_000 }
/** A seed above this is refused. */
export const SEED_BYTES_MAX = 16 * 1024
/** Pre-loaded manifests: files in the folder, bytes of each, objects in all; what is above is left out and named. */
export const PRELOAD_FILES_MAX = 64
export const PRELOAD_FILE_BYTES_MAX = 2 * 1024 * 1024
export const PRELOAD_OBJECTS_MAX = 512
/** A join request or answer takes at most this long; then it counts as failed. */
export const JOIN_TIMEOUT_MS = 20_000
/** A join answer above this is refused. */
export const JOIN_BYTES_MAX = 256 * 1024

/** Between readiness probes of a container that was never ready; never longer than its period. */
export const EAGER_READINESS: BackoffPolicy = { baseMs: 200, capMs: 10_000 }

/** Grace when nobody says otherwise (Kubernetes' default), also for containers whose pod is known no more. */
export const GRACE_SECONDS_DEFAULT = 30
/** After a preStop hook that used up the grace a container still gets this long between SIGTERM and SIGKILL. As kubelet. */
export const GRACE_MS_MIN = 2_000
/** A postStart hook longer than this counts as failed: the container is killed. */
export const POST_START_TIMEOUT_MS = 60_000

/** Steps of pods carried out at the same time; more wait in order. Stopping and probing are not counted. */
export const ACTIONS_PARALLEL = 8
/** Probes in flight at the same time; more wait. */
export const PROBES_PARALLEL = 16
/** Body bytes of a probe's answer that are read; the rest is dropped with the connection. */
export const PROBE_BODY_BYTES_MAX = 10 * 1024
/** Output of a failed probe command is waited for this long after its end. */
export const LAST_WORDS_MS = 100
/** Text of messages in statuses and events is cut here. */
export const MESSAGE_CHARS_MAX = 1024
/** Bytes read of a container's termination message; the rest is ignored. As kubelet. */
export const TERMINATION_MESSAGE_BYTES_MAX = 4096
/** Bytes of an image's passwd or group file that are read; a larger file counts as absent. */
export const ACCOUNTS_BYTES_MAX = 1024 * 1024

/** Log bytes after which a container's log is rotated; one file may be larger by what is written in LOG_CHECK_MS. */
export const LOG_BYTES_MAX = 10 * 1024 * 1024
/** Rotated files kept beside the current one; the oldest is removed. */
export const LOG_ROTATED_MAX = 4
/** Logs of ended attempts kept per container, besides the current one; the oldest are removed. */
export const LOG_ATTEMPTS_MAX = 2
/** A log that is being written is looked at this often; an idle one never. */
export const LOG_CHECK_MS = 10_000
/** Bytes a log reader holds at once. */
export const LOG_CHUNK_BYTES = 64 * 1024
/** Longest log line given out whole; longer ones are cut into pieces. */
export const LOG_LINE_BYTES_MAX = 256 * 1024
/** Log streams open at the same time; one more is refused. */
export const LOG_STREAMS_MAX = 32

/** What the agent remembers of pods is written at most this often; a stop flushes. Losing it costs a probe and a counter, never a pod. */
export const REMEMBER_DELAY_MS = 5_000
/** The certain time is written this often while the agent runs, and at each contact; a power cut loses at most so much of it. */
export const CLOCK_KEEP_EVERY_MS = 6 * 3_600_000
/** The node's own status is looked at this often, and at document changes. */
export const NODE_STATUS_EVERY_MS = 300_000
/** Free memory below this share of the capacity raises MemoryPressure; free disk likewise. */
export const MEMORY_PRESSURE_SHARE = 0.05
export const DISK_PRESSURE_SHARE = 0.1
/** Pods a device takes; reported as capacity, the scheduler keeps to it. */
export const PODS_MAX = 110
/** Images named in the node's status; the rest is left out (as kubelet's 50). */
export const NODE_IMAGES_MAX = 50
/** Events kept until the link is there; the oldest are dropped. */
export const EARLY_EVENTS_MAX = 200
/** A stopped container's exit is waited for this long before the runtime is asked. */
export const EXIT_WAIT_MS = 2_000
/** Steps under way are waited for this long when the agent closes; the runtime finishes or forgets what is left. */
export const CLOSE_WAIT_MS = 2_000
/** Bytes of log shown as termination message where the container wrote none and asks for it. As kubelet. */
export const LOG_MESSAGE_BYTES_MAX = 2048

/** Connections to the local API at the same time; more are refused by the socket. */
export const LOCAL_CONNECTIONS_MAX = 32
/** Warnings kept for the operator; the oldest are dropped. */
export const WARNINGS_MAX = 50

/** Size of a volume of Secrets in memory; documents are bounded far below. Above it the write fails and is tried again. */
export const SECRET_VOLUME_BYTES_MAX = 64 * 1024 * 1024

/** The copy of the desired state beside the database; a larger one is not read back (documents are bounded far below by the link). */
export const COPY_BYTES_MAX = 64 * 1024 * 1024

/** A request body of the local API above this is refused (413) before more of it is read. */
export const LOCAL_BODY_BYTES_MAX = 256 * 1024
/** A request to the local API that is not there whole by then is cut off (looked for every half minute). */
export const LOCAL_REQUEST_MS_MAX = 10_000
/** Proofs of callers awaited at the same time; the oldest is forgotten and its caller refused. */
export const PEER_NONCES_MAX = 64
/** A proof that takes longer is none. */
export const PEER_NONCE_MS = 10_000
/** How long a `sync` asked on the device waits for its result at most; then it says what is known. */
export const SYNC_WAIT_MS_MAX = 60_000
/** How often a waiting `sync` looks at the link, and how long a line that stands already has for its answer; later it is called silent by its keepalive. */
export const SYNC_LOOK_MS = 100
export const SYNC_ANSWER_MS = 10_000
/** Crash-looping containers whose last words the doctor reads, and the bytes of each; of more it tells the exit code alone. */
export const LAST_WORDS_CONTAINERS_MAX = 10
export const LAST_WORDS_BYTES_MAX = 1024

/** Commands that run in containers at the same time, asked for by people; one more is refused. */
export const EXECS_MAX = 32
/** Dialling a port of a pod; then what listens only on the pod's loopback is tried. */
export const PORT_DIAL_MS_MAX = 5_000
/** Measurements in one request of the local API, and JSON characters of each; more are refused whole. */
export const TELEMETRY_ITEMS_MAX = 256
export const TELEMETRY_ITEM_CHARS_MAX = 900
/** Words of a command run over the local API; more are refused. (The request line itself is bounded by the HTTP parser.) */
export const EXEC_WORDS_MAX = 1024
