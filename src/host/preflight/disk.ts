// The disk that a data folder lies on, or would lie on: what it is, its room, and how long a durable write takes.

import { closeSync, existsSync, fsyncSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { FSYNC_BYTES, FSYNC_TRIES } from './limits.ts'
import { textOf } from './text.ts'

export interface DiskFacts {
  /** The data folder, or the nearest folder above it that exists. */
  readonly folder: string
  readonly sizeBytes: number
  readonly freeBytes: number
  readonly freeInodes: number
  /** `ext4`, `vfat`, …; '' when not found. */
  readonly type: string
  readonly readOnly: boolean
  readonly fsync: { readonly medianMs: number; readonly worstMs: number } | undefined
}

const nearest = (path: string): string => {
  let at = path
  while (!existsSync(at) && at !== dirname(at)) at = dirname(at)
  return at
}

/** Writes and fsyncs in a folder of its own, which is removed; undefined where this user may not write. */
const measureFsync = (clock: Pick<Clock, 'mono'>, folder: string): DiskFacts['fsync'] => {
  let dir: string
  try {
    dir = mkdtempSync(join(folder, '.helio-check-'))
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined
    throw error
  }
  try {
    const fd = openSync(join(dir, 'try'), 'w')
    const bytes = Buffer.alloc(FSYNC_BYTES, 1)
    const times = Array.from({ length: FSYNC_TRIES }, () => {
      const began = clock.mono()
      writeSync(fd, bytes)
      fsyncSync(fd)
      return clock.mono() - began
    }).sort((a, b) => a - b)
    closeSync(fd)
    return { medianMs: times[Math.floor(times.length / 2)] ?? 0, worstMs: times[times.length - 1] ?? 0 }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

export const diskFacts = (clock: Pick<Clock, 'mono'>, dataDir: string): DiskFacts => {
  const folder = nearest(dataDir)
  const { bsize, blocks, bavail, ffree, files } = statfsSync(folder)
  const mounts = (textOf('/proc/self/mounts') ?? '').split('\n').map(line => line.split(' '))
  const under = mounts
    .filter(([, target = '']) => target === '/' || folder === target || folder.startsWith(`${target}/`))
    .reduce<readonly string[]>((best, each) => ((each[1]?.length ?? 0) >= (best[1]?.length ?? 0) ? each : best), [])
  const readOnly = (under[3] ?? '').split(',').includes('ro')
  return {
    folder,
    sizeBytes: blocks * bsize,
    freeBytes: bavail * bsize,
    // btrfs and some others count none.
    freeInodes: files === 0 ? Number.MAX_SAFE_INTEGER : ffree,
    type: under[2] ?? '',
    readOnly,
    fsync: readOnly ? undefined : measureFsync(clock, folder),
  }
}
