// Which objects a command line names: `TYPE`, `TYPE NAME…`, `TYPE1,TYPE2`, `TYPE/NAME…`. Source: cli-runtime's resource builder.

import { usage } from './failure.ts'
import type { Resource, Resources } from './resources.ts'

export interface Selection {
  readonly resource: Resource
  /** Empty: all objects of the type. */
  readonly names: readonly string[]
}

const typesOf = (word: string, resources: Resources): readonly Resource[] =>
  word
    .split(',')
    .filter(part => part !== '')
    .flatMap(part => resources.byCategory(part) ?? [resources.byName(part)])

const slashed = (words: readonly string[], resources: Resources): Selection[] =>
  words.map(word => {
    const [type = '', name = '', ...more] = word.split('/')
    if (type === '' || name === '' || more.length > 0)
      throw usage(`arguments in TYPE/NAME form may not have more or less than one slash: ${word}`)
    return { resource: resources.byName(type), names: [name] }
  })

/** What the words name; throws a usage failure when they name nothing. */
export const selectionsOf = (words: readonly string[], resources: Resources): readonly Selection[] => {
  const [first, ...names] = words
  if (first === undefined) throw usage('say which resource', 'for example: pods, deploy/web, nodes; helio api-resources lists the types')
  if (words.some(word => word.includes('/'))) {
    if (!words.every(word => word.includes('/'))) throw usage('TYPE/NAME and TYPE NAME cannot be mixed')
    return slashed(words, resources)
  }
  return typesOf(first, resources).map(resource => ({ resource, names }))
}

/** Exactly named objects; refuses whole types. */
export const namedOf = (words: readonly string[], resources: Resources): readonly { resource: Resource; name: string }[] => {
  const found = selectionsOf(words, resources).flatMap(({ resource, names }) => names.map(name => ({ resource, name })))
  if (found.length === 0) throw usage(`name the object, as in ${words[0]}/NAME`)
  return found
}
