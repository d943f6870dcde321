// Cold values in a file of our own, without a name: it goes with the process, and no start ever reads what an earlier one left. A list of
// parts (segments) filled one after the other; parts with much dead space are emptied in bounded steps and used again.
// Invariant: a value read is what was put (CRC-32), or reading throws.

import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { assert } from '../base/assert.ts'
import { crc32 } from './checksum.ts'
import type { ColdValue, ColdValues } from './cold.ts'
import { SPILL_SEGMENT_BYTES, SPILL_STEPS_MAX } from './limits.ts'

interface Segment {
  /** Its place in the file, in segments. */
  readonly index: number
  written: number
  live: number
  readonly places: Set<Place>
}

/** Where a value lies; moves when its segment is emptied. Without a segment it is lost. */
interface Place extends ColdValue {
  segment: Segment | undefined
  offset: number
  readonly sum: number
}

export interface Spill extends ColdValues {
  put(value: Buffer): ColdValue
  get(cold: ColdValue): Buffer
  /** Bytes put and not dropped. */
  readonly live: number
  /** Bytes the file covers. */
  readonly extent: number
  /** Forgets everything and lets go of the file; the next value begins a new one. */
  clear(): void
}

/** The bytes at a position; throws when there are fewer. */
const readAt = (fd: number, size: number, position: number): Buffer => {
  const bytes = Buffer.allocUnsafeSlow(size)
  for (let done = 0; done < size; ) {
    const count = readSync(fd, bytes, done, size - done, position + done)
    if (count === 0) throw new Error('the file of cold values ends early')
    done += count
  }
  return bytes
}

const writeAt = (fd: number, bytes: Buffer, position: number): void => {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, position + done)
}

/** The full segment with the least in it. */
const emptiest = (segments: readonly (Segment | undefined)[], head: Segment | undefined): Segment | undefined => {
  let found: Segment | undefined
  for (const segment of segments) if (segment && segment !== head && (!found || segment.live < found.live)) found = segment
  return found
}

/** Cold values in the file `path`, which is made (for its owner alone) and unlinked with the first value. */
export const createSpill = (path: string): Spill => {
  let fd: number | undefined
  let segments: (Segment | undefined)[] = []
  let used = 0
  let head: Segment | undefined
  let live = 0

  const file = (): number => {
    if (fd !== undefined) return fd
    const opened = openSync(path, 'w+', 0o600)
    try {
      unlinkSync(path)
    } catch (error) {
      closeSync(opened)
      throw error
    }
    fd = opened
    return opened
  }
  const free = (segment: Segment): void => {
    segments[segment.index] = undefined
    used--
    const before = segments.length
    while (segments.length > 0 && segments.at(-1) === undefined) segments.pop()
    if (segments.length < before && fd !== undefined) ftruncateSync(fd, segments.length * SPILL_SEGMENT_BYTES)
  }
  /** The segment that takes `size` more bytes. */
  const room = (size: number): Segment => {
    if (head && head.written + size <= SPILL_SEGMENT_BYTES) return head
    const gap = segments.indexOf(undefined)
    const segment = { index: gap < 0 ? segments.length : gap, written: 0, live: 0, places: new Set<Place>() }
    segments[segment.index] = segment
    used++
    const full = head
    head = segment
    if (full?.live === 0) free(full)
    return segment
  }
  /** Nothing points to the bytes yet, so a failure leaves everything as it was. */
  const append = (value: Buffer): { readonly segment: Segment; readonly offset: number } => {
    const to = file()
    const segment = room(value.length)
    const offset = segment.written
    writeAt(to, value, segment.index * SPILL_SEGMENT_BYTES + offset)
    segment.written += value.length
    return { segment, offset }
  }
  const attach = (place: Place, { segment, offset }: { readonly segment: Segment; readonly offset: number }): void => {
    place.segment = segment
    place.offset = offset
    segment.live += place.size
    segment.places.add(place)
    live += place.size
  }
  /** The segment the value lay in. */
  const detach = (place: Place): Segment | undefined => {
    const { segment } = place
    if (!segment) return undefined
    place.segment = undefined
    segment.places.delete(place)
    segment.live -= place.size
    live -= place.size
    return segment
  }
  const read = ({ segment, offset, size, sum }: Place): Buffer => {
    if (!segment || fd === undefined) throw new Error('the value was lost from the file of cold values')
    const bytes = readAt(fd, size, segment.index * SPILL_SEGMENT_BYTES + offset)
    if (crc32(bytes) !== sum) throw new Error('the file of cold values is damaged')
    return bytes
  }
  /** Undefined for a value that cannot be read: it is lost, and whoever reads it hears so. */
  const salvage = (place: Place): Buffer | undefined => {
    try {
      return read(place)
    } catch (error) {
      detach(place)
      assert(error instanceof Error, 'reading fails with an error')
      return undefined
    }
  }
  /** Moves one value to the head. */
  const move = (place: Place): void => {
    const bytes = salvage(place)
    if (!bytes) return
    const to = append(bytes)
    detach(place)
    attach(place, to)
  }
  const compact = (): void => {
    for (let step = 0; step < SPILL_STEPS_MAX; step++) {
      if (used * SPILL_SEGMENT_BYTES - live <= live / 2 + 2 * SPILL_SEGMENT_BYTES) return
      const victim = emptiest(segments, head)
      if (!victim) return
      for (const place of [...victim.places]) move(place)
      free(victim)
    }
  }
  return {
    get live() {
      return live
    },
    get extent() {
      return segments.length * SPILL_SEGMENT_BYTES
    },
    put(value) {
      assert(value.length > 0 && value.length <= SPILL_SEGMENT_BYTES, 'a value fits a segment')
      compact()
      const place: Place = { segment: undefined, offset: 0, size: value.length, sum: crc32(value) }
      attach(place, append(value))
      return place
    },
    get: cold => read(cold as Place),
    drop(cold) {
      const segment = detach(cold as Place)
      if (segment && segment.live === 0 && segment !== head) free(segment)
    },
    clear() {
      if (fd !== undefined) closeSync(fd)
      fd = undefined
      segments = []
      used = 0
      head = undefined
      live = 0
    },
  }
}
