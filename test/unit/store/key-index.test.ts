import t from 'tap'
import { createKeyIndex, keyAfter } from '../../../src/store/key-index.ts'
import { fc } from '../../property.ts'

const key = fc.string({ unit: fc.constantFrom('a', 'b', '/', 'c'), maxLength: 5 })

t.test('agrees with a sorted set under any additions and removals', async each => {
  fc.assert(
    fc.property(fc.array(fc.record({ key, add: fc.boolean() })), key, key, fc.nat(6), (steps, prefix, from, limit) => {
      const index = createKeyIndex()
      const model = new Set<string>()
      for (const step of steps) {
        if (step.add) index.add(step.key)
        else index.delete(step.key)
        if (step.add) model.add(step.key)
        else model.delete(step.key)
      }
      const expected = [...model].sort().filter(item => item.startsWith(prefix) && item >= from)
      each.same(index.range(prefix, from, limit), expected.slice(0, limit))
      each.equal(index.count(prefix, from), expected.length)
      each.equal(index.size, model.size)
    }),
    { numRuns: 300 },
  )
})

t.test('keeps order through many splits, from a sorted start and from a random one', async each => {
  const names = Array.from({ length: 20_000 }, (_, i) => `k/${(i * 7919) % 20_000}`)
  const sorted = [...names].sort()
  const grown = createKeyIndex()
  for (const name of names) grown.add(name)
  for (const index of [grown, createKeyIndex(names)]) {
    each.same(index.range('', '', Number.POSITIVE_INFINITY), sorted)
    each.equal(index.count('k/1', 'k/15'), sorted.filter(name => name.startsWith('k/1') && name >= 'k/15').length)
    for (const name of sorted.slice(100, 19_900)) index.delete(name)
    each.same(index.range('', keyAfter(sorted[98]!), 3), [sorted[99], sorted[19_900], sorted[19_901]])
    each.equal(index.size, 200)
  }
})
