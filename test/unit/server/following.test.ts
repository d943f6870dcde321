// An operator's decision about a device that does not follow, carried out when both are there.

import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import type { KubeObject } from '../../../src/base/object.ts'
import { FOLLOW, type HeadConflict } from '../../../src/kinds/conflict.ts'
import { createFollowing } from '../../../src/server/following.ts'

const CONFLICT: HeadConflict = { held: { epoch: 'before', generation: 812 }, epoch: 'after', base: 700 }

const setup = () => {
  const resumed: string[] = []
  const logged: string[] = []
  const looked: string[] = []
  const state: { connected: boolean; conflict: HeadConflict | null; node: KubeObject | undefined } = {
    connected: true,
    conflict: CONFLICT,
    node: undefined,
  }
  const following = createFollowing({
    log: { ...silentLog, error: (message, fields) => logged.push(`${message}: ${String(fields?.['detail'])}`) },
    view: { get: <T>() => state.node as T | undefined },
    hub: () => ({
      contact: () => ({ connected: state.connected, silentMs: 0, profile: 'lan', togetherMs: 0, conflict: state.conflict }),
      resume: async device => void resumed.push(device),
    }),
    onContact: device => looked.push(device),
  })
  const node = (epoch?: string, more: Record<string, string> = {}): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'press-1', annotations: { ...more, ...(epoch === undefined ? {} : { [FOLLOW]: epoch }) } },
  })
  const write = (next: KubeObject): void => {
    const old = state.node
    state.node = next
    following.changed(next, old)
  }
  return { state, following, resumed, logged, looked, node, write }
}

t.test('a conflict is logged once and never decided by itself', async t => {
  const { following, logged, looked, resumed, write, node } = setup()
  write(node())
  following.conflict('press-1', CONFLICT, true)
  following.conflict('press-1', CONFLICT, false)
  t.match(logged, [/^device refused its document: an operator must decide: .* generation 812 of epoch before/])
  t.same([logged.length, looked, resumed], [1, ['press-1'], []])
  following.conflict('press-1', null, true)
  t.same([logged.length, looked], [1, ['press-1', 'press-1']])
})

t.test('the annotation decides: written while the device is there, or before it calls', async t => {
  const { state, following, resumed, write, node } = setup()
  write(node())
  write(node('after'))
  t.same(resumed, ['press-1'])
  write(node('after', { other: 'changed' }))
  t.same(resumed, ['press-1'], 'another change of the node decides nothing again')
  state.connected = false
  following.conflict('press-1', CONFLICT, false)
  t.same(resumed, ['press-1'])
  state.connected = true
  following.conflict('press-1', CONFLICT, false)
  t.same(resumed, ['press-1', 'press-1'], 'and it stands for the next call')
})

t.test('a decision of an earlier restore counts for nothing, nor one without a conflict', async t => {
  const { state, following, resumed, write, node } = setup()
  write(node('before'))
  following.conflict('press-1', CONFLICT, true)
  state.conflict = null
  write(node('after'))
  t.same(resumed, [])
})
