// Keys in order (by code unit): a list of sorted chunks, so that insertion moves little, and ranges, ranks and counts are cheap.

/** A chunk that grows to this splits in two. */
const CHUNK_KEYS_MAX = 1024

export interface KeyIndex {
  readonly size: number
  /** No-op when the key is there. */
  add(key: string): void
  delete(key: string): void
  /** Up to `limit` keys at or above `from` that start with `prefix`, in order. */
  range(prefix: string, from: string, limit: number): string[]
  /** How many keys start with `prefix` and are at or above `from`. */
  count(prefix: string, from: string): number
}

/** The first position in a sorted array whose item is at or above `key`. */
const lowerBound = (keys: readonly string[], key: string): number => {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}

/** The chunk that holds `key` or would: the last one that begins at or below it. */
const chunkIndex = (chunks: readonly (readonly string[])[], key: string): number => {
  let low = 0
  let high = chunks.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (chunks[middle]![0]! <= key) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 1)
}

const later = (a: string, b: string): string => {
  if (a < b) return b
  return a
}

export const createKeyIndex = (initial: Iterable<string> = []): KeyIndex => {
  const sorted = [...initial].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const chunks: string[][] = []
  for (let i = 0; i < sorted.length; i += CHUNK_KEYS_MAX / 2) chunks.push(sorted.slice(i, i + CHUNK_KEYS_MAX / 2))
  let size = sorted.length

  const chunkOf = (key: string): number => chunkIndex(chunks, key)
  /** How many keys are below `key`. */
  const rank = (key: string): number => {
    if (chunks.length === 0) return 0
    const at = chunkOf(key)
    let below = 0
    for (let i = 0; i < at; i++) below += chunks[i]!.length
    return below + lowerBound(chunks[at]!, key)
  }
  return {
    get size() {
      return size
    },
    add(key) {
      if (chunks.length === 0) chunks.push([])
      const at = chunkOf(key)
      const chunk = chunks[at]!
      const position = lowerBound(chunk, key)
      if (chunk[position] === key) return
      chunk.splice(position, 0, key)
      size++
      if (chunk.length >= CHUNK_KEYS_MAX) chunks.splice(at + 1, 0, chunk.splice(CHUNK_KEYS_MAX / 2))
    },
    delete(key) {
      if (chunks.length === 0) return
      const at = chunkOf(key)
      const chunk = chunks[at]!
      const position = lowerBound(chunk, key)
      if (chunk[position] !== key) return
      chunk.splice(position, 1)
      size--
      if (chunk.length === 0) chunks.splice(at, 1)
    },
    range(prefix, from, limit) {
      const found: string[] = []
      if (chunks.length === 0) return found
      const start = later(prefix, from)
      let at = chunkOf(start)
      let position = lowerBound(chunks[at]!, start)
      while (at < chunks.length && found.length < limit) {
        const key = chunks[at]![position]
        if (key === undefined) {
          at++
          position = 0
          continue
        }
        if (!key.startsWith(prefix)) break
        found.push(key)
        position++
      }
      return found
    },
    count(prefix, from) {
      const start = later(prefix, from)
      return Math.max(0, rank(`${prefix}\uffff`) - rank(start))
    },
  }
}

/** The smallest key above this one. */
export const keyAfter = (key: string): string => `${key}\0`
