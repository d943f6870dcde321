// When to write a snapshot: soon after the first durable write, then as often as the byte budget allows, never when nothing was written.

import type { Cancel, Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import {
  SNAPSHOT_BYTES_PER_DAY,
  SNAPSHOT_FIRST_MS,
  SNAPSHOT_HURRY_FACTOR,
  SNAPSHOT_INTERVAL_MS_MAX,
  SNAPSHOT_INTERVAL_MS_MIN,
  SNAPSHOT_RETRY_MS,
} from './limits.ts'

const DAY_MS = 24 * 60 * 60 * 1000

/** The pause after a snapshot of this size. */
export const snapshotIntervalMs = (sizeBytes: number): number =>
  Math.min(SNAPSHOT_INTERVAL_MS_MAX, Math.max(SNAPSHOT_INTERVAL_MS_MIN, (sizeBytes / SNAPSHOT_BYTES_PER_DAY) * DAY_MS))

/** Settles, without error, when the work does; whoever asked for the work hears of its error. */
const settled = async (work: Promise<unknown>): Promise<void> => {
  await Promise.allSettled([work])
}

export interface SnapshotSchedule {
  /** Durable writes of so many bytes happened; arms the timer. */
  written(bytes: number): void
  /** Writes one now, after the one being written; the schedule starts anew from it. */
  now(): Promise<string>
  /** Stops the timer and waits for the one being written. `last`: what was written since is kept in one more, so that a clean stop loses nothing to later damage. */
  close(last: boolean): Promise<void>
}

export interface SnapshotScheduleDeps {
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly log: Log
  readonly write: () => Promise<{ readonly name: string; readonly sizeBytes: number }>
  /** What else is done now and then, after a snapshot was written. */
  readonly trim?: () => Promise<void>
  /** False when a snapshot is there already: then there is no hurry. */
  readonly first: boolean
}

export const createSnapshotSchedule = ({ clock, log, write, trim, first }: SnapshotScheduleDeps): SnapshotSchedule => {
  let dueMs = clock.mono() + (first ? SNAPSHOT_FIRST_MS : SNAPSHOT_INTERVAL_MS_MIN)
  let earliestMs = dueMs
  /** Bytes that must be written before a snapshot is due ahead of its interval: then it costs little beside them. */
  let hurryBytes = Number.POSITIVE_INFINITY
  let timer: Cancel | undefined
  let running: Promise<void> = Promise.resolve()
  let closed = false
  let unsaved = false

  const tidy = async (): Promise<void> => {
    try {
      await trim?.()
    } catch (error) {
      log.error('give free pages back failed', { cause: messageOf(error) })
    }
  }
  const once = async (): Promise<string> => {
    timer?.()
    timer = undefined
    unsaved = false
    try {
      const { name, sizeBytes } = await write()
      earliestMs = clock.mono() + SNAPSHOT_INTERVAL_MS_MIN
      dueMs = clock.mono() + snapshotIntervalMs(sizeBytes)
      hurryBytes = sizeBytes * SNAPSHOT_HURRY_FACTOR
      log.debug('snapshot written', { name, sizeBytes })
      await tidy()
      return name
    } catch (error) {
      dueMs = clock.mono() + SNAPSHOT_RETRY_MS
      unsaved = true
      throw error
    }
  }
  const now = (): Promise<string> => {
    const next = running.then(once)
    running = settled(next)
    return next
  }
  /** For nobody who waits: a failure is logged. */
  const scheduled = async (): Promise<void> => {
    try {
      await now()
    } catch (error) {
      log.error('snapshot failed', { cause: messageOf(error) })
    }
  }
  return {
    now,
    written(bytes) {
      hurryBytes -= bytes
      unsaved = true
      if (hurryBytes < 0 && dueMs > earliestMs) {
        dueMs = earliestMs
        timer?.()
        timer = undefined
      }
      if (timer || closed) return
      timer = clock.after(Math.max(0, dueMs - clock.mono()), () => {
        timer = undefined
        void scheduled()
      })
    },
    async close(last) {
      closed = true
      timer?.()
      await running
      if (last && unsaved) await scheduled()
    },
  }
}
