// What the condition says to people is read again by the command line: the two must agree.

import t from 'tap'
import { CONFLICT, conflictCondition, conflictEpoch, conflictMessage, FOLLOW, mayFollow } from '../../../src/kinds/conflict.ts'
import type { Condition } from '../../../src/kinds/meta.ts'
import { fc } from '../../property.ts'

const node = (message: string, status: Condition['status'] = 'True') => ({
  status: { conditions: [{ type: CONFLICT, status, reason: 'ServerRestored', message }] },
})

/** As the link lets them pass. */
const epochs = fc.string({ unit: fc.constantFrom(...'abcXYZ019-_.:'), minLength: 1, maxLength: 64 })

t.test('the epoch to decide for is read from the condition, whatever the device claims to hold', async () => {
  fc.assert(
    fc.property(epochs, epochs, fc.nat(), fc.option(fc.nat(), { nil: undefined }), (epoch, held, generation, base) => {
      const conflict = { held: { epoch: held, generation }, epoch, ...(base === undefined ? {} : { base }) }
      return conflictEpoch(node(conflictMessage('press-1', conflict))) === epoch
    }),
  )
})

t.test('no condition, one that is over, or other words: there is nothing to decide', async t => {
  const message = conflictMessage('press-1', { held: { epoch: 'old', generation: 9 }, epoch: 'new', base: 4 })
  for (const each of [undefined, {}, node(message, 'False'), node(`x ${message}`)]) t.equal(conflictEpoch(each), undefined)
  t.equal(conflictCondition(node(message, 'False')), undefined)
  t.match(message, /nothing after generation 4; the device holds generation 9 of epoch old .* helio node follow press-1$/)
})

t.test('a decision counts for the epoch it names, and no other', async t => {
  const decided = { metadata: { annotations: { [FOLLOW]: 'new' } } }
  t.ok(mayFollow(decided, 'new'))
  t.notOk(mayFollow(decided, 'newer'))
  t.notOk(mayFollow({ metadata: {} }, 'new'))
  t.notOk(mayFollow(undefined, 'new'))
})
