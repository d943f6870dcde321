// Quantities keep their value, whatever their spelling.

import t from 'tap'
import {
  addQuantities,
  bytesText,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  millisText,
  parseQuantity,
  quantityBytes,
  quantityMillis,
  quantityProblem,
} from '../../../src/kinds/quantity.ts'
import { fc } from '../../property.ts'

const must = (text: string) => {
  const parsed = parseQuantity(text)
  if (!parsed) throw new Error(`not a quantity: ${text}`)
  return parsed
}

t.test('canonical forms are the ones upstream prints', t => {
  const forms: [string | number, string][] = [
    ['0.5', '500m'],
    ['1000m', '1'],
    ['1024Mi', '1Gi'],
    ['1.5Gi', '1536Mi'],
    ['1e3', '1e3'],
    ['100', '100'],
    ['1000', '1k'],
    ['0', '0'],
    ['-0.001', '-1m'],
    ['0.1Ki', '102400m'],
    ['512', '512'],
    ['1000Ki', '1000Ki'],
    ['.5', '500m'],
    ['5.', '5'],
    ['1n', '1n'],
    ['0.1n', '1n'],
    [2, '2'],
    [0.25, '250m'],
  ]
  for (const [written, canonical] of forms) t.equal(canonicalQuantity(written), canonical, String(written))
  t.end()
})

t.test('what is no quantity is refused with upstream words', t => {
  for (const text of ['', 'abc', '1x', '1 Gi', '--1', '1Kib', '.', '1e', `${'9'.repeat(100)}`]) {
    t.equal(canonicalQuantity(text), undefined, text)
  }
  t.match(quantityProblem('abc') ?? '', /must match the regular expression/)
  t.equal(quantityProblem('1x'), "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
  t.equal(quantityProblem('1Gi'), undefined)
  t.end()
})

t.test('numbers for the scheduler round up', t => {
  t.equal(quantityMillis('250m'), 250)
  t.equal(quantityMillis('2'), 2000)
  t.equal(quantityMillis(1.5), 1500)
  t.equal(quantityMillis('1u'), 1)
  t.equal(quantityBytes('64Mi'), 64 * 1024 * 1024)
  t.equal(quantityBytes('1500m'), 2)
  t.equal(quantityBytes('1.5Gi'), 1.5 * 1024 ** 3)
  t.equal(quantityBytes(undefined), 0)
  t.equal(quantityBytes('nonsense'), 0)
  t.equal(millisText(1500), '1500m')
  t.equal(millisText(2000), '2')
  t.equal(bytesText(64 * 1024 * 1024), '64Mi')
  t.end()
})

const suffix = fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'Ti', 'e2', 'E-3')
const written = fc
  .tuple(fc.integer({ min: -9999, max: 9999 }), fc.integer({ min: 0, max: 999 }), suffix)
  .map(([a, b, s]) => `${a}.${b}${s}`)

t.test('the canonical form has the same value and is its own canonical form', t => {
  fc.assert(
    fc.property(written, text => {
      const first = must(text)
      const canonical = formatQuantity(first)
      return compareQuantities(first, must(canonical)) === 0 && formatQuantity(must(canonical)) === canonical
    }),
  )
  t.pass()
  t.end()
})

t.test('addition commutes in value, and the fast reading agrees with the exact one', t => {
  fc.assert(
    fc.property(written, written, (a, b) => compareQuantities(addQuantities(must(a), must(b)), addQuantities(must(b), must(a))) === 0),
  )
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999 }), fc.constantFrom('', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi'), (count, unit) => {
      const exact = must(`${count}${unit}`).nano
      return quantityBytes(`${count}${unit}`) === Number((exact + 999_999_999n) / 1_000_000_000n)
    }),
  )
  t.pass()
  t.end()
})
