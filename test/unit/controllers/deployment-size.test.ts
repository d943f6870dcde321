// The arithmetic of rollouts, against upstream's tables.

import t from 'tap'
import { fencesOf, newSetSize, oldSetSizes, proportionalSizes } from '../../../src/controllers/deployment-size.ts'
import type { Deployment } from '../../../src/kinds/deployment.ts'
import type { IntOrString } from '../../../src/kinds/meta.ts'
import type { ReplicaSet } from '../../../src/kinds/replica-set.ts'

const deployment = (replicas: number, maxSurge?: IntOrString, maxUnavailable?: IntOrString): Deployment => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    replicas,
    selector: {},
    template: { spec: { containers: [] } },
    strategy: {
      type: 'RollingUpdate',
      rollingUpdate: { ...(maxSurge === undefined ? {} : { maxSurge }), ...(maxUnavailable === undefined ? {} : { maxUnavailable }) },
    },
  },
})

const set = (name: string, replicas: number, available = replicas, max?: number): ReplicaSet => ({
  apiVersion: 'apps/v1',
  kind: 'ReplicaSet',
  metadata: { name, ...(max === undefined ? {} : { annotations: { 'deployment.kubernetes.io/max-replicas': String(max) } }) },
  spec: { replicas, selector: {} },
  status: { replicas, availableReplicas: available },
})

t.test('surge rounds up, unavailability down, and both nought means one may be missing', async t => {
  const rows: [number, IntOrString | undefined, IntOrString | undefined, number, number][] = [
    [10, '25%', '25%', 3, 2],
    [10, undefined, undefined, 3, 2],
    [1, '25%', '25%', 1, 0],
    [3, 0, 0, 0, 1],
    [2, '0%', '10%', 0, 1],
    [4, 1, 9, 1, 4],
    [0, '25%', '25%', 0, 0],
  ]
  for (const [replicas, surge, unavailable, wantedSurge, wantedUnavailable] of rows)
    t.same(fencesOf(deployment(replicas, surge, unavailable)), { surge: wantedSurge, unavailable: wantedUnavailable })
})

t.test('the new set takes the room that wanted plus surge leaves', async t => {
  t.equal(newSetSize(deployment(10, 3, 2), [set('old', 10)], undefined), 3)
  t.equal(newSetSize(deployment(10, 0, 2), [set('old', 10)], undefined), 0)
  t.equal(newSetSize(deployment(10, 3, 2), [], undefined), 10)
  const current = set('new', 5)
  t.equal(newSetSize(deployment(10, 3, 2), [set('old', 6), current], current), 7)
  t.equal(newSetSize(deployment(4, 3, 2), [current], current), 4)
})

t.test('a size that shrank faster than its pods leaves no room yet', async t => {
  const shrinking = { ...set('old', 8), status: { replicas: 10, availableReplicas: 10 } }
  const current = set('new', 3)
  t.equal(newSetSize(deployment(10, 3, 2), [shrinking, current], current), 3)
})

t.test('old sets lose what is not available first, then what availability spares', async t => {
  t.same([...oldSetSizes(deployment(10, 0, 2), [set('old', 10)], set('new', 0))], [['old', 8]])
  t.same([...oldSetSizes(deployment(10, 0, 2), [set('a', 3, 1), set('b', 7, 7)], set('new', 0))], [['a', 1]])
  t.same([...oldSetSizes(deployment(10, 0, 0), [set('old', 9)], set('new', 1, 0))], [])
  t.same([...oldSetSizes(deployment(10, 3, 2), [set('old', 8)], set('new', 5, 5))], [['old', 3]])
})

t.test('an old status does not let pods be counted as available twice', async t => {
  const stale = set('old', 8, 10)
  t.same([...oldSetSizes(deployment(10, 0, 2), [stale], set('new', 2, 2))], [['old', 6]])
})

t.test('a change of the whole is shared in proportion, leftovers to the biggest', async t => {
  const grow = proportionalSizes(deployment(15, 3, 2), [set('old', 8, 8, 13), set('new', 5, 0, 13)])
  t.same([grow.get('old'), grow.get('new')], [11, 7])
  const shrink = proportionalSizes(deployment(5, 0, 0), [set('old', 6, 6, 10), set('new', 4, 4, 10)])
  t.same([shrink.get('old'), shrink.get('new')], [3, 2])
  const none = proportionalSizes(deployment(0, 3, 2), [set('old', 6, 6, 13), set('new', 4, 4, 13)])
  t.same([none.get('old'), none.get('new')], [0, 0])
})
