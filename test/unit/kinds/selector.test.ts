// Selectors: query form, object form and matching agree.

import t from 'tap'
import { matchesFields, parseFieldSelector } from '../../../src/kinds/field-selector.ts'
import {
  labelSelectorText,
  matchesLabels,
  matchesSelector,
  parseSelector,
  selectorOf,
  selectorText,
  validateLabelSelector,
} from '../../../src/kinds/selector.ts'
import { fc } from '../../property.ts'

const matches = (query: string, labels: Record<string, string>): boolean => {
  const parsed = parseSelector(query)
  if (parsed.problem !== undefined) throw new Error(parsed.problem)
  return matchesSelector(parsed.ok, labels)
}

t.test('the query form selects as upstream does', t => {
  const web = { app: 'web', tier: 'front', weight: '7' }
  for (const query of [
    '',
    'app',
    'app=web',
    'app==web',
    'app!=db',
    '!canary',
    'tier in (front,back)',
    'tier notin (back)',
    'x!=1',
    'weight>6',
    'weight<8',
    'app=web,tier',
    'app in (web), tier in (front)',
  ]) {
    t.equal(matches(query, web), true, query)
  }
  for (const query of [
    'canary',
    'app=db',
    'app!=web',
    '!app',
    'tier in (back)',
    'tier notin (front)',
    'weight>7',
    'app>1',
    'app=web,canary',
    'app=',
  ]) {
    t.equal(matches(query, web), false, query)
  }
  t.equal(matches('in in (in)', { in: 'in' }), true)
  t.equal(matches('a=', { a: '' }), true)
  t.end()
})

t.test('a query that cannot be read is refused with what was found', t => {
  const problems: [string, RegExp][] = [
    ['a b', /found 'b', expected: in, notin, =, ==, !=, gt, lt/],
    ['a=b c', /found 'c', expected: ',' or 'end of string'/],
    ['a in x', /found 'x' expected: '\('/],
    ['a in (x', /expected: ',' or '\)'/],
    ['a=b,', /found '', expected: identifier after ','/],
    ['a>x', /the value must be an integer/],
    ['-a=b', /name part must consist of alphanumeric characters/],
    ['a=-', /a valid label must be an empty string or consist of/],
    ['!', /expected: identifier/],
    [',', /expected: !, identifier, or 'end of string'/],
  ]
  for (const [query, problem] of problems) t.match(parseSelector(query).problem ?? 'accepted', problem, query)
  t.end()
})

t.test('an absent selector matches nothing, an empty one everything', t => {
  t.equal(matchesLabels(undefined, { a: '1' }), false)
  t.equal(matchesLabels({}, undefined), true)
  t.equal(matchesLabels({ matchLabels: { a: '1' } }, { a: '1', b: '2' }), true)
  t.equal(matchesLabels({ matchLabels: { constructor: '1' } }, {}), false)
  t.equal(matchesLabels({ matchExpressions: [{ key: 'a', operator: 'Nonsense' }] }, { a: '1' }), false)
  t.equal(labelSelectorText(undefined), '<none>')
  t.equal(
    labelSelectorText({ matchLabels: { b: '2', a: '1' }, matchExpressions: [{ key: 'c', operator: 'In', values: ['y', 'x'] }] }),
    'a=1,b=2,c in (x,y)',
  )
  t.end()
})

t.test('bad selectors are reported at their paths', t => {
  const causes = validateLabelSelector(
    {
      matchLabels: { 'a b': 'c' },
      matchExpressions: [
        { key: 'x', operator: 'In' },
        { key: 'x', operator: 'Exists', values: ['1'] },
        { key: 'x', operator: 'Is' },
      ],
    },
    'spec.selector',
  )
  t.strictSame(
    causes.map(each => [each.field, each.type]),
    [
      ['spec.selector.matchLabels', 'FieldValueInvalid'],
      ['spec.selector.matchExpressions[0].values', 'FieldValueRequired'],
      ['spec.selector.matchExpressions[1].values', 'FieldValueForbidden'],
      ['spec.selector.matchExpressions[2].operator', 'FieldValueInvalid'],
    ],
  )
  t.end()
})

const word = fc.constantFrom('a', 'b', 'app', 'x.io/tier', 'in')
const value = fc.constantFrom('1', 'web', 'in', 'A_b')
const expression = fc.record({
  key: word,
  operator: fc.constantFrom('In', 'NotIn'),
  values: fc.uniqueArray(value, { minLength: 1, maxLength: 3 }),
})
const existence = fc.record({ key: word, operator: fc.constantFrom('Exists', 'DoesNotExist') })
const labels = fc.dictionary(word, value)

t.test('printing and parsing a selector gives the same selector', t => {
  fc.assert(
    fc.property(labels, fc.array(fc.oneof(expression, existence), { maxLength: 3 }), labels, (matchLabels, matchExpressions, target) => {
      const selector = { matchLabels, matchExpressions }
      const text = selectorText(selectorOf(selector))
      const parsed = parseSelector(text)
      if (parsed.problem !== undefined) throw new Error(`${text}: ${parsed.problem}`)
      return selectorText(parsed.ok) === text && matchesSelector(parsed.ok, target) === matchesLabels(selector, target)
    }),
  )
  t.pass()
  t.end()
})

t.test('field selectors compare whole values and escape commas', t => {
  const fields = { 'spec.nodeName': 'n1', 'status.phase': 'Running', odd: 'a,b=c' }
  const check = (query: string) => matchesFields(parseFieldSelector(query).ok ?? [{ field: 'x', equal: true, value: 'x' }], fields)
  t.equal(check('spec.nodeName=n1,status.phase!=Failed'), true)
  t.equal(check('spec.nodeName==n2'), false)
  t.equal(check('spec.nodeName='), false)
  t.equal(check('metadata.name='), true)
  t.equal(check('odd=a\\,b\\=c'), true)
  t.equal(check(''), true)
  t.match(parseFieldSelector('spec.nodeName').problem, /can't understand 'spec.nodeName'/)
  t.end()
})
