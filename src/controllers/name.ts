// Names of children, made from what their owner is and not from chance: the same state asks for the same names, so that running twice
// cannot create twice. The alphabet is that of Kubernetes' generated names.

const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'
/** Upstream cuts a generateName prefix here, so that the name fits a label value. */
const PREFIX_LENGTH_MAX = 58

/** FNV-1a with a final avalanche: neighbouring ordinals give unlike names. */
const hash32 = (text: string, seed: number): number => {
  let h = 0x811c9dc5 ^ seed
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

const spell = (value: number, length: number): string => {
  let rest = value
  let text = ''
  for (let i = 0; i < length; i++) {
    text += ALPHABET[rest % ALPHABET.length]
    rest = Math.floor(rest / ALPHABET.length)
  }
  return text
}

/** Five characters (14 million values) that depend on `seed` only. */
export const suffixOf = (seed: string): string => spell(hash32(seed, 0), 5)

/** Ten characters: the pod-template-hash of a template's text. */
export const templateHash = (text: string): string => spell(hash32(text, 1), 5) + spell(hash32(text, 2), 5)

/** `<prefix>-<suffix>`, the prefix cut as generateName cuts it. */
export const childName = (prefix: string, suffix: string): string => `${prefix}-`.slice(0, PREFIX_LENGTH_MAX) + suffix
