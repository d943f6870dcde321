// Keys that come twice in one JSON object: strict decoding refuses them, JSON.parse does not see them. One pass over text that has
// parsed or will be parsed; on malformed text the result means nothing and JSON.parse gives the error.

import { DUPLICATES_MAX, PATH_LENGTH_MAX } from './limits.ts'

interface Level {
  /** Undefined for arrays. */
  readonly keys: Set<string> | undefined
  /** Path of the container itself. */
  readonly path: string
  key: string
  index: number
}

const QUOTE = 34
const COMMA = 44
const OPEN_ARRAY = 91
const BACKSLASH = 92
const CLOSE_ARRAY = 93
const OPEN_OBJECT = 123
const CLOSE_OBJECT = 125

/** Position of the quote that ends the string opened at `start`; the text's length when none does. */
const stringEnd = (text: string, start: number): number => {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end
  }
  return text.length
}

const keyText = (text: string, start: number, end: number): string => {
  const raw = text.slice(start + 1, end)
  if (!raw.includes('\\')) return raw
  try {
    return JSON.parse(`"${raw}"`) as string
  } catch (error) {
    if (error instanceof SyntaxError) return raw
    throw error
  }
}

const childPath = (level: Level | undefined): string => {
  if (!level) return ''
  if (!level.keys) return `${level.path}[${level.index}]`
  return level.path === '' ? level.key : `${level.path}.${level.key}`
}

/** Paths of the first DUPLICATES_MAX duplicate keys, in order of appearance: `spec.containers[0].image`. */
export const duplicateKeys = (text: string): string[] => {
  const found: string[] = []
  const levels: Level[] = []
  let expectsKey = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    const level = levels[levels.length - 1]
    if (c === QUOTE) {
      const end = stringEnd(text, i)
      if (expectsKey && level?.keys) {
        level.key = keyText(text, i, end)
        if (level.keys.has(level.key) && found.push(childPath(level).slice(0, PATH_LENGTH_MAX)) >= DUPLICATES_MAX) return found
        level.keys.add(level.key)
        expectsKey = false
      }
      i = end
    } else if (c === OPEN_OBJECT || c === OPEN_ARRAY) {
      expectsKey = c === OPEN_OBJECT
      levels.push({ keys: expectsKey ? new Set() : undefined, path: childPath(level), key: '', index: 0 })
    } else if (c === CLOSE_OBJECT || c === CLOSE_ARRAY) {
      levels.pop()
      expectsKey = false
    } else if (c === COMMA && level) {
      if (level.keys) expectsKey = true
      else level.index++
    }
  }
  return found
}
