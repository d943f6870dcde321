// All controllers and the scheduler over the real store and the real verbs: what a user asks for comes about.

import t from 'tap'
import { createVerbs, type Verbs } from '../../../src/api/api.ts'
import { type Log, silentLog } from '../../../src/base/log.ts'
import type { KubeObject } from '../../../src/base/object.ts'
import { seededRandom } from '../../../src/base/random.ts'
import type { Contact } from '../../../src/controllers/controller.ts'
import { controllers } from '../../../src/controllers/index.ts'
import { KINDS } from '../../../src/kinds/index.ts'
import { splitKey } from '../../../src/kinds/meta.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { createScheduling } from '../../../src/scheduler/scheduler.ts'
import { type Loop, startLoop } from '../../../src/server/loop.ts'
import { createView, type LiveView } from '../../../src/server/view.ts'
import { openMemoryStore } from '../../../src/store/store.ts'
import { ADMIN, type HandClock, handClock, kindNamed } from '../api/rig.ts'

interface Rig {
  readonly clock: HandClock
  readonly view: LiveView
  readonly verbs: Verbs
  readonly loop: Loop
  readonly contacts: Map<string, Contact>
  readonly errors: string[]
  create(object: Record<string, unknown>): Promise<KubeObject>
  patch(kind: string, key: string, patch: unknown, subresource?: 'status'): Promise<KubeObject>
  remove(kind: string, key: string, propagationPolicy?: 'Foreground' | 'Orphan'): Promise<unknown>
  /** Lets everything happen that needs no more time than `ms`. */
  settle(ms?: number): Promise<void>
}

const rig = async (): Promise<Rig> => {
  const clock = handClock()
  const errors: string[] = []
  const log: Log = { ...silentLog, error: (message, fields) => void errors.push(`${message}: ${JSON.stringify(fields)}`) }
  const random = seededRandom('loop')
  const store = openMemoryStore({ clock, random, log })
  const verbs = createVerbs({ store, clock, random, kinds: KINDS })
  const contacts = new Map<string, Contact>()
  const view = createView({ store, kinds: KINDS, contact: node => contacts.get(node), uptimeMs: () => clock.mono() })
  const loop = startLoop({ clock, random, log, store, view, verbs, kinds: KINDS, controllers: [...controllers, createScheduling()] })
  const target = (kind: string, key: string) => ({ kind: kindNamed(kind), ...splitKey(key) })
  const made: Rig = {
    clock,
    view,
    verbs,
    loop,
    contacts,
    errors,
    create: object =>
      verbs.create(
        ADMIN,
        { kind: kindNamed(String(object['kind'])), namespace: (object['metadata'] as { namespace?: string }).namespace ?? '' },
        object,
      ),
    patch: (kind, key, patch, subresource) =>
      verbs.patch(ADMIN, { ...target(kind, key), ...(subresource ? { subresource } : {}) }, patch, 'merge'),
    remove: (kind, key, propagationPolicy) => verbs.delete(ADMIN, target(kind, key), propagationPolicy ? { propagationPolicy } : {}),
    async settle(ms = 50) {
      const untilMs = clock.mono() + ms
      for (let quiet = 0; quiet < 3 || clock.mono() < untilMs; ) {
        clock.advance(1)
        await new Promise(resolve => setImmediate(resolve))
        quiet = loop.isIdle ? quiet + 1 : 0
      }
    },
  }
  await made.settle()
  return made
}

const node = async (made: Rig, name: string): Promise<void> => {
  made.contacts.set(name, { connected: true, silentMs: 0 })
  await made.create({ apiVersion: 'v1', kind: 'Node', metadata: { name } })
  const conditions = [{ type: 'Ready', status: 'True', reason: 'Ready', message: 'ready', lastTransitionTime: '2026-01-01T00:00:00Z' }]
  await made.patch('Node', name, { status: { allocatable: { cpu: '4', memory: '4Gi', pods: '110' }, conditions } }, 'status')
}

const web = (replicas: number): Record<string, unknown> => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'main', image: 'busybox' }] } },
  },
})

const pods = (made: Rig): readonly Pod[] => made.view.list<Pod>('Pod')

/** Plays the devices: bound pods run, ending pods are gone. */
const run = async (made: Rig): Promise<void> => {
  for (const pod of pods(made)) {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`
    const { uid, namespace, name } = pod.metadata
    if (pod.metadata.deletionTimestamp) {
      const options = { gracePeriodSeconds: 0, preconditions: { uid: uid! } }
      await made.verbs.delete(ADMIN, { kind: kindNamed('Pod'), namespace: namespace!, name: name! }, options)
    } else if (pod.spec.nodeName && pod.status?.phase !== 'Running') {
      const conditions = [...(pod.status?.conditions ?? []), { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }]
      await made.patch('Pod', key, { status: { phase: 'Running', conditions } }, 'status')
    }
  }
}

/** Devices and controllers in turn until nothing moves. */
const rollOut = async (made: Rig): Promise<void> => {
  for (let revision = -1; revision !== made.view.revision; ) {
    revision = made.view.revision
    await made.settle()
    await run(made)
  }
}

t.test('a Deployment becomes pods that are bound and available; nothing goes on after that', async t => {
  const made = await rig()
  await node(made, 'node-1')
  await made.create(web(5))
  await rollOut(made)
  t.equal(pods(made).filter(pod => pod.spec.nodeName === 'node-1').length, 5)
  t.match(made.view.get('Deployment', 'default', 'web')?.status, { availableReplicas: 5, updatedReplicas: 5 })
  await made.settle(1_000)
  const before = made.view.revision
  await made.settle(10_000)
  t.equal(made.view.revision, before)
  t.same(made.errors, [])
  t.ok(made.view.list('Event').some(event => event['reason'] === 'Scheduled'))
  await made.loop.stop()
})

t.test('a changed image rolls through, and going back does too', async t => {
  const made = await rig()
  await node(made, 'node-1')
  await made.create(web(4))
  await rollOut(made)
  const image = (name: string) =>
    made.patch('Deployment', 'default/web', { spec: { template: { spec: { containers: [{ name: 'main', image: name }] } } } })
  await image('busybox:2')
  await rollOut(made)
  t.same([...new Set(pods(made).map(pod => pod.spec.containers[0]!.image))], ['busybox:2'])
  await image('busybox')
  await rollOut(made)
  t.same([...new Set(pods(made).map(pod => pod.spec.containers[0]!.image))], ['busybox'])
  t.equal(made.view.list('ReplicaSet').length, 2)
  t.equal(made.view.get('Deployment', 'default', 'web')?.metadata.annotations?.['deployment.kubernetes.io/revision'], '3')
  t.same(made.errors, [])
  await made.loop.stop()
})

t.test('deleting a Deployment takes its ReplicaSet and pods with it, in the foreground the owner goes last', async t => {
  const made = await rig()
  await node(made, 'node-1')
  await made.create(web(3))
  await rollOut(made)
  await made.remove('Deployment', 'default/web', 'Foreground')
  await made.settle()
  t.ok(made.view.get('Deployment', 'default', 'web'), 'held while its pods end')
  await rollOut(made)
  for (const kind of ['Deployment', 'ReplicaSet', 'Pod']) t.equal(made.view.list(kind).length, 0, kind)
  t.same(made.errors, [])
  await made.loop.stop()
})

t.test('orphaning a Deployment keeps its ReplicaSet and pods', async t => {
  const made = await rig()
  await node(made, 'node-1')
  await made.create(web(2))
  await rollOut(made)
  await made.remove('Deployment', 'default/web', 'Orphan')
  await rollOut(made)
  t.equal(made.view.list('Deployment').length, 0)
  t.equal(made.view.list('ReplicaSet').length, 1)
  t.equal(pods(made).length, 2)
  await made.loop.stop()
})

t.test('a deleted namespace is emptied and goes, with a Deployment in it that keeps asking for pods', async t => {
  const made = await rig()
  await node(made, 'node-1')
  await made.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'site' } })
  const there = web(3)
  await made.settle()
  await made.create({ ...there, metadata: { name: 'web', namespace: 'site' } })
  await rollOut(made)
  await made.remove('Namespace', 'site')
  await rollOut(made)
  await made.settle(2_000)
  t.equal(made.view.get('Namespace', '', 'site'), undefined)
  t.equal(made.view.list('Pod', { namespace: 'site' }).length, 0)
  t.same(made.errors, [])
  await made.loop.stop()
})

t.test('a silent node keeps its pods; a deleted one gives them up and they are replaced', async t => {
  const made = await rig()
  await node(made, 'node-1')
  await node(made, 'node-2')
  await made.create(web(3))
  await rollOut(made)
  const before = pods(made).map(pod => pod.metadata.uid)
  const [home] = new Set(pods(made).map(pod => pod.spec.nodeName!))
  made.contacts.set(home!, { connected: false, silentMs: 50_000 })
  made.loop.contacted(home!)
  await made.settle(2_000)
  t.match(made.view.get('Node', '', home!), {
    spec: { taints: [{ key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule' }] },
    status: { conditions: [{ type: 'Ready', status: 'Unknown' }] },
  })
  t.same(
    pods(made).map(pod => pod.metadata.uid),
    before,
  )
  made.clock.advance(60_000)
  await made.remove('Node', home!)
  await rollOut(made)
  t.equal(pods(made).length, 3)
  t.ok(pods(made).every(pod => pod.spec.nodeName !== home && !before.includes(pod.metadata.uid)))
  t.same(made.errors, [])
  await made.loop.stop()
})

t.test('a loop that was stopped half way is carried on by the next', async t => {
  const made = await rig()
  await node(made, 'node-1')
  await made.create(web(50))
  made.clock.advance(1)
  await made.loop.stop()
  t.ok(pods(made).length < 50)
  const errors: string[] = []
  const next = startLoop({
    clock: made.clock,
    random: seededRandom('next'),
    log: { ...silentLog, error: message => void errors.push(message) },
    store: made.view,
    view: made.view,
    verbs: made.verbs,
    kinds: KINDS,
    controllers: [...controllers, createScheduling()],
  })
  for (let quiet = 0; quiet < 20; quiet = next.isIdle ? quiet + 1 : 0) {
    made.clock.advance(1)
    await new Promise(resolve => setImmediate(resolve))
  }
  t.equal(pods(made).filter(pod => pod.spec.nodeName).length, 50)
  t.equal(pods(made).length, 50)
  t.same(errors, [])
  await next.stop()
})

t.test('a thousand replicas are bound without a conflict and without a write too many', async t => {
  const made = await rig()
  for (let i = 0; i < 20; i++) await node(made, `node-${i}`)
  await made.settle()
  const before = made.loop.stats.actions
  await made.create(web(1_000))
  await made.settle(200)
  t.equal(pods(made).filter(pod => pod.spec.nodeName).length, 1_000)
  t.equal(made.loop.stats.conflicts, 0)
  t.ok(made.loop.stats.actions - before < 4_100, `${made.loop.stats.actions - before} actions`)
  await made.loop.stop()
})

/** Cuts nodes at this moment; their silence grows with the clock. */
const cut = (made: Rig, names: readonly string[]): void => {
  const atMs = made.clock.mono()
  for (const name of names) {
    made.contacts.set(name, {
      connected: false,
      get silentMs() {
        return made.clock.mono() - atMs
      },
    })
    made.loop.contacted(name)
  }
}

/** Time in big steps, everything idle after each. */
const pass = async (made: Rig, ms: number, stepMs: number): Promise<void> => {
  for (let leftMs = ms; leftMs > 0; leftMs -= stepMs) {
    made.clock.advance(stepMs)
    await made.settle(3)
  }
}

t.test('60 % of 40 nodes cut at once: the brake is on before anybody acts, no pod is moved and no endpoint changes', async t => {
  const made = await rig()
  const names = Array.from({ length: 40 }, (_, i) => `node-${i}`)
  for (const name of names) await node(made, name)
  const template = {
    metadata: { labels: { app: 'web' }, annotations: { 'heliopause.io/replace-after': '0s' } },
    spec: { containers: [{ name: 'main', image: 'busybox', ports: [{ name: 'http', hostPort: 80, containerPort: 80 }] }] },
  }
  await made.create({ ...web(40), spec: { replicas: 40, selector: { matchLabels: { app: 'web' } }, template } })
  const metadata = { name: 'web', namespace: 'default' }
  await made.create({ apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: { app: 'web' }, ports: [{ port: 80 }] } })
  await rollOut(made)
  for (const [i, pod] of pods(made).entries())
    await made.patch('Pod', `default/${pod.metadata.name}`, { status: { podIP: `10.0.0.${i}`, podIPs: [{ ip: `10.0.0.${i}` }] } }, 'status')
  await pass(made, 2_000, 100)
  const state = (): string => JSON.stringify([pods(made), made.view.list('EndpointSlice'), made.view.list('Endpoints')])
  const before = state()
  t.equal(before.split('"ready":true').length - 1, 40)
  cut(made, names.slice(0, 24))
  await pass(made, 60_000, 500)
  const unknown = (): number =>
    made.view.list<KubeObject>('Node').filter(each => JSON.stringify(each.status).includes('NodeStatusUnknown')).length
  t.equal(unknown(), 24)
  await pass(made, 3_600_000, 20_000)
  t.equal(state(), before)
  for (const name of names) made.contacts.set(name, { connected: true, silentMs: 0 })
  for (const name of names) made.loop.contacted(name)
  await pass(made, 1_200_000, 20_000)
  t.equal(unknown(), 0)
  t.equal(state(), before)
  t.same(made.errors, [])
  await made.loop.stop()
})

t.test('one node cut: its pod is replaced elsewhere, and when it is back one of the two goes', async t => {
  const made = await rig()
  const names = ['node-0', 'node-1', 'node-2', 'node-3']
  for (const name of names) await node(made, name)
  await made.create({ ...web(4) })
  await made.patch('Namespace', 'default', { metadata: { annotations: { 'heliopause.io/replace-after': '1m' } } })
  await rollOut(made)
  const lost = pods(made).filter(pod => pod.spec.nodeName === 'node-0')
  t.ok(lost.length > 0)
  const before = pods(made).map(pod => pod.metadata.uid)
  cut(made, ['node-0'])
  await pass(made, 120_000, 1_000)
  await rollOut(made)
  t.equal(pods(made).length, 4 + lost.length)
  made.contacts.set('node-0', { connected: true, silentMs: 0 })
  made.loop.contacted('node-0')
  await pass(made, 60_000, 1_000)
  await rollOut(made)
  t.same(
    pods(made).map(pod => pod.metadata.uid),
    before,
  )
  t.same(made.errors, [])
  await made.loop.stop()
})
