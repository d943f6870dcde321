// Bounds of installing, of the units it writes, and of reporting to the service manager.

/** A unit, script, configuration or manifest on disk that is larger is not ours: it is refused, not read. */
export const FILE_BYTES_MAX = 256 * 1024
/** Lines of a file whose change is shown line by line; of a longer one only the sizes are told. */
export const DIFF_LINES_MAX = 400
/** Digests remembered for one installed file: what it is, and what it was before a run that may have been cut off. */
export const DIGESTS_MAX = 4
/** A program of the system (systemctl, ip, nft …) that takes longer counts as failed. */
export const COMMAND_MS_MAX = 60_000
/** A start is waited for so long; the service manager goes on trying afterwards, and the command says so. */
export const READY_MS_MAX = 180_000
/** How often a start that is waited for is looked at. */
export const READY_LOOK_MS = 500
/** A device that is ready is given so long to reach its server before the command says that it keeps trying. */
export const JOIN_MS_MAX = 20_000
/** A pod that is to end for good is given at most so long before it is killed. */
export const POD_GRACE_MS_MAX = 20_000

/** The role must show a sign of life so often, or is started anew. Flash may hold a write for ten seconds; a busy board for longer. */
export const WATCHDOG_SECONDS = 180
/** A first start may check a large database on a slow card; a start that takes longer is begun again. */
export const START_SECONDS_MAX = 300
/** The role ends by itself within 5 s. */
export const STOP_SECONDS_MAX = 15
/** Pause before the first restart, and the longest one where the service manager can lengthen it. */
export const RESTART_SECONDS = 2
export const RESTART_SECONDS_MAX = 60
/** systemd of this version on lengthens the pause step by step. */
export const RESTART_STEPS_SINCE = 254

/**
 * Memory of the service by what runs in it. Measured with Node 24 on x64: the group of an agent with three pods under systemd 55 MB; a server
 * alone 93 MB resident (48 MB of it its own), 119 MB after 2,000 objects of 1.5 KB. Above `high` the kernel slows it and takes page cache
 * back, above `max` it is killed and started anew: pods stay.
 */
export const MEMORY = {
  agent: { high: '256M', max: '512M' },
  /** A server grows with its objects: bounded by the board, so that a leak ends in a restart and not in a dead board. */
  server: { high: '60%', max: '75%' },
} as const
