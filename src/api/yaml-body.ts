// YAML 1.1 text, as kubectl reads it, to a JSON value. The parser's work is bounded before it builds anything: it recurses (a deep text
// would end the process), compares each key with all others, and copies what aliases stand for.

import { Composer, type Document, isScalar, Lexer, Parser, type Tags, visit } from 'yaml'
import { BODY_DEPTH_MAX, YAML_ALIASED_BYTES_MAX, YAML_ALIASES_MAX, YAML_LEXEMES_MAX } from './limits.ts'

/** Types of YAML 1.1 that JSON does not have stay the strings they were written as. */
const jsonTagsOnly = (tags: Tags): Tags =>
  tags.filter(tag => {
    if (typeof tag === 'string') return !['timestamp', 'binary', 'set', 'omap', 'pairs', 'intTime', 'floatTime'].includes(tag)
    const format = 'format' in tag ? tag.format : undefined
    return format !== 'TIME' && !/(timestamp|binary|set|omap|pairs)$/.test(tag.tag)
  })

/** The document's tokens; the parser keeps its place in a list of its own, so its depth can be seen and nothing recurses yet. */
const tokensOf = function* (text: string): ReturnType<Parser['parse']> {
  const parser = new Parser()
  const count = { lexemes: 0, aliases: 0 }
  for (const lexeme of new Lexer().lex(text)) {
    if (++count.lexemes > YAML_LEXEMES_MAX) throw new Error(`it has more than ${YAML_LEXEMES_MAX} parts; send JSON instead`)
    if (lexeme.startsWith('*') && ++count.aliases * text.length > YAML_ALIASED_BYTES_MAX) throw new Error('its aliases stand for too much')
    yield* parser.next(lexeme)
    if (parser.stack.length > BODY_DEPTH_MAX) throw new Error('exceeded max depth')
  }
  yield* parser.end()
}

/** Throws when a mapping has a key twice. */
const refuseDuplicates = (document: Document): void =>
  visit(document, {
    Map(_key, map) {
      const seen = new Set<string>()
      for (const { key } of map.items) {
        const name = String(isScalar(key) ? key.value : key)
        if (seen.has(name)) throw new Error(`key ${JSON.stringify(name.slice(0, 100))} already set in map`)
        seen.add(name)
      }
    },
  })

/** The value of the one document in the text; throws with the reason when there is none or it is not sound. */
export const parseYamlBody = (text: string): unknown => {
  const composer = new Composer({ version: '1.1', uniqueKeys: false, logLevel: 'error', customTags: jsonTagsOnly })
  const [document, more] = [...composer.compose(tokensOf(text), true, text.length)]
  if (!document) return null
  if (more) throw new Error('it holds more than one document')
  const [error] = document.errors
  if (error) throw error
  refuseDuplicates(document as Document)
  // Through JSON: what YAML has and JSON has not (NaN, shared nodes, odd keys) is settled here.
  return JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: YAML_ALIASES_MAX }) ?? null))
}
