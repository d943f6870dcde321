// Nodes and pods in tables when contact is lost.

import t from 'tap'
import { kindByName } from '../../../src/kinds/index.ts'
import type { KubeObject } from '../../../src/kinds/meta.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z')

const node = (conditions: Record<string, unknown>[], unschedulable = false): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'n1' },
  spec: { unschedulable },
  status: { conditions },
})
const ready = (status: string): Record<string, unknown> => ({ type: 'Ready', status })
const contact = (reason: string, lastHeartbeatTime?: string): Record<string, unknown> => ({
  type: 'heliopause.io/Contact',
  reason,
  ...(lastHeartbeatTime ? { lastHeartbeatTime } : {}),
})
const braked = { type: 'heliopause.io/ContactBrake', status: 'True' }

const cells = (object: KubeObject): [unknown, unknown] => {
  const row = kindByName('Node')!.row(object, NOW)
  return [row[1], row.at(-1)]
}

t.test('STATUS begins as upstream has it, and our words follow', async t => {
  const seen = '2026-11-22T11:30:00Z'
  t.same(cells(node([ready('True'), contact('Online')])), ['Ready', 'Online'])
  t.same(cells(node([ready('True'), contact('Offline', seen)])), ['Ready,Offline', 'Offline (30m ago)'])
  t.same(cells(node([ready('Unknown'), contact('Unknown', seen)])), ['NotReady,Unknown', 'Unknown (30m ago)'])
  t.same(cells(node([ready('Unknown'), contact('Unknown', seen), braked])), ['NotReady,Unknown,Braked', 'Unknown (30m ago)'])
  t.same(cells(node([ready('Unknown'), contact('Dead', seen)], true)), ['NotReady,Dead,SchedulingDisabled', 'Dead (30m ago)'])
  t.same(cells(node([])), ['Unknown', '<unknown>'])
  t.same(cells(node([ready('True'), contact('constructor')])), ['Ready', 'constructor'])
})

t.test('a pod that is held, or superseded on a silent node, says so; one that ends says that first', async t => {
  const pod = (annotations: Record<string, string>, meta: Record<string, unknown> = {}): unknown =>
    kindByName('Pod')!.row(
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'web', annotations, ...meta },
        spec: { containers: [{ name: 'c' }] },
        status: { phase: 'Running' },
      },
      NOW,
    )[2]
  t.equal(pod({}), 'Running')
  t.equal(pod({ 'heliopause.io/superseded': '2026-11-22T11:30:00Z' }), 'Superseded')
  t.equal(pod({ 'heliopause.io/hold': 'h1 by root at 2026-11-22T11:30:00Z' }), 'Held')
  t.equal(pod({ 'heliopause.io/hold': 'h1' }, { deletionTimestamp: '2026-11-22T11:59:00Z' }), 'Terminating')
})
