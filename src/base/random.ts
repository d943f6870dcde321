// Randomness as a parameter, forked by name so that one new draw does not move the others. Source: CONVENTIONS 8.

import { assert } from './assert.ts'

export interface Random {
  /** A uniform integer in [0, 2^32). */
  u32(): number
  /** A uniform integer in [0, bound), for a bound of 1 to 2^53. */
  int(bound: number): number
  /** A stream of its own, determined by this stream's seed and `name` only, not by how many draws were made. */
  fork(name: string): Random
}

/** xmur3: a 32-bit string hash, good enough to spread seeds. */
const hash32 = (text: string): number => {
  let h = 1779033703 ^ text.length
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 3432918353)
    h = (h << 13) | (h >>> 19)
  }
  h = Math.imul(h ^ (h >>> 16), 2246822507)
  h = Math.imul(h ^ (h >>> 13), 3266489909)
  return (h ^ (h >>> 16)) >>> 0
}

/** A reproducible stream (sfc32) for simulation and tests. Not for secrets. */
export const seededRandom = (seed: string): Random => {
  let a = hash32(`${seed}/a`)
  let b = hash32(`${seed}/b`)
  let c = hash32(`${seed}/c`)
  let counter = 1
  const u32 = (): number => {
    const t = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return t >>> 0
  }
  for (let i = 0; i < 12; i++) u32()
  return { u32, int: bound => boundedInt(u32, bound), fork: name => seededRandom(`${seed}/${name}`) }
}

const U32 = 0x1_0000_0000
const U53 = 0x20_0000_0000_0000

/** Uniform in [0, bound) from a 32-bit source, without modulo bias; a bound above 2^32 takes two draws. */
export const boundedInt = (u32: () => number, bound: number): number => {
  assert(bound >= 1 && bound <= U53, `draw below ${bound}: the bound is 1 to 2^53`)
  const span = bound <= U32 ? U32 : U53
  const next = bound <= U32 ? u32 : (): number => (u32() >>> 11) * U32 + u32()
  const limit = Math.floor(span / bound) * bound
  let draw = next()
  while (draw >= limit) draw = next()
  return draw % bound
}

const hex = (value: number): string => value.toString(16).padStart(8, '0')

/** An RFC 9562 version 4 UUID. */
export const uuid = (random: Random): string => {
  const [a, b, c, d] = [random.u32(), random.u32(), random.u32(), random.u32()].map(hex) as [string, string, string, string]
  const variant = ((Number.parseInt(c.slice(0, 1), 16) & 3) | 8).toString(16)
  return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-${variant}${c.slice(1, 4)}-${c.slice(4)}${d}`
}

/** The alphabet of Kubernetes' generated names: no vowels, no look-alikes. */
const SUFFIX_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'

/** A suffix as `generateName` appends it (5 characters upstream). */
export const nameSuffix = (random: Random, length = 5): string =>
  Array.from({ length }, () => SUFFIX_ALPHABET[random.int(SUFFIX_ALPHABET.length)]).join('')
