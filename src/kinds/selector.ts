// Label selectors: the object form (LabelSelector), the query form (`app=web,tier in (a,b),!canary`) and matching. The query grammar is
// upstream's (k8s apimachinery pkg/labels). Parsing returns a problem's text instead of throwing.

import type { Cause } from './causes.ts'
import { forbidden, invalid, invalidAll, required } from './causes.ts'
import type { LabelSelector, LabelSelectorRequirement } from './meta.ts'
import { labelValue, qualifiedName } from './names.ts'

export type Operator = '=' | '==' | '!=' | 'in' | 'notin' | 'exists' | '!' | '>' | '<'

export interface Requirement {
  readonly key: string
  readonly operator: Operator
  /** Sorted, without duplicates. */
  readonly values: readonly string[]
}

/** All requirements must hold; an empty selector matches everything. */
export type Selector = readonly Requirement[]

type Labels = Readonly<Record<string, string>> | undefined

type ReadonlySelector = {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly ReadonlyExpression[]
}
type ReadonlyExpression = { readonly key: string; readonly operator: string; readonly values?: readonly string[] }

/** `<`, `>` compare integers only. */
const integerOf = (text: string | undefined): number => (text !== undefined && /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN)

export const matchesRequirement = (requirement: Requirement, labels: Labels): boolean => {
  const { key, operator, values } = requirement
  const has = labels !== undefined && Object.hasOwn(labels, key)
  const value = has ? labels[key] : undefined
  switch (operator) {
    case 'exists':
      return has
    case '!':
      return !has
    case 'in':
    case '=':
    case '==':
      return value !== undefined && values.includes(value)
    case 'notin':
    case '!=':
      return value === undefined || !values.includes(value)
    case '>':
      return integerOf(value) > integerOf(values[0])
    case '<':
      return integerOf(value) < integerOf(values[0])
  }
}

export const matchesSelector = (selector: Selector, labels: Labels): boolean => selector.every(each => matchesRequirement(each, labels))

const OPERATORS: ReadonlyMap<string, Operator> = new Map([
  ['In', 'in'],
  ['NotIn', 'notin'],
  ['Exists', 'exists'],
  ['DoesNotExist', '!'],
  ['Gt', '>'],
  ['Lt', '<'],
])

const byKey = (a: Requirement, b: Requirement): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)

/** The requirements of the object form, sorted by key; unknown operators match nothing. */
export const selectorOf = (selector: ReadonlySelector): Selector => {
  const equal = Object.entries(selector.matchLabels ?? {}).map(([key, value]): Requirement => ({ key, operator: '=', values: [value] }))
  const set = (selector.matchExpressions ?? []).map((each): Requirement => {
    const operator = OPERATORS.get(each.operator)
    return operator ? { key: each.key, operator, values: [...new Set(each.values)].sort() } : { key: each.key, operator: 'in', values: [] }
  })
  return [...equal, ...set].sort(byKey)
}

/** An absent selector matches nothing, an empty one everything (metav1.LabelSelectorAsSelector). */
export const matchesLabels = (selector: ReadonlySelector | undefined, labels: Labels): boolean => {
  if (!selector) return false
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labels?.[key] !== value) return false
  return selector.matchExpressions === undefined || matchesSelector(selectorOf({ matchExpressions: selector.matchExpressions }), labels)
}

const requirementText = ({ key, operator, values }: Requirement): string => {
  if (operator === 'exists') return key
  if (operator === '!') return `!${key}`
  const text = [...values].sort().join(',')
  return operator === 'in' || operator === 'notin' ? `${key} ${operator} (${text})` : `${key}${operator}${text}`
}

/** The query form of a selector, as kubectl prints it. */
export const selectorText = (selector: Selector): string => selector.map(requirementText).join(',')

/** `<none>` for an absent or empty selector, as printer columns show it. */
export const labelSelectorText = (selector: ReadonlySelector | undefined): string =>
  (selector && selectorText(selectorOf(selector))) || '<none>'

const KEYWORDS = new Set(['(', ')', ',', '!', '=', '==', '!=', '>', '<', 'in', 'notin'])

/** Symbols, words and the final ''. Undefined for a symbol that does not exist. */
const tokenize = (text: string): string[] => {
  const tokens = text.match(/!=|==|[=!(),<>]|[^=!(),<>\s]+/g) ?? []
  return [...tokens, '']
}

interface Parser {
  readonly tokens: readonly string[]
  position: number
}

const peek = (parser: Parser): string => parser.tokens[parser.position] ?? ''
const take = (parser: Parser): string => parser.tokens[parser.position++] ?? ''
/** Keys and values may be spelled `in` or `notin`. */
const isWord = (token: string): boolean => token !== '' && (!KEYWORDS.has(token) || token === 'in' || token === 'notin')

type Parsed<T> = { readonly ok: T; readonly problem?: undefined } | { readonly ok?: undefined; readonly problem: string }

const parseSet = (parser: Parser): Parsed<string[]> => {
  const open = take(parser)
  if (open !== '(') return { problem: `found '${open}' expected: '('` }
  const values = new Set<string>()
  for (;;) {
    values.add(isWord(peek(parser)) ? take(parser) : '')
    const next = take(parser)
    if (next === ')') return { ok: [...values].sort() }
    if (next !== ',') return { problem: `found '${next}', expected: ',' or ')'` }
  }
}

const parseExact = (parser: Parser): Parsed<string[]> => {
  const next = peek(parser)
  if (next === '' || next === ',') return { ok: [''] }
  return isWord(next) ? { ok: [take(parser)] } : { problem: `found '${next}', expected: identifier` }
}

const parseRequirement = (parser: Parser): Parsed<Requirement> => {
  const negated = peek(parser) === '!'
  if (negated) take(parser)
  const key = take(parser)
  if (!isWord(key)) return { problem: `found '${key}', expected: identifier` }
  const keyProblem = qualifiedName(key)[0]
  if (keyProblem !== undefined) return { problem: `key: Invalid value: ${JSON.stringify(key)}: ${keyProblem}` }
  if (negated) return { ok: { key, operator: '!', values: [] } }
  const next = peek(parser)
  if (next === '' || next === ',') return { ok: { key, operator: 'exists', values: [] } }
  const operator = take(parser)
  if (!KEYWORDS.has(operator) || operator === '(' || operator === ')' || operator === '!') {
    return { problem: `found '${operator}', expected: in, notin, =, ==, !=, gt, lt` }
  }
  const values = operator === 'in' || operator === 'notin' ? parseSet(parser) : parseExact(parser)
  if (values.problem !== undefined) return values
  return finishRequirement({ key, operator: operator as Operator, values: values.ok })
}

const finishRequirement = (requirement: Requirement): Parsed<Requirement> => {
  const { key, operator, values } = requirement
  const numeric = operator === '>' || operator === '<'
  const [first = ''] = values
  if (numeric && Number.isNaN(integerOf(first))) {
    return { problem: `values[0]: Invalid value: ${JSON.stringify(first)}: for 'Gt', 'Lt' operators, the value must be an integer` }
  }
  for (const [i, value] of values.entries()) {
    const problem = labelValue(value)[0]
    if (problem !== undefined) return { problem: `values[${i}][${key}]: Invalid value: ${JSON.stringify(value)}: ${problem}` }
  }
  return { ok: requirement }
}

/** The query form (`?labelSelector=`). The problem's text is upstream's, without its prefix. */
export const parseSelector = (text: string): Parsed<Selector> => {
  const parser: Parser = { tokens: tokenize(text), position: 0 }
  const requirements: Requirement[] = []
  for (;;) {
    const token = peek(parser)
    if (token === '' && requirements.length === 0) return { ok: [] }
    if (!isWord(token) && token !== '!') {
      return {
        problem:
          requirements.length > 0
            ? `found '${token}', expected: identifier after ','`
            : `found '${token}', expected: !, identifier, or 'end of string'`,
      }
    }
    const requirement = parseRequirement(parser)
    if (requirement.problem !== undefined) return { problem: `unable to parse requirement: ${requirement.problem}` }
    requirements.push(requirement.ok)
    const next = take(parser)
    if (next === '') return { ok: requirements.sort(byKey) }
    if (next !== ',') return { problem: `found '${next}', expected: ',' or 'end of string'` }
  }
}

const validateExpression = (expression: LabelSelectorRequirement, path: string): Cause[] => {
  const causes: Cause[] = []
  const count = expression.values?.length ?? 0
  if (expression.operator === 'In' || expression.operator === 'NotIn') {
    if (count === 0) causes.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"))
  } else if (expression.operator === 'Exists' || expression.operator === 'DoesNotExist') {
    if (count > 0) causes.push(forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
  } else causes.push(invalid(`${path}.operator`, expression.operator, 'not a valid selector operator'))
  causes.push(...invalidAll(`${path}.key`, expression.key, qualifiedName(expression.key)))
  for (const [i, value] of (expression.values ?? []).entries()) causes.push(...invalidAll(`${path}.values[${i}]`, value, labelValue(value)))
  return causes
}

/** The object form's spelling; upstream's paths. */
export const validateLabelSelector = (selector: LabelSelector | undefined, path: string): Cause[] => {
  const causes: Cause[] = []
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    causes.push(...invalidAll(`${path}.matchLabels`, key, qualifiedName(key)))
    causes.push(...invalidAll(`${path}.matchLabels`, value, labelValue(value)))
  }
  for (const [i, expression] of (selector?.matchExpressions ?? []).entries()) {
    causes.push(...validateExpression(expression, `${path}.matchExpressions[${i}]`))
  }
  return causes
}

/** No term at all: such a selector would own every pod in its namespace. */
export const isEmptySelector = (selector: LabelSelector | undefined): boolean =>
  Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0

/** Causes of a plain map of labels. */
export const validateLabels = (labels: Readonly<Record<string, string>> | undefined, path: string): Cause[] =>
  Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...invalidAll(path, key, qualifiedName(key)),
    ...invalidAll(path, value, labelValue(value)),
  ])
