import t from 'tap'
import { createHoldsDesk } from '../../../src/agent/local-holds.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { document, openModel, pod } from './model.ts'

t.test('a hold that cannot be kept on disk is not taken, and says why and what to do; once there is space it is', async t => {
  const m = openModel()
  m.give(document([pod('a')]))
  m.run(1000)
  const disk = { full: true }
  const heard: unknown[] = []
  const desk = createHoldsDesk({
    state: m.state,
    memory: { saveHolds: () => (disk.full ? Promise.reject(new Error('SQLITE_FULL: database or disk is full')) : Promise.resolve()) },
    clock: { now: () => 0 },
    random: seededRandom('holds'),
    send: input => {
      heard.push(input)
      if (input.on === 'hold') m.state.holds.set(input.hold.uid, input.hold)
    },
  })
  await t.rejects(desk.hold({ pod: 'a', namespace: 'default' }, undefined, 'root'), {
    code: 503,
    message: 'keep holds on disk: SQLITE_FULL: database or disk is full',
    hint: /nothing was changed; free space/,
  })
  t.same([heard, desk.list()], [[], []])
  disk.full = false
  t.match(await desk.hold({ pod: 'a', namespace: 'default' }, undefined, 'root'), { name: 'a', by: 'root' })
  t.equal(desk.list().length, 1)
})
