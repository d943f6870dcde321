import t from 'tap'
import { lineDiff } from '../../../src/base/line-diff.ts'
import { fc } from '../../property.ts'

const lines = fc.array(fc.constantFrom('a', 'b', 'c', ''), { minLength: 1, maxLength: 12 })

t.test('a difference without its removed lines is the new text, without the added ones the old', async t => {
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const all = lineDiff(`${before.join('\n')}\n`, `${after.join('\n')}\n`, 100)
      const count = (mark: string, list: readonly string[]) =>
        all
          .filter(line => line.startsWith(mark))
          .map(line => line.slice(2))
          .every(line => list.includes(line))
      const [removed, added] = ['-', '+'].map(mark => all.filter(line => line.startsWith(mark)).length)
      return count('-', before) && count('+', after) && before.length - (removed ?? 0) === after.length - (added ?? 0)
    }),
  )
  t.same(lineDiff('a\n', 'a\n', 10), [])
})

t.test('far lines are left out, long texts are only counted', async t => {
  const text = Array.from({ length: 20 }, (_, i) => String(i)).join('\n')
  t.same(lineDiff(text, text.replace('\n10\n', '\nten\n'), 100), ['  8', '  9', '- 10', '+ ten', '  11', '  12'])
  t.same(lineDiff(text, `${text}\n20`, 10), ['(20 lines become 21)'])
})
