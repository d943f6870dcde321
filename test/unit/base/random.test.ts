import t from 'tap'
import { boundedInt, seededRandom } from '../../../src/base/random.ts'
import { fc } from '../../property.ts'

t.test('draws stay below every bound, beyond 32 bits too, and reach its upper half', t => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 53 - 1 }), fc.string(), (bound, seed) => {
      const random = seededRandom(seed)
      const draws = Array.from({ length: 200 }, () => random.int(bound))
      return draws.every(n => Number.isSafeInteger(n) && n >= 0 && n < bound) && (bound < 2 || draws.some(n => n >= bound / 2))
    }),
  )
  t.end()
})

t.test('a draw of a bound above 2^32 ends, whatever the source gives first', t => {
  const draws = [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0, 7]
  t.equal(
    boundedInt(() => draws.shift() ?? 1, 2 ** 33 + 1),
    7,
  )
  t.throws(() => boundedInt(() => 0, 0), /bound is 1 to/)
  t.throws(() => boundedInt(() => 0, Number.NaN), /bound is 1 to/)
  t.end()
})
