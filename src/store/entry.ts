// One stored object: its bytes, in memory or put away, and its parsed, frozen form on demand. Parsed forms live in a cache bounded by
// bytes (second chance), so memory follows what is read, not what is stored.

import { deepFreeze } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import { type ColdValue, type ColdValues, isCold } from './cold.ts'
import type { HotSet } from './hot.ts'
import type { LoadedRow } from './journal.ts'
import { PARSED_BYTES_MAX } from './limits.ts'
import type { Entry } from './store.ts'

export interface ParsedCache {
  /** Remembers that the entry holds its parsed form; may make others forget theirs. */
  add(entry: StoredEntry): void
}

export const createParsedCache = (bytesMax: number = PARSED_BYTES_MAX): ParsedCache => {
  const held = new Set<StoredEntry>()
  let bytes = 0
  return {
    add(entry) {
      held.add(entry)
      bytes += entry.size
      for (const old of held) {
        if (bytes <= bytesMax) break
        held.delete(old)
        if (old.spare()) held.add(old)
        else bytes -= old.size
      }
    },
  }
}

/** What entries share. */
export interface Memory {
  readonly parsed: ParsedCache
  readonly hot: HotSet
}

/** Immutable for its readers; where its bytes and its parsed form lie changes. A class for the shared getters only: thousands exist. */
export class StoredEntry implements Entry {
  readonly key: string
  readonly revision: number
  readonly createRevision: number
  /** Bytes of the value. */
  readonly size: number
  readonly #memory: Memory
  #bytes: Buffer | undefined = undefined
  /** Where the bytes lie as well, or alone. */
  #cold: ColdValue | undefined = undefined
  #read = false
  #object: KubeObject | undefined = undefined
  #used = false

  constructor(row: LoadedRow, memory: Memory) {
    this.key = row.key
    this.revision = row.revision
    this.createRevision = row.createRevision
    this.#memory = memory
    if (isCold(row.value)) {
      this.size = row.value.size
      this.#cold = row.value
    } else {
      this.size = row.value.length
      this.#bytes = row.value
    }
  }

  get value(): Buffer {
    if (this.#bytes) {
      this.#read = true
      return this.#bytes
    }
    const bytes = this.#fetch()
    if (this.#memory.hot.keeps(this)) this.#bytes = bytes
    return bytes
  }

  /** The value for one who comes once, or keeps something else: where it lies does not change. */
  get bytes(): Buffer {
    return this.#bytes ?? this.#fetch()
  }

  get object(): KubeObject {
    if (this.#object) {
      this.#used = true
      return this.#object
    }
    this.#read = true
    const parsed = deepFreeze(JSON.parse(this.bytes.toString()) as KubeObject)
    this.#object = parsed
    this.#used = false
    this.#memory.parsed.add(this)
    return parsed
  }

  get isHot(): boolean {
    return this.#bytes !== undefined
  }

  /** Asked by the cache when it is full: true when used since the last time, else the parsed form is given up. */
  spare(): boolean {
    if (this.#used) {
      this.#used = false
      return true
    }
    this.#object = undefined
    return false
  }

  /** As `spare`, for the bytes; giving them up takes `putAway`. */
  spareBytes(): boolean {
    const spared = this.#read
    this.#read = false
    return spared
  }

  /** Lets go of the bytes, which lie in `cold` from now on, or did already. Throws when there is no space: nothing has changed then. */
  putAway(cold: ColdValues): void {
    if (this.#bytes) this.#cold ??= cold.put(this.#bytes, this.key)
    this.#bytes = undefined
  }

  /** Holds the bytes alone again. Throws InternalError when they are lost. */
  takeBack(cold: ColdValues): void {
    const place = this.#cold
    if (!place) return
    try {
      this.#bytes ??= this.#fetch()
    } finally {
      this.#cold = undefined
      cold.drop(place)
    }
  }

  #fetch(): Buffer {
    return this.#memory.hot.fetch(this, this.#cold)
  }
}

/** The JSON of an object with its own resourceVersion inside, in an exact buffer (a pooled one would pin its neighbours). */
export const serialise = (object: KubeObject, revision: number): Buffer => {
  const text = JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } })
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text))
  bytes.write(text)
  return bytes
}
