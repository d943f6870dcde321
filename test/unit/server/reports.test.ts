// Reports against the real verbs on a store whose commits land when the test says so.

import t from 'tap'
import { createVerbs, type LocalVerbs, type Verbs } from '../../../src/api/api.ts'
import { silentLog } from '../../../src/base/log.ts'
import type { KubeObject } from '../../../src/base/object.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { KINDS } from '../../../src/kinds/index.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { applyReports } from '../../../src/server/reports.ts'
import { createMemoryJournal, openStoreOn } from '../../../src/store/store.ts'
import { ADMIN, handClock, kindNamed } from '../api/rig.ts'

interface Rig {
  readonly verbs: Verbs
  /** Holds commits back from now on; the returned function lets them land. */
  hold(): () => void
  pod(): Pod
  report(status: Record<string, unknown>, rest?: Record<string, unknown>): Promise<string[]>
}

const POD = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' }, spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'x' }] } }

const createRig = async (): Promise<Rig> => {
  const clock = handClock()
  const random = seededRandom('reports')
  const waiting: (() => void)[] = []
  const state = { isHeld: false }
  const journal = createMemoryJournal({
    epoch: 'e',
    defer(land) {
      if (state.isHeld) waiting.push(land)
      else queueMicrotask(land)
    },
  })
  const store = openStoreOn({ clock, random, log: silentLog }, journal, journal.load())
  const verbs = createVerbs({ store, clock, random, kinds: KINDS })
  await verbs.create(ADMIN, { kind: kindNamed('Namespace'), namespace: '' }, { metadata: { name: 'default' } })
  await verbs.create(ADMIN, { kind: kindNamed('Pod'), namespace: 'default' }, POD)
  const at = { kind: kindNamed('Pod'), namespace: 'default', name: 'web' }
  const pod = (): Pod => verbs.get(at) as unknown as Pod
  return {
    verbs,
    pod,
    hold() {
      state.isHeld = true
      return () => {
        state.isHeld = false
        for (const land of waiting.splice(0)) land()
      }
    },
    report: (status, rest = {}) => {
      const uid = pod().metadata.uid ?? ''
      return applyReports({ verbs, clock, podsOn: () => [pod()] }, 'n1', [
        { key: `pod/${uid}`, value: { namespace: 'default', name: 'web', uid, status, ...rest } },
      ])
    },
  }
}

const AT = { kind: kindNamed('Pod'), namespace: 'default', name: 'web' }
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

t.test('a report that arrives while another write of the pod is on its way to the disk is kept, and so is that write', async t => {
  const { verbs, hold, pod, report } = await createRig()
  const land = hold()
  const labelled = verbs.patch(ADMIN, AT, { metadata: { labels: { a: 'b' } } }, 'merge')
  const reported = report({ phase: 'Running' })
  await turn()
  land()
  await labelled
  t.same(await reported, [])
  t.match(pod(), { metadata: { labels: { a: 'b' } }, status: { phase: 'Running' } })
})

t.test('a report replaces the status and keeps conditions of others', async t => {
  const { verbs, pod, report } = await createRig()
  const status = { phase: 'Pending', reason: 'Waiting', conditions: [{ type: 'PodScheduled', status: 'True' }] }
  await verbs.update(ADMIN, { ...AT, subresource: 'status' }, { ...(pod() as unknown as KubeObject), status })
  t.same(await report({ phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] }), [])
  t.equal(pod().status?.reason, undefined)
  t.same(
    pod().status?.conditions?.map(condition => condition.type),
    ['PodScheduled', 'Ready'],
  )
})

t.test('a transition is stamped by the server, whatever year the device thinks it is, and once', async t => {
  const { pod, report } = await createRig()
  const ready = (lastTransitionTime: string) => ({ conditions: [{ type: 'Ready', status: 'True', lastTransitionTime }] })
  await report(ready('2099-01-01T00:00:00Z'))
  const stamp = pod().status?.conditions?.find(condition => condition.type === 'Ready')?.lastTransitionTime
  t.not(stamp, '2099-01-01T00:00:00Z')
  await report({ ...ready('1970-01-01T00:00:00Z'), phase: 'Running' })
  t.match(pod().status, { phase: 'Running', conditions: [{ type: 'Ready', lastTransitionTime: stamp }] })
})

t.test('the same report again writes nothing', async t => {
  const { pod, report } = await createRig()
  await report({ phase: 'Running', conditions: [] })
  const { resourceVersion } = pod().metadata
  await report({ phase: 'Running', conditions: [] })
  t.equal(pod().metadata.resourceVersion, resourceVersion)
})

t.test('a status that is none is refused and does not turn away what came with it', async t => {
  const { verbs, pod, report } = await createRig()
  t.match(await report(null as unknown as Record<string, unknown>), [/^pod\//])
  await report({ phase: 'Running', conditions: [{}] })
  const uid = pod().metadata.uid ?? ''
  const items = [null, 5, []].map(status => ({ key: `pod/${uid}`, value: { namespace: 'default', name: 'web', uid, status } }))
  const good = { key: `pod/${uid}`, value: { namespace: 'default', name: 'web', uid, status: { phase: 'Succeeded' } } }
  const many = Array.from({ length: 20 }, () => items[0]!)
  const refused = await applyReports({ verbs, clock: handClock(), podsOn: () => [pod()] }, 'n1', [...items, ...many, good])
  t.equal(refused.length, 8, 'nor does it fill the log')
  t.equal(pod().status?.phase, 'Succeeded')
})

t.test('a report of a pod that has another uid by now is dropped quietly', async t => {
  const { pod, report } = await createRig()
  t.same(await report({ phase: 'Running' }, { uid: '00000000-0000-4000-8000-000000000000' }), [])
  t.not(pod().status?.phase, 'Running')
})

t.test('a malformed report is refused by name', async t => {
  const { report } = await createRig()
  const [refusal = ''] = await report({ phase: 7 })
  t.match(refusal, /^pod\//)
})

t.test('conditions that are none are refused and do not hold up the other reports', async t => {
  const { pod, report } = await createRig()
  for (const conditions of ['x', { length: 1e9 }, [null], [1]])
    t.match(await report({ phase: 'Running', conditions }), [/conditions must be a list/])
  t.not((pod().status as { phase?: string } | undefined)?.phase, 'Running')
  t.same(await report({ phase: 'Running' }), [])
})

const CONTACT = 'heliopause.io/Contact'

t.test("whether it is in contact is not the device's to say", async t => {
  const { verbs } = await createRig()
  const at = { kind: kindNamed('Node'), namespace: '', name: 'n1' }
  await verbs.create(ADMIN, { kind: at.kind, namespace: '' }, { metadata: { name: 'n1' } })
  const stored = [{ type: CONTACT, status: 'False', reason: 'Dead' }]
  await verbs.patch(ADMIN, { ...at, subresource: 'status' }, { status: { conditions: stored } }, 'merge')
  const conditions = [
    { type: CONTACT, status: 'True', reason: 'Online' },
    { type: 'Ready', status: 'True' },
  ]
  t.same(await applyReports({ verbs, clock: handClock(), podsOn: () => [] }, 'n1', [{ key: 'node', value: { conditions } }]), [])
  t.match(verbs.get(at).status, {
    conditions: [
      { type: CONTACT, reason: 'Dead' },
      { type: 'Ready', status: 'True' },
    ],
  })
})

const HOLD = 'heliopause.io/hold'
const hold = (id: string, rest: Record<string, unknown> = {}) => ({ id, by: 'root', at: '2026-11-22T10:00:00Z', ...rest })

interface HoldRig extends Rig {
  /** Reports a hold of the pod `web`; null: none any more; undefined: an item of another kind only, the whole of what there is. */
  tell(value: unknown): Promise<string[]>
  annotations(): Record<string, string>
}

const createHoldRig = async (device = 'n1'): Promise<HoldRig> => {
  const rig = await createRig()
  const deps = { verbs: rig.verbs, clock: handClock(), podsOn: (node: string) => (node === 'n1' ? [rig.pod()] : []) }
  return {
    ...rig,
    tell: value =>
      value === undefined
        ? applyReports(deps, device, [{ key: 'node', value: {} }], true)
        : applyReports(deps, device, [{ key: `hold/${rig.pod().metadata.uid}`, value }]),
    annotations: () => rig.pod().metadata.annotations ?? {},
  }
}

t.test('a hold at the device is shown as an annotation, under the manager of devices', async t => {
  const { verbs, pod, tell, annotations } = await createHoldRig()
  const config = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', labels: { a: 'b' } }, spec: POD.spec }
  const { writer } = verbs as unknown as LocalVerbs
  await writer.apply(AT, config, { fieldManager: 'me', force: true })
  t.same(await tell(hold('h1')), [])
  t.same(annotations(), { [HOLD]: 'h1 by root at 2026-11-22T10:00:00Z', 'heliopause.io/hold-id': 'h1' })
  const owner = pod().metadata.managedFields?.find(each => each.manager === 'heliopause.io/device')
  t.match(owner?.fieldsV1, { 'f:metadata': { 'f:annotations': { 'f:heliopause.io/hold': {} } } })
})

t.test('the reason of a hold is shown with it, on one line and not too long; one that is none is left out', async t => {
  const { tell, annotations } = await createHoldRig()
  const shown = async (id: string, reason: unknown): Promise<string | undefined> => {
    t.same(await tell(hold(id, { reason })), [])
    return annotations()[HOLD]?.split('Z')[1]
  }
  t.equal(await shown('h1', 'valve: stuck'), ': valve: stuck')
  t.equal(await shown('h2', 'a\nb\u202ec\u0000d'), ': a b c d')
  t.equal(await shown('h3', 'x'.repeat(10_000)), `: ${'x'.repeat(256)}`)
  for (const [i, reason] of [undefined, '', ' \n', 7, { toString: 'x' }].entries()) t.equal(await shown(`n${i}`, reason), '')
})

t.test('the same hold again writes nothing; when it ends its traces go', async t => {
  const { pod, tell, annotations } = await createHoldRig()
  await tell(hold('h1'))
  const { resourceVersion } = pod().metadata
  await tell(hold('h1'))
  t.equal(pod().metadata.resourceVersion, resourceVersion)
  await tell(null)
  t.same(annotations(), {})
})

t.test('a hold that was lifted here is not taken back, however often the device reports it', async t => {
  const { verbs, tell, annotations } = await createHoldRig()
  await tell(hold('h1'))
  await verbs.patch(ADMIN, AT, { metadata: { annotations: { [HOLD]: null } } }, 'merge')
  await tell(hold('h1'))
  t.equal(annotations()[HOLD], undefined, 'not even before the controller has noted it')
  await verbs.patch(ADMIN, AT, { metadata: { annotations: { 'heliopause.io/hold-id': null, 'heliopause.io/hold-lifted': 'h1' } } }, 'merge')
  await tell(hold('h1'))
  t.same(annotations(), { 'heliopause.io/hold-lifted': 'h1' })
  await tell(hold('h2'))
  t.match(annotations(), { [HOLD]: /^h2 by/ }, 'another hold is another matter')
  await tell(null)
  t.same(annotations(), {})
})

t.test('a hold that ended while no server listened ends with the next complete report', async t => {
  const { tell, annotations } = await createHoldRig()
  await tell(hold('h1'))
  await tell(undefined)
  t.same(annotations(), {})
})

t.test('a device holds its own pods only, and nothing that is no hold is written', async t => {
  const foreign = await createHoldRig('n2')
  t.same(await foreign.tell(hold('h1')), [])
  t.same(foreign.annotations(), {})
  const { tell, annotations } = await createHoldRig()
  const bad: unknown[] = [
    7,
    [],
    {},
    hold(''),
    hold('a b'),
    hold('x'.repeat(65)),
    hold('h1', { by: 'root at 1970\n' }),
    hold('h1', { by: '\u202etoor' }),
    hold('h1', { by: '\u200broot' }),
    hold('h1', { by: 'x'.repeat(1e6) }),
    hold('h1', { at: 'now' }),
    hold('h1', { at: { toString: 'x' } }),
  ]
  for (const value of bad) t.match(await tell(value), [/^hold\/.*is not one$/])
  t.same(annotations(), {})
})

t.test('reports of pods that a restored server does not know are no refusals, and change nothing', async t => {
  const rig = await createRig()
  const before = rig.pod()
  const forgotten = { namespace: 'default', name: 'made-after-the-backup', uid: 'u-gone', status: { phase: 'Running' } }
  const value = (more: object) => ({ key: 'pod/u-gone', value: { ...forgotten, ...more } })
  const items = [
    value({}),
    value({ name: 'web' }),
    value({ name: 'web', gone: true }),
    { key: 'hold/u-gone', value: { id: 'h', by: 'x', at: 'y' } },
  ]
  t.same(await applyReports({ verbs: rig.verbs, clock: handClock(), podsOn: () => [rig.pod()] }, 'n1', items, true), [])
  t.same(rig.pod(), before)
})
