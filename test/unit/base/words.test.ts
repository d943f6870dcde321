// Small words of base: random streams, JSON, errors.

import t from 'tap'
import { ApiError, toStatus } from '../../../src/base/errors.ts'
import { canonicalJson, deepCopy, deepEqual, deepFreeze, jsonDepthWithin } from '../../../src/base/json.ts'
import { nameSuffix, seededRandom, uuid } from '../../../src/base/random.ts'
import { fc } from '../../property.ts'

t.test('a fork depends on the seed and the name, not on draws made before', async t => {
  const one = seededRandom('s')
  const two = seededRandom('s')
  one.u32()
  one.u32()
  t.equal(one.fork('pods').u32(), two.fork('pods').u32())
  t.not(one.fork('pods').u32(), two.fork('nodes').u32())
})

t.test('int stays within its bound', async () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 2 ** 31 }), (seed, bound) => {
      const drawn = seededRandom(seed).int(bound)
      return Number.isInteger(drawn) && drawn >= 0 && drawn < bound
    }),
  )
})

t.test('uuids are version 4 and suffixes use the safe alphabet', async t => {
  const random = seededRandom('ids')
  for (let i = 0; i < 100; i++) {
    t.match(uuid(random), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    t.match(nameSuffix(random), /^[bcdfghjklmnpqrstvwxz2456789]{5}$/)
  }
})

t.test('canonical JSON is equal exactly for equal values', async () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      const normal = (x: unknown): unknown => JSON.parse(JSON.stringify(x))
      return (canonicalJson(normal(a)) === canonicalJson(normal(b))) === deepEqual(normal(a), normal(b))
    }),
  )
})

t.test('a copy is equal and shares nothing; freezing reaches the leaves', async t => {
  const value = { a: [{ b: 1 }], c: null }
  const copy = deepCopy(value)
  copy.a[0]!.b = 2
  t.equal(value.a[0]!.b, 1)
  t.throws(() => {
    deepFreeze(value).a[0]!.b = 3
  }, /read only/)
})

t.test('depth is measured outside strings only', async t => {
  t.equal(jsonDepthWithin('{"a":"[[[[["}', 1), true)
  t.equal(jsonDepthWithin('[[["\\""]]]', 3), true)
  t.equal(jsonDepthWithin('[[[[1]]]]', 3), false)
})

t.test('an unknown error does not leak its text into a Status', async t => {
  t.equal(toStatus(new Error('secret path')).message, 'Internal error occurred')
  t.match(toStatus(new ApiError('NotFound', 'pods "x" not found', { details: { name: 'x', kind: 'pods' } })), {
    code: 404,
    reason: 'NotFound',
    details: { name: 'x' },
  })
})
