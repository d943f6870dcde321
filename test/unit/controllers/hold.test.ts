// Pods held at their device: counted, not replaced, waited for and shown; and how a hold is lifted here.

import t from 'tap'
import { holdLifting } from '../../../src/controllers/hold-lifting.ts'
import type { Deployment } from '../../../src/kinds/deployment.ts'
import { HELD, HOLD, HOLD_ID, HOLD_LIFTED } from '../../../src/kinds/hold.ts'
import type { Condition } from '../../../src/kinds/meta.ts'
import { keyOf } from '../../../src/kinds/meta.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import type { ReplicaSet } from '../../../src/kinds/replica-set.ts'
import { type Site, site, webOf } from './silence.ts'

const TEXT = 'h1 by root at 2026-11-22T10:00:00Z'

/** As the device does: the pod is stopped, and says who holds it. */
const hold = (made: Site, pod: Pod): void => {
  made.sick.add(pod.metadata.uid!)
  made.world.edit('Pod', keyOf(pod.metadata), { metadata: { annotations: { [HOLD]: TEXT, [HOLD_ID]: 'h1' } } })
}

const lift = (made: Site, pod: Pod): void => {
  made.world.edit('Pod', keyOf(pod.metadata), { metadata: { annotations: { [HOLD]: null } } })
}

const running = (kind: 'ReplicaSet' | 'Deployment'): Site => {
  const made = site(6)
  made.world.put(webOf(kind, 3))
  made.pass(2_000, 500)
  return made
}

const heldIn = (object: { status?: { conditions?: Condition[] } } | undefined): Condition | undefined =>
  object?.status?.conditions?.find(each => each.type === HELD)

const roll = (made: Site): void =>
  made.world.edit('Deployment', 'default/web', { spec: { template: { metadata: { annotations: { version: '2' } } } } })

t.test('a held pod counts, is not replaced, and its set says who holds it', async t => {
  const made = running('ReplicaSet')
  const [first] = made.pods()
  hold(made, first!)
  made.world.edit('Pod', keyOf(first!.metadata), { status: { phase: 'Failed' } })
  made.pass(3_600_000, 600_000)
  t.equal(made.pods().length, 3)
  const set = made.world.get<ReplicaSet>('ReplicaSet', 'default/web')
  t.match(set?.status, { replicas: 3, readyReplicas: 2 })
  t.match(heldIn(set), { status: 'True', message: `held at their devices: ${first!.metadata.name} (${TEXT})` })
})

t.test('scaled down, pods that nobody holds go first', async t => {
  const made = running('ReplicaSet')
  const held = made.pods()[1]!
  hold(made, held)
  made.world.edit('ReplicaSet', 'default/web', { spec: { replicas: 1 } })
  made.pass(5_000)
  t.same(
    made.pods().map(pod => pod.metadata.name),
    [held.metadata.name],
  )
  made.world.edit('ReplicaSet', 'default/web', { spec: { replicas: 0 } })
  made.pass(5_000)
  t.equal(made.pods().length, 0)
})

t.test('the annotation that shows a hold is removed by anybody: the device is told which hold to drop', async t => {
  const made = running('ReplicaSet')
  const [first] = made.pods()
  hold(made, first!)
  made.pass(1_000)
  lift(made, first!)
  made.world.settle([holdLifting])
  const pod = made.world.get<Pod>('Pod', keyOf(first!.metadata))!
  t.same(pod.metadata.annotations, { [HOLD_LIFTED]: 'h1' })
  t.same(holdLifting.reconcile(made.world.view, keyOf(first!.metadata), made.world.nowMs).actions, [])
  t.ok(made.world.events.some(event => event.reason === 'HoldLifted'))
})

for (const strategy of ['RollingUpdate', 'Recreate'] as const) {
  t.test(`${strategy}: a rollout waits for held pods, says so, passes no deadline, and goes on when the hold is lifted`, async t => {
    const made = running('Deployment')
    made.world.edit('Deployment', 'default/web', { spec: { strategy: { type: strategy }, progressDeadlineSeconds: 60 } })
    const held = made.pods()[0]!
    hold(made, held)
    made.pass(1_000)
    roll(made)
    made.pass(3_600_000, 60_000)
    t.ok(
      made.pods().some(pod => pod.metadata.uid === held.metadata.uid),
      'the held pod is left alone',
    )
    const status = (): NonNullable<Deployment['status']> => made.world.get<Deployment>('Deployment', 'default/web')!.status!
    t.match(heldIn({ status: status() } as never), { message: /held at their devices/ })
    t.match(
      status().conditions?.find(each => each.type === 'Progressing'),
      { status: 'Unknown', reason: 'PodsHeld' },
    )
    made.sick.clear()
    lift(made, held)
    made.pass(60_000, 2_000)
    t.equal(made.pods().length, 3)
    t.ok(made.pods().every(pod => pod.metadata.annotations?.['version'] === '2'))
    t.match(
      status().conditions?.find(each => each.type === 'Progressing'),
      { status: 'True', reason: 'NewReplicaSetAvailable' },
    )
    t.equal(heldIn({ status: status() } as never), undefined)
  })
}
