// Real randomness, from the kernel through node:crypto. Forks share the source: nothing here can be replayed.

import { randomFillSync } from 'node:crypto'
import { boundedInt, type Random } from '../base/random.ts'

const POOL_WORDS = 256
const pool = { words: new Uint32Array(POOL_WORDS), next: POOL_WORDS }

const u32 = (): number => {
  if (pool.next === POOL_WORDS) {
    randomFillSync(pool.words)
    pool.next = 0
  }
  return pool.words[pool.next++]!
}

export const systemRandom: Random = { u32, int: bound => boundedInt(u32, bound), fork: () => systemRandom }
