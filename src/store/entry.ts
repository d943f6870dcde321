// One stored object: its bytes, and its parsed, frozen form on demand. Parsed forms live in a cache bounded by bytes (second chance),
// so memory follows what is read, not what is stored.

import { deepFreeze } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Row } from './journal.ts'
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
      bytes += entry.value.length
      for (const old of held) {
        if (bytes <= bytesMax) break
        held.delete(old)
        if (old.spare()) held.add(old)
        else bytes -= old.value.length
      }
    },
  }
}

/** A class for the shared getter only: thousands of these exist. Immutable but for the cached parse. */
export class StoredEntry implements Entry {
  readonly key: string
  readonly revision: number
  readonly createRevision: number
  readonly value: Buffer
  readonly #cache: ParsedCache
  #object: KubeObject | undefined = undefined
  #used = false

  constructor(row: Omit<Row, 'type'>, cache: ParsedCache) {
    this.key = row.key
    this.revision = row.revision
    this.createRevision = row.createRevision
    this.value = row.value
    this.#cache = cache
  }

  get object(): KubeObject {
    if (this.#object) {
      this.#used = true
      return this.#object
    }
    const parsed = deepFreeze(JSON.parse(this.value.toString()) as KubeObject)
    this.#object = parsed
    this.#used = false
    this.#cache.add(this)
    return parsed
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
}

/** The JSON of an object with its own resourceVersion inside, in an exact buffer (a pooled one would pin its neighbours). */
export const serialise = (object: KubeObject, revision: number): Buffer => {
  const text = JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } })
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text))
  bytes.write(text)
  return bytes
}
