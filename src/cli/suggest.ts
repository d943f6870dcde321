// "Did you mean": the nearest known word, unless the mistyped one is so short that anything is near.

import { nearest } from '../base/options.ts'

/** Words up to this length are near to everything; those must begin alike. */
const SHORT = 4

/** The hint to print, or undefined when nothing is near enough. `dashes` go before the word. */
export const didYouMean = (word: string, candidates: readonly string[], dashes = ''): string | undefined => {
  const near = nearest(word, candidates)
  if (near === undefined || near === '' || (word.length <= SHORT && near[0] !== word[0])) return undefined
  return `did you mean ${dashes}${near}?`
}
