// Events: the same again counts up, many alike become one, a flood is cut off.

import t from 'tap'
import type { EventAction, EventWrite } from '../../../src/server/loop-events.ts'
import { createEventRecorder } from '../../../src/server/loop-events.ts'
import { handClock } from '../api/rig.ts'

const event = (note: string, uid = 'u1'): EventAction => ({
  do: 'event',
  regarding: { apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'web', uid },
  type: 'Warning',
  reason: 'BackOff',
  note,
  source: 'kubelet',
})

const rig = () => {
  const clock = handClock()
  const recorder = createEventRecorder({ clock })
  return { clock, record: (action: EventAction): EventWrite | undefined => recorder.record(action) }
}

t.test('the first is created with all the fields kubectl describes', async t => {
  const { record } = rig()
  t.match(record(event('restarting')), {
    do: 'create',
    namespace: 'default',
    object: {
      kind: 'Event',
      metadata: { name: /^web\.[0-9a-f]+$/, namespace: 'default' },
      involvedObject: { kind: 'Pod', name: 'web', uid: 'u1' },
      reason: 'BackOff',
      message: 'restarting',
      source: { component: 'kubelet' },
      count: 1,
      type: 'Warning',
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
    },
  })
})

t.test('the same again raises the count of the same Event', async t => {
  const { clock, record } = rig()
  const first = record(event('restarting'))
  clock.advance(60_000)
  const second = record(event('restarting'))
  if (first?.do !== 'create' || second?.do !== 'patch') return t.fail('create, then patch')
  t.equal(second.name, first.object.metadata.name)
  t.match(second.patch, { count: 2, lastTimestamp: '2026-01-01T00:01:00Z' })
  t.match(second.otherwise, { metadata: { name: first.object.metadata.name }, count: 2, firstTimestamp: '2026-01-01T00:00:00Z' })
})

t.test('after ten minutes it is a new Event', async t => {
  const { clock, record } = rig()
  record(event('restarting'))
  clock.advance(600_000)
  t.equal(record(event('restarting'))?.do, 'create')
})

t.test('of many different notes the eleventh and later are combined', async t => {
  const { record } = rig()
  const writes = Array.from({ length: 13 }, (_, i) => record(event(`note ${i}`)))
  t.same(
    writes.map(write => write?.do),
    [...Array.from({ length: 11 }, () => 'create'), 'patch', 'patch'],
  )
  t.match(writes[12], { patch: { count: 3, message: '(combined from similar events): note 12' } })
})

t.test('one object may have 25 at once, then one every five minutes; others are not affected', async t => {
  const { clock, record } = rig()
  const writes = Array.from({ length: 40 }, () => record(event('again')))
  t.equal(writes.filter(Boolean).length, 25)
  t.ok(record(event('again', 'u2')))
  clock.advance(300_000)
  t.ok(record(event('again')))
  t.notOk(record(event('again')))
})
