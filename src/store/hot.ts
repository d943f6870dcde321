// Which values of current objects are in memory: those used lately (second chance), within a bound of bytes; the others are put away
// as cold values. Without a place for cold values all stay. Invariant: only entries of the current state are ever cold.

import { assert } from '../base/assert.ts'
import { ApiError, isReason, messageOf } from '../base/errors.ts'
import type { ColdValue, ColdValues } from './cold.ts'
import type { StoredEntry } from './entry.ts'

export interface HotSet {
  /** The entry became current: it may be put away from now on. */
  enter(entry: StoredEntry): void
  /** The entry is current no more: what it holds is its own again. False when its value is lost. */
  leave(entry: StoredEntry): boolean
  /** Why memory holds more than it should; undefined when it does not. Tries again first. */
  stuck(): string | undefined
  /** Why a value could not be read back, once one could not. */
  readonly lost: string | undefined
  /** For entries: their bytes from where they lie. */
  fetch(entry: StoredEntry, place: ColdValue | undefined): Buffer
  /** For entries: whether to hold the bytes just read. */
  keeps(entry: StoredEntry): boolean
}

export interface HotDeps {
  readonly cold: ColdValues
  readonly bytesMax: number
}

/** Nothing is ever cold. */
const ALL_HOT: HotSet = {
  enter: () => undefined,
  leave: () => true,
  stuck: () => undefined,
  lost: undefined,
  fetch(entry) {
    throw new Error(`read ${entry.key}: there are no cold values`)
  },
  keeps: () => true,
}

const lossOf = (key: string, cause: unknown): ApiError =>
  new ApiError('InternalError', `read ${key}: ${messageOf(cause)}`, {
    cause,
    hint: 'restart the server: the database has the object; check the disk',
  })

export const createHotSet = (deps: HotDeps | undefined): HotSet => {
  if (!deps) return ALL_HOT
  const { cold, bytesMax } = deps
  const held = new Set<StoredEntry>()
  let bytes = 0
  let failed: string | undefined
  let lost: string | undefined

  const add = (entry: StoredEntry): void => {
    held.add(entry)
    bytes += entry.size
  }
  /** Puts away until the bound is kept, or until there is no space. */
  const relieve = (): void => {
    failed = undefined
    for (const old of held) {
      if (bytes <= bytesMax) return
      held.delete(old)
      if (old.spareBytes()) {
        held.add(old)
        continue
      }
      try {
        old.putAway(cold)
        bytes -= old.size
      } catch (error) {
        held.add(old)
        failed = messageOf(error)
        return
      }
    }
  }
  return {
    enter(entry) {
      if (entry.isHot) add(entry)
      relieve()
    },
    leave(entry) {
      if (held.delete(entry)) bytes -= entry.size
      try {
        entry.takeBack(cold)
        return true
      } catch (error) {
        if (isReason(error, 'InternalError')) return false
        throw error
      }
    },
    stuck() {
      if (bytes > bytesMax) relieve()
      return bytes > bytesMax ? failed : undefined
    },
    get lost() {
      return lost
    },
    fetch(entry, place) {
      try {
        assert(place, 'bytes that are not in memory are somewhere')
        return cold.get(place, entry.key)
      } catch (error) {
        lost ??= `read ${entry.key}: ${messageOf(error)}`
        throw lossOf(entry.key, error)
      }
    },
    keeps(entry) {
      // Values that are put away already would fill the memory that those which cannot be put away have left.
      if (failed !== undefined && bytes + entry.size > bytesMax) return false
      add(entry)
      relieve()
      return held.has(entry)
    },
  }
}

/** Says of a value that was read where it lies from now on. */
export type Admit = (value: Buffer, key: string) => Buffer | ColdValue

/** Where each value goes while the state is loaded: the first ones stay in memory, the rest is put away as far as there is space. */
export const createAdmission = ({ cold, bytesMax }: HotDeps): Admit => {
  let bytes = 0
  let full = false
  return (value, key) => {
    bytes += value.length
    if (bytes <= bytesMax || full) return value
    try {
      return cold.put(value, key)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      full = true
      return value
    }
  }
}
