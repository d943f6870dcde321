// Bounds of looking at a machine, and the figures that a finding goes by.

/** A program that is tried for a moment. */
export const TRY_MS_MAX = 10_000
/** The server's answer. */
export const REACH_MS_MAX = 5_000
/** Bytes read of a file of the system. */
export const SYSTEM_FILE_BYTES_MAX = 8 * 1024 * 1024
/** Writes with fsync that measure the disk; 4 KiB each. */
export const FSYNC_TRIES = 12
export const FSYNC_BYTES = 4096
/** Above this (median) people notice; a worn or cheap card. */
export const FSYNC_MS_WARN = 100
/** Above this (worst) something is wrong with the disk. */
export const FSYNC_MS_FAIL = 10_000
/** Free space of a data folder: images go there too. */
export const DISK_BYTES_WARN = 1024 * 1024 * 1024
export const DISK_BYTES_FAIL = 256 * 1024 * 1024
export const INODES_WARN = 10_000
/** Memory of the machine. An agent takes 60 MB, a server 70 MB and what its objects need; pods come on top. */
export const MEMORY_BYTES = {
  agent: { warn: 256 * 1024 * 1024, fail: 96 * 1024 * 1024 },
  server: { warn: 512 * 1024 * 1024, fail: 192 * 1024 * 1024 },
} as const
/** Bits of entropy; kernels since 5.18 show 256 always. */
export const ENTROPY_WARN = 128
/** Two clocks this far apart are told. */
export const CLOCK_OFF_MS = 60_000
/** A wall clock this far after the build is as odd as one before it. */
export const CLOCK_AHEAD_MS = 10 * 365 * 86_400_000
/** Oldest versions known to work. */
export const VERSIONS = { kernel: [4, 18], crun: [1, 0], conmon: [2, 0], systemd: [236] } as const
