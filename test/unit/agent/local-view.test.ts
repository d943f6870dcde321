import t from 'tap'
import { devicePods } from '../../../src/agent/local-view.ts'

const running = { state: { running: {} }, ready: true, started: true, restartCount: 0 }
const completed = { state: { terminated: { exitCode: 0 } }, ready: true, started: false, restartCount: 0 }
const waiting = { state: { waiting: { reason: 'PodInitializing' } }, ready: false, started: false, restartCount: 0 }

/** What the device shows of one pod: `first`, then the sidecar `beside`, then `second`, then `main`. */
const shown = (states: Readonly<Record<'first' | 'beside' | 'second' | 'main', object>>, phase = 'Pending') => {
  const of = (...names: (keyof typeof states)[]) => names.map(name => ({ name, image: '', imageID: '', ...states[name] }))
  const initContainers = [{ name: 'first' }, { name: 'beside', restartPolicy: 'Always' }, { name: 'second' }]
  const record = {
    namespace: 'default',
    name: 'web',
    uid: 'u',
    desired: true,
    containers: new Map(),
    pod: { metadata: {}, spec: { initContainers, containers: [{ name: 'main' }] } },
    status: { phase, initContainerStatuses: of('first', 'beside', 'second'), containerStatuses: of('main') },
  }
  const [pod] = devicePods({ pods: new Map([['u', record]]) } as unknown as Parameters<typeof devicePods>[0])
  return `${pod?.ready.ready}/${pod?.ready.total} ${pod?.summary}`
}

t.test('an init container that runs holds the pod up, as kubectl shows it; a sidecar that has started does not', async t => {
  t.equal(shown({ first: running, beside: waiting, second: waiting, main: waiting }), '0/2 Init:0/3')
  t.equal(shown({ first: completed, beside: { ...running, started: false, ready: false }, second: waiting, main: waiting }), '0/2 Init:1/3')
  t.equal(shown({ first: completed, beside: running, second: running, main: waiting }), '1/2 Init:2/3')
  t.equal(shown({ first: completed, beside: running, second: completed, main: running }, 'Running'), '2/2 Running')
})
