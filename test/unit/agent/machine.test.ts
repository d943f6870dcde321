// Life of pods on one device, told in scenarios: the machine against a model of the runtime.

import t from 'tap'
import { container, document, openModel, pod } from './model.ts'

const MINUTE = 60_000

t.test('starts a pod: volumes, sandbox, address, container, and then is quiet', async t => {
  const m = openModel()
  m.give(document([pod('a')]))
  m.run(1000)
  t.same(m.asked(), ['configureNetwork', 'writeVolumes a', 'createSandbox a', 'attach a', 'startContainer a main'])
  t.same(m.running(), ['a/main#0'])
  const status = m.status('a')
  t.equal(status.phase, 'Running')
  t.equal(status.podIP, '10.42.3.2')
  t.equal(status.hostIP, '192.0.2.7')
  t.same(
    status.conditions?.map(c => `${c.type}=${c.status}`),
    ['PodReadyToStartContainers=True', 'Initialized=True', 'Ready=True', 'ContainersReady=True', 'PodScheduled=True'],
  )
  t.equal(m.containerStatus('a').containerID, 'fake://uid-a.main.0')
  m.run(600 * MINUTE)
  t.same(m.asked(), [], 'no step without a reason')
  m.give(document([pod('a')]))
  t.same(m.asked(), [], 'the same document asks for nothing')
})

t.test('with no document yet it touches nothing that runs', async t => {
  const m = openModel()
  m.sandboxes.add('uid-x')
  m.containers.set('uid-x.main.0', {
    id: 'uid-x.main.0',
    podUid: 'uid-x',
    name: 'main',
    attempt: 0,
    init: false,
    image: 'app:1',
    imageID: 'i',
    state: 'running',
    logPath: '/l',
  })
  m.restart()
  m.run(10 * MINUTE)
  t.same(m.asked(), [])
  t.same(m.running(), ['x/main#0'])
})

t.test('a killed container runs again at once, then after 10 s, 20 s, 40 s … up to 5 minutes', async t => {
  const m = openModel()
  m.give(document([pod('a')]))
  m.run(1000)
  m.exit('a', 'main', { exitCode: 137 })
  m.run(100)
  t.same(m.running(), ['a/main#1'], 'the first restart is immediate')
  t.equal(m.containerStatus('a').restartCount, 1)
  t.equal(m.containerStatus('a').lastState?.terminated?.exitCode, 137)
  for (const [i, delay] of [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000].entries()) {
    m.exit('a', 'main')
    m.run(10)
    t.equal(m.containerStatus('a').state?.waiting?.reason, 'CrashLoopBackOff')
    m.run(delay - 100)
    t.same(m.running(), [], `still waiting before ${delay} ms`)
    m.run(200)
    t.same(m.running(), [`a/main#${i + 2}`])
  }
  t.equal(m.status('a').phase, 'Running', 'a crash loop is a running pod')
  m.run(11 * MINUTE)
  m.exit('a', 'main')
  m.run(100)
  t.equal(m.running().length, 1, 'after 10 minutes of running the backoff starts anew')
  t.equal([...m.containers.values()].length, 1, 'old attempts are removed')
})

t.test('an out-of-memory kill is reported as OOMKilled', async t => {
  const m = openModel()
  m.give(document([pod('a')]))
  m.run(1000)
  m.exit('a', 'main', { exitCode: 137, oomKilled: true })
  m.run(100)
  t.equal(m.containerStatus('a').lastState?.terminated?.reason, 'OOMKilled')
  t.ok(m.events.some(e => e.startsWith('OOMKilling')))
})

t.test('restart policy: Never ends the pod, OnFailure runs again until it succeeds', async t => {
  const m = openModel()
  m.give(
    document([
      pod('never', { restartPolicy: 'Never' }),
      pod('fails', { restartPolicy: 'Never' }),
      pod('retry', { restartPolicy: 'OnFailure' }),
    ]),
  )
  m.run(1000)
  m.exit('never', 'main', { exitCode: 0 })
  m.exit('fails', 'main', { exitCode: 3 })
  m.exit('retry', 'main', { exitCode: 1 })
  m.run(1000)
  t.equal(m.status('never').phase, 'Succeeded')
  t.equal(m.containerStatus('never').state?.terminated?.reason, 'Completed')
  t.equal(m.status('fails').phase, 'Failed')
  t.equal(m.containerStatus('fails').state?.terminated?.exitCode, 3)
  t.same(m.running(), ['retry/main#1'])
  m.exit('retry', 'main', { exitCode: 0 })
  m.run(1000)
  t.equal(m.status('retry').phase, 'Succeeded')
  t.equal(m.status('retry').conditions?.find(c => c.type === 'Ready')?.reason, 'PodCompleted')
  t.same([...m.sandboxes], [], 'ended pods give their sandbox back')
  m.restart()
  m.run(10 * MINUTE)
  t.same(m.running(), [], 'an ended pod does not run again after an agent restart')
  t.equal(m.status('fails').phase, 'Failed')
  t.equal(m.containerStatus('fails').state?.terminated?.exitCode, 3)
})

t.test('a missing ConfigMap holds the container until it appears', async t => {
  const m = openModel()
  const env = [{ name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'color' } } }]
  const spec = { containers: [container('main', { env })] }
  m.give(document([pod('a', spec)]))
  m.run(10 * MINUTE)
  t.same(m.containerStatus('a').state?.waiting, { reason: 'CreateContainerConfigError', message: 'configmap "settings" not found' })
  t.equal(m.status('a').phase, 'Pending')
  t.equal(m.events.filter(e => e.includes('settings')).length, 1, 'told once')
  const settings = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'settings', namespace: 'default' },
    data: { size: '1' },
  } as const
  m.give(document([pod('a', spec)], { configMaps: [settings] }))
  m.run(100)
  t.equal(m.containerStatus('a').state?.waiting?.message, "couldn't find key color in ConfigMap default/settings")
  m.give(document([pod('a', spec)], { configMaps: [{ ...settings, data: { color: 'red' } }] }))
  m.run(100)
  t.same(m.running(), ['a/main#0'])
})

t.test('a missing ConfigMap volume holds the whole pod, and its deletion later holds nothing', async t => {
  const m = openModel()
  const spec = { volumes: [{ name: 'etc', configMap: { name: 'settings' } }] }
  const settings = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'settings', namespace: 'default' },
    data: { color: 'red' },
  } as const
  m.give(document([pod('a', spec)]))
  m.run(MINUTE)
  t.equal(m.containerStatus('a').state?.waiting?.reason, 'ContainerCreating')
  t.ok(m.events.includes('FailedMount: MountVolume.SetUp failed for volume "etc" : configmap "settings" not found'))
  m.give(document([pod('a', spec)], { configMaps: [settings] }))
  m.run(MINUTE)
  t.same(m.running(), ['a/main#0'])
  m.asked()
  m.give(document([pod('a', spec)], { configMaps: [{ ...settings, data: { color: 'blue' } }] }))
  m.run(MINUTE)
  t.same(m.asked(), ['writeVolumes a'], 'new content is written, nothing restarts')
  m.give(document([pod('a', spec)]))
  m.exit('a', 'main')
  m.run(MINUTE)
  t.same(m.running(), ['a/main#1'], 'what was mounted stays usable')
})

t.test('an image that is not on the device is waited for without polling', async t => {
  const m = openModel()
  m.give(
    document([
      pod('a', { containers: [container('main', { image: 'new:7' })] }),
      pod('b', { containers: [container('main', { image: 'new:7', imagePullPolicy: 'Never' })] }),
    ]),
  )
  m.run(60 * MINUTE)
  t.equal(m.containerStatus('a').state?.waiting?.reason, 'ImagePullBackOff')
  t.equal(m.containerStatus('b').state?.waiting?.reason, 'ErrImageNeverPull')
  m.imported('new:7')
  m.run(100)
  t.same(m.running(), ['a/main#0', 'b/main#0'])
})

t.test('deletion: stops with grace, reports gone, and forgets when the document does', async t => {
  const m = openModel()
  m.stubborn.add('main')
  m.give(document([pod('a'), pod('b')]))
  m.run(1000)
  m.give(document([pod('a', {}, { deletionTimestamp: '2026-11-22T10:00:31Z', deletionGracePeriodSeconds: 30 }), pod('b')]))
  m.run(29_000)
  t.same(m.running(), ['a/main#0', 'b/main#0'], 'within its grace')
  t.equal(m.containerStatus('a').ready, false, 'not ready while it ends')
  m.run(2000)
  t.same(m.running(), ['b/main#0'])
  t.match(m.reports.get('pod/uid-a'), { gone: true, status: { containerStatuses: [{ state: { terminated: { exitCode: 137 } } }] } })
  t.same([...m.folders], ['uid-b'])
  t.notOk(m.memories.has('uid-a'))
  m.give(document([pod('b')]))
  m.run(1000)
  t.notOk(m.reports.has('pod/uid-a'))
  t.notOk(m.state.pods.has('uid-a'))
  m.give(document([pod('b'), pod('c')]))
  m.run(1000)
  t.equal(m.status('c').podIP, '10.42.3.2', 'the address is free again')
})

t.test('force: a shorter grace overtakes a longer one', async t => {
  const m = openModel()
  m.stubborn.add('main')
  m.give(document([pod('a')]))
  m.run(1000)
  m.give(document([pod('a', {}, { deletionTimestamp: 'x', deletionGracePeriodSeconds: 30 })]))
  m.run(1000)
  m.give(document([pod('a', {}, { deletionTimestamp: 'x', deletionGracePeriodSeconds: 0 })]))
  m.run(200)
  t.same(m.running(), [])
})

t.test('absence from the document means delete', async t => {
  const m = openModel()
  m.give(document([pod('a'), pod('b')]))
  m.run(1000)
  m.give(document([pod('b')]))
  m.run(1000)
  t.same(m.running(), ['b/main#0'])
  t.same([...m.sandboxes], ['uid-b'])
  t.same([...m.memories.keys()], ['uid-b'])
})

t.test('a deleted pod that never ran here is reported gone', async t => {
  const m = openModel()
  m.give(document([pod('a', {}, { deletionTimestamp: 'x' })]))
  m.run(1000)
  t.match(m.reports.get('pod/uid-a'), { gone: true })
  t.same(m.asked(), ['configureNetwork'])
})

t.test('agent restart: what runs is adopted with its pid, nothing restarts', async t => {
  const m = openModel()
  const readinessProbe = { httpGet: { port: 80 }, periodSeconds: 10 }
  m.give(document([pod('a'), pod('b', { containers: [container('main', { readinessProbe })] })]))
  m.run(15_000)
  const pids = [...m.containers.values()].map(c => c.pid)
  const before = JSON.stringify([m.status('a'), m.status('b')])
  m.asked()
  m.restart()
  t.equal(JSON.stringify([m.status('a'), m.status('b')]), before, 'the same status at once: still ready')
  m.run(10 * MINUTE)
  t.same(
    m.asked().filter(a => !/^(configureNetwork|writeVolumes|attach)/.test(a)),
    [],
    'only idempotent set-up is looked at again',
  )
  t.same(
    [...m.containers.values()].map(c => c.pid),
    pids,
  )
  t.equal(JSON.stringify([m.status('a'), m.status('b')]), before)
})

t.test('containers killed while the agent was down are started at once and count as restarts', async t => {
  const m = openModel()
  m.give(document([pod('a'), pod('b')]))
  m.run(1000)
  for (let i = 0; i < 5; i++) {
    m.exit('a', 'main')
    m.run(6 * MINUTE)
  }
  const restarts = m.containerStatus('a').restartCount
  m.restart(() => {
    for (const [id, info] of m.containers)
      m.containers.set(id, { ...info, state: 'exited', exit: { exitCode: 137, oomKilled: false, finishedAtMs: 0 } })
  })
  m.run(200)
  t.equal(m.running().length, 2, 'both run again without a backoff of minutes')
  t.equal(m.containerStatus('a').restartCount, restarts + 1)
  t.equal(m.containerStatus('b').restartCount, 1)
  m.exit('a', 'main')
  m.run(MINUTE)
  t.equal(m.containerStatus('a').state?.waiting?.reason, 'CrashLoopBackOff', 'the backoff it had is remembered')
})

t.test('reboot with no server: every pod comes back with its address, init containers run again', async t => {
  const m = openModel()
  const spec = { initContainers: [container('setup')] }
  m.give(document([pod('x'), pod('a', spec)]))
  m.run(500)
  m.exit('a', 'setup', { exitCode: 0 })
  m.run(1000)
  t.same(m.running(), ['a/main#0', 'x/main#0'])
  const address = m.status('a').podIP
  m.asked()
  m.reboot()
  m.run(500)
  t.same(m.running(), ['a/setup#1', 'x/main#1'], 'the main container waits for its init container')
  m.exit('a', 'setup', { exitCode: 0 })
  m.run(500)
  t.same(m.running(), ['a/main#1', 'x/main#1'])
  t.equal(m.status('a').podIP, address)
  t.equal(m.containerStatus('a').lastState?.terminated?.reason, 'ContainerStatusUnknown')
  t.equal(m.containerStatus('a').restartCount, 1)
})

t.test('many power cuts are no failures of a container: its next end does not make it wait', async t => {
  const m = openModel()
  m.give(document([pod('a')]))
  m.run(1000)
  for (let cut = 0; cut < 8; cut++) {
    m.reboot()
    m.run(1000)
  }
  t.same(m.running(), ['a/main#8'])
  m.exit('a', 'main')
  m.run(1000)
  t.same(m.running(), ['a/main#9'])
})

t.test('reboot that also lost what the runtime knew: the memory brings everything back', async t => {
  const m = openModel()
  m.give(document([pod('a'), pod('done', { restartPolicy: 'Never' })]))
  m.run(1000)
  m.exit('done', 'main', { exitCode: 0 })
  m.run(1000)
  m.restart(() => {
    m.containers.clear()
    m.sandboxes.clear()
  })
  m.run(1000)
  t.same(m.running(), ['a/main#1'])
  t.equal(m.status('done').phase, 'Succeeded')
})

t.test('a new image restarts that container only, whatever the restart policy', async t => {
  const m = openModel()
  const spec = (image: string) => ({ restartPolicy: 'Never', containers: [container('main', { image }), container('other')] })
  m.give(document([pod('a', spec('app:1'))]))
  m.run(1000)
  m.give(document([pod('a', spec('app:2'))]))
  m.run(1000)
  t.same(m.running(), ['a/main#1', 'a/other#0'])
  t.equal(m.containerStatus('a').image, 'app:2')
  t.equal(m.containerStatus('a').restartCount, 1)
})

t.test('init containers run in order, a sidecar keeps running, main containers come last', async t => {
  const m = openModel()
  const initContainers = [container('one'), container('side', { restartPolicy: 'Always' }), container('two')]
  m.give(document([pod('a', { initContainers })]))
  m.run(500)
  t.same(m.running(), ['a/one#0'])
  t.equal(m.containerStatus('a').state?.waiting?.reason, 'PodInitializing')
  t.equal(m.status('a').phase, 'Pending')
  m.exit('a', 'one', { exitCode: 1 })
  m.run(500)
  t.same(m.running(), ['a/one#1'], 'a failed init container is tried again')
  m.exit('a', 'one', { exitCode: 0 })
  m.run(500)
  t.same(m.running(), ['a/side#0', 'a/two#0'])
  m.exit('a', 'two', { exitCode: 0 })
  m.run(500)
  t.same(m.running(), ['a/main#0', 'a/side#0'])
  t.equal(m.status('a').phase, 'Running')
  m.exit('a', 'side')
  m.run(500)
  t.same(m.running(), ['a/main#0', 'a/side#1'])
  m.asked()
  m.give(document([]))
  m.run(1000)
  t.same(
    m.asked(),
    ['stopContainer a main', 'stopContainer a side', 'removeSandbox a', 'removeVolumes a'],
    'the sidecar outlives the others',
  )
})

t.test('a failed init container with restart policy Never fails the pod', async t => {
  const m = openModel()
  m.give(document([pod('a', { restartPolicy: 'Never', initContainers: [container('one')] })]))
  m.run(500)
  m.exit('a', 'one', { exitCode: 2 })
  m.run(500)
  t.equal(m.status('a').phase, 'Failed')
  t.same(m.running(), [])
})

t.test('readiness: Ready only after the probe succeeded, not Ready after it failed', async t => {
  const m = openModel()
  m.probes.set('main', false)
  const readinessProbe = { httpGet: { port: 80 }, periodSeconds: 5, initialDelaySeconds: 3, failureThreshold: 2 }
  m.give(document([pod('a', { containers: [container('main', { readinessProbe })] })]))
  m.run(20_000)
  t.equal(m.containerStatus('a').ready, false)
  t.equal(m.status('a').conditions?.find(c => c.type === 'Ready')?.message, 'containers with unready status: [main]')
  m.probes.set('main', true)
  m.run(5000)
  t.equal(m.containerStatus('a').ready, true)
  m.probes.set('main', false)
  m.run(6000)
  t.equal(m.containerStatus('a').ready, true, 'one failure is below the threshold')
  m.run(5000)
  t.equal(m.containerStatus('a').ready, false)
  t.equal(m.containerStatus('a').restartCount, 0)
})

t.test('liveness: a container that fails is stopped and restarted; startup protects a slow start', async t => {
  const m = openModel()
  m.probes.set('main', false)
  const livenessProbe = { tcpSocket: { port: 80 }, periodSeconds: 1, failureThreshold: 3 }
  const startupProbe = { tcpSocket: { port: 80 }, periodSeconds: 10, failureThreshold: 30 }
  m.give(document([pod('a', { containers: [container('main', { livenessProbe, startupProbe })] })]))
  m.run(60_000)
  t.equal(m.containerStatus('a').restartCount, 0)
  t.equal(m.containerStatus('a').started, false)
  m.probes.set('main', true)
  m.run(15_000)
  t.equal(m.containerStatus('a').started, true)
  m.probes.set('main', false)
  m.run(5000)
  t.equal(m.containerStatus('a').restartCount, 1)
  t.ok(m.events.includes('Killing: Container main failed liveness probe, will be restarted'))
})

t.test('a start that fails is an attempt: StartError, then backoff', async t => {
  const m = openModel()
  m.broken.set('startContainer', 'exec: "/app": no such file')
  m.give(document([pod('a')]))
  m.run(5000)
  t.match(m.containerStatus('a'), {
    state: { waiting: { reason: 'CrashLoopBackOff' } },
    lastState: { terminated: { exitCode: 128, reason: 'StartError', message: 'exec: "/app": no such file' } },
    restartCount: 1,
  })
  m.broken.clear()
  m.run(20_000)
  t.same(m.running(), ['a/main#2'])
})

t.test('a step that fails is tried again later, and told once', async t => {
  const m = openModel()
  m.broken.set('createSandbox', 'no space left on device')
  m.give(document([pod('a')]))
  m.run(10 * MINUTE)
  const tries = m.asked().filter(a => a === 'createSandbox a').length
  t.ok(tries > 5 && tries < 15, `${tries} tries in 10 minutes`)
  t.equal(m.events.filter(e => e.startsWith('FailedCreatePodSandBox')).length, 1)
  m.broken.clear()
  m.run(3 * MINUTE)
  t.same(m.running(), ['a/main#0'])
})

t.test('a pod whose volumes cannot be written can still be deleted at once', async t => {
  const m = openModel()
  m.broken.set('writeVolumes', 'read-only file system')
  m.give(document([pod('a')]))
  m.run(10 * MINUTE)
  m.give(document([]))
  m.run(1000)
  t.notOk(m.state.pods.has('uid-a'))
})

t.test('active deadline: the pod fails, and a jump of the wall clock does not count', async t => {
  const m = openModel()
  m.give(document([pod('a', { activeDeadlineSeconds: 60 })]))
  m.run(59_000)
  t.same(m.running(), ['a/main#0'])
  m.run(3000)
  t.match(m.status('a'), { phase: 'Failed', reason: 'DeadlineExceeded' })
  t.same(m.running(), [])
})

t.test('pods on the host network need no range and have the device address', async t => {
  const m = openModel()
  m.give(document([pod('a', { hostNetwork: true }), pod('b')], { podCIDR: '' }))
  m.run(1000)
  t.same(m.running(), ['a/main#0'])
  t.equal(m.status('a').podIP, '192.0.2.7')
  t.ok(m.events.includes('FailedCreatePodSandBox: this device has no pod address range yet'))
  m.give(document([pod('a', { hostNetwork: true }), pod('b')]))
  m.run(1000)
  t.same(m.running(), ['a/main#0', 'b/main#0'])
})

t.test('leftovers of pods nobody knows are removed', async t => {
  const m = openModel()
  m.give(document([pod('a')]))
  m.run(1000)
  m.restart(() => {
    m.folders.add('uid-old')
    m.sandboxes.add('uid-older')
    m.containers.set('uid-older.main.3', {
      id: 'uid-older.main.3',
      podUid: 'uid-older',
      name: 'main',
      attempt: 3,
      init: false,
      image: 'app:1',
      imageID: 'i',
      state: 'running',
      logPath: '/l',
    })
  })
  m.run(1000)
  t.same(m.running(), ['a/main#0'])
  t.same([...m.folders], ['uid-a'])
  t.same([...m.sandboxes], ['uid-a'])
})

t.test('a container that was created and never started is cleared away, and the next attempt starts', async t => {
  const m = openModel()
  m.give(document([pod('a')]))
  m.run(50)
  m.restart(() => {
    m.sandboxes.add('uid-a')
    m.containers.set('uid-a.main.0', {
      id: 'uid-a.main.0',
      podUid: 'uid-a',
      name: 'main',
      attempt: 0,
      init: false,
      image: 'app:1',
      imageID: 'i',
      state: 'created',
      logPath: '/l',
    })
  })
  m.run(2000)
  t.same(m.running(), ['a/main#1'])
  t.equal(m.containers.size, 1)
})

t.test('readiness is asked for quickly until the first success, then at its period', async t => {
  const m = openModel()
  m.probes.set('main', false)
  const readinessProbe = { httpGet: { port: 80 }, periodSeconds: 30, failureThreshold: 1 }
  m.give(document([pod('a', { containers: [container('main', { readinessProbe })] })]))
  m.run(700)
  m.probes.set('main', true)
  m.run(1000)
  t.equal(m.containerStatus('a').ready, true)
  m.probes.set('main', false)
  m.run(20_000)
  t.equal(m.containerStatus('a').ready, true, 'not looked at before its period')
  m.run(15_000)
  t.equal(m.containerStatus('a').ready, false)
})

t.test('one pod nobody can make sense of does not hold up the others', async t => {
  const m = openModel()
  const odd = { ...pod('odd'), spec: { containers: [{ name: 'main', image: 'app:1', args: 'not a list' as unknown as string[] }] } }
  m.give(document([odd, pod('a')]))
  m.run(10 * MINUTE)
  t.same(m.running(), ['a/main#0'])
  t.equal(m.events.filter(e => e.startsWith('FailedSync')).length, 1)
})

t.test('quality of service follows requests and limits', async t => {
  const m = openModel()
  const of = (resources: object) => ({ containers: [container('main', { resources })] })
  const same = { cpu: '100m', memory: '1Mi' }
  m.give(
    document([
      pod('none'),
      pod('some', of({ requests: { cpu: '1' } })),
      pod('all', of({ limits: same })),
      pod('both', of({ limits: same, requests: { cpu: '0.1', memory: '1048576' } })),
      pod('less', of({ limits: same, requests: { cpu: '50m', memory: '1Mi' } })),
    ]),
  )
  m.run(1000)
  t.same(
    ['none', 'some', 'all', 'both', 'less'].map(name => m.status(name).qosClass),
    ['BestEffort', 'Burstable', 'Guaranteed', 'Guaranteed', 'Burstable'],
  )
})
