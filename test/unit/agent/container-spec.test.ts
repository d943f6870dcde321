// From manifest, image and surroundings to what the runtime gets.

import t from 'tap'
import { capabilities, type StartPlan, startPlan } from '../../../src/agent/container-spec.ts'
import type { Device, Surroundings } from '../../../src/agent/device.ts'
import { expand } from '../../../src/agent/env.ts'
import type { Waiting } from '../../../src/agent/pod-record.ts'
import type { Container, Pod } from '../../../src/kinds/pod.ts'
import { container, device, image, pod } from './model.ts'

const around: Surroundings = {
  podCIDR: '10.42.3.0/24',
  clusterCIDR: '10.42.0.0/16',
  configMap: (_namespace, name) =>
    name === 'settings'
      ? { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { color: 'red', 'not valid!': 'x' } }
      : undefined,
  secret: (_namespace, name) =>
    name === 'keys'
      ? { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: { token: Buffer.from('s3crät').toString('base64') } }
      : undefined,
}
const images = new Map([
  [
    'app:1',
    image('app:1', {
      entrypoint: ['/entry'],
      cmd: ['default'],
      env: ['PATH=/opt/bin', 'COLOR=image'],
      workingDir: '/srv',
      stopSignal: 'SIGINT',
    }),
  ],
  ['web:1', image('web:1', { user: 'web' })],
  ['bare:1', image('bare:1', { cmd: [] })],
])
const on: Device = device(images)
const start = (changes: Partial<Container> = {}, of: Pod = pod('a')): StartPlan => {
  const made = startPlan(of, container('main', changes), { init: false, attempt: 2, address: '10.42.3.9' }, on, around)
  if ('waiting' in made) throw new Error(made.waiting.message)
  return made
}
const waits = (changes: Partial<Container>, of: Pod = pod('a')): Waiting | undefined => {
  const made = startPlan(of, container('main', changes), { init: false, attempt: 0, address: undefined }, on, around)
  return 'waiting' in made ? made.waiting : undefined
}

t.test('command and args: the manifest overrides the image as Kubernetes says', async t => {
  t.same(start().spec.args, ['/entry', 'default'])
  t.same(start({ args: ['x'] }).spec.args, ['/entry', 'x'])
  t.same(start({ command: ['/c'] }).spec.args, ['/c'])
  t.same(start({ command: ['/c'], args: ['x'] }).spec.args, ['/c', 'x'])
  t.match(waits({ image: 'bare:1' }), { reason: 'CreateContainerError', message: 'no command specified' })
  t.equal(start().spec.cwd, '/srv')
  t.equal(start({ workingDir: '/w' }).spec.cwd, '/w')
  t.equal(start().spec.stopSignal, 'SIGINT')
})

t.test('variables: image first, then envFrom, then env, later ones win and expand earlier ones', async t => {
  const { env } = start({
    envFrom: [
      { prefix: 'S_', configMapRef: { name: 'settings' } },
      { secretRef: { name: 'keys' } },
      { configMapRef: { name: 'none', optional: true } },
    ],
    env: [
      { name: 'COLOR', value: 'green' },
      { name: 'BOTH', value: '$(COLOR)-$(token)-$$(COLOR)-$(NONE)' },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
      { name: 'OPTIONAL', valueFrom: { configMapKeyRef: { name: 'settings', key: 'zzz', optional: true } } },
    ],
  }).spec
  for (const line of [
    'PATH=/opt/bin',
    'COLOR=green',
    'S_color=red',
    'token=s3crät',
    'BOTH=green-s3crät-$(COLOR)-$(NONE)',
    'IP=10.42.3.9',
    'NODE=tower-1',
    'HOSTNAME=a',
  ])
    t.ok(env.includes(line), line)
  t.notOk(env.some(e => e.startsWith('S_not valid!') || e.startsWith('OPTIONAL')))
  t.equal(env.filter(e => e.startsWith('COLOR=')).length, 1)
})

t.test('expansion leaves what it does not know', async t => {
  const lookup = (name: string) => ({ A: '1' })[name]
  t.equal(expand('$(A) $$(A) $(B) $A $$ $( $(A', lookup), '1 $(A) $(B) $A $ $( $(A')
})

t.test('resource fields count in their divisor, and without a limit the device counts', async t => {
  const field = (resource: string, divisor?: string) => ({ valueFrom: { resourceFieldRef: { resource, ...(divisor ? { divisor } : {}) } } })
  const asked = {
    resources: { limits: { cpu: '1500m' }, requests: { memory: '64Mi' } },
    env: [
      { name: 'CPU', ...field('limits.cpu') },
      { name: 'MILLI', ...field('limits.cpu', '1m') },
      { name: 'REQ', ...field('requests.memory', '1Mi') },
      { name: 'ALL', ...field('limits.memory') },
    ],
  }
  const { env } = start(asked, pod('a', { containers: [container('main', asked)] })).spec
  for (const line of ['CPU=2', 'MILLI=1500', 'REQ=64', `ALL=${2 ** 31}`]) t.ok(env.includes(line), line)
})

t.test('what is missing is said in the upstream words', async t => {
  t.match(waits({ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'nope', key: 'k' } } }] }), {
    reason: 'CreateContainerConfigError',
    message: 'secret "nope" not found',
  })
  t.match(waits({ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'keys', key: 'k' } } }] }), {
    message: "couldn't find key k in Secret default/keys",
  })
  t.match(waits({ envFrom: [{ configMapRef: { name: 'nope' } }] }), { message: 'configmap "nope" not found' })
  t.match(waits({ volumeMounts: [{ name: 'v', mountPath: '/v' }] }), { message: /cannot find volume "v"/ })
})

t.test('user: manifest, else image; names come from the image; groups too', async t => {
  const who = ({ spec }: StartPlan) => [spec.uid, spec.gid, spec.supplementalGroups]
  t.same(who(start()), [0, 0, []])
  t.same(who(start({ image: 'web:1' })), [33, 34, [90]])
  t.same(who(start({ securityContext: { runAsUser: 1000 } })), [1000, 0, []])
  t.same(who(start({ securityContext: { runAsUser: 33 } })), [33, 34, [90]])
  t.same(
    who(
      start(
        { securityContext: { runAsUser: 7, runAsGroup: 8 } },
        pod('a', { securityContext: { runAsUser: 1, supplementalGroups: [5, 8], fsGroup: 6 } }),
      ),
    ),
    [7, 8, [5, 6]],
  )
  t.ok(start({ image: 'web:1' }).spec.env.includes('HOME=/srv'))
  t.match(waits({ securityContext: { runAsNonRoot: true } }), {
    reason: 'CreateContainerConfigError',
    message: /runAsNonRoot and image will run as root/,
  })
  t.equal(waits({ image: 'web:1', securityContext: { runAsNonRoot: true } }), undefined)
  images.set('odd:1', image('odd:1', { user: 'nobody-knows' }))
  t.match(waits({ image: 'odd:1' }), { message: /unable to find user nobody-knows/ })
})

t.test('capabilities: the default set, more, less, none, all', async t => {
  const of = (securityContext: Container['securityContext']) => capabilities(container('main', securityContext ? { securityContext } : {}))
  t.equal(of(undefined).length, 14)
  t.notOk(of(undefined).includes('SYS_ADMIN'))
  t.same(of({ capabilities: { drop: ['ALL'] } }), [])
  t.same(of({ capabilities: { drop: ['all'], add: ['CAP_NET_BIND_SERVICE'] } }), ['NET_BIND_SERVICE'])
  t.notOk(of({ capabilities: { drop: ['NET_RAW'] } }).includes('NET_RAW'))
  t.ok(of({ capabilities: { add: ['ALL'], drop: ['SYS_BOOT'] } }).includes('SYS_ADMIN'))
  t.notOk(of({ capabilities: { add: ['ALL'], drop: ['SYS_BOOT'] } }).includes('SYS_BOOT'))
  t.ok(of({ privileged: true }).length > 40)
})

t.test('the rest of the security context', async t => {
  const { spec } = start({
    securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, seccompProfile: { type: 'Unconfined' } },
  })
  t.match(spec, { readOnlyRootfs: true, allowPrivilegeEscalation: false, seccomp: 'Unconfined', privileged: false })
  t.match(start().spec, { readOnlyRootfs: false, allowPrivilegeEscalation: true, seccomp: 'RuntimeDefault' })
  t.match(start({ securityContext: { privileged: true } }).spec, {
    privileged: true,
    seccomp: 'Unconfined',
    allowPrivilegeEscalation: true,
  })
  t.match(waits({ securityContext: { seccompProfile: { type: 'Localhost' } } }), { reason: 'CreateContainerConfigError' })
})

t.test('mounts: volumes, host paths, sub-paths, /etc files unless taken, last words', async t => {
  const of = pod('a', {
    volumes: [
      { name: 'etc', configMap: { name: 'settings' } },
      { name: 'host', hostPath: { path: '/var/x' } },
      { name: 'e', emptyDir: {} },
    ],
  })
  const plan = start(
    {
      env: [{ name: 'WHO', value: 'me' }],
      volumeMounts: [
        { name: 'etc', mountPath: '/etc/hosts', subPath: 'hosts' },
        { name: 'host', mountPath: '/h', readOnly: true },
        { name: 'e', mountPath: 'data', subPathExpr: 'of/$(WHO)' },
      ],
    },
    of,
  )
  t.match(plan.spec.mounts, [
    { source: '/data/pods/uid-a/volumes/etc/hosts', destination: '/etc/hosts', readOnly: true },
    { source: '/var/x', destination: '/h', readOnly: true },
    { source: '/data/pods/uid-a/volumes/e/of/me', destination: '/data', readOnly: false },
    { destination: '/etc/hostname' },
    { destination: '/etc/resolv.conf' },
    { source: '/data/pods/uid-a/termination/main.2', destination: '/dev/termination-log' },
  ])
  t.same(
    plan.subPaths.map(s => [s.mount, s.subPath]),
    [
      [0, 'hosts'],
      [2, 'of/me'],
    ],
  )
  for (const subPath of ['../x', 'a/../../x', '/etc'])
    t.match(waits({ volumeMounts: [{ name: 'e', mountPath: '/d', subPath }] }, of), { message: /leaves the volume/ }, subPath)
})

t.test('resources become bytes and thousandths; attempt and log path are the identity', async t => {
  const { spec } = start({ resources: { limits: { memory: '64Mi', cpu: '0.5' }, requests: { cpu: '100m' } } })
  t.same(spec.resources, { memoryBytes: 64 * 1024 * 1024, cpuLimitMillis: 500, cpuRequestMillis: 100 })
  t.same(start().spec.resources, {})
  t.equal(spec.logPath, '/data/logs/default_a_uid-a/main/2.log')
  t.equal(spec.attempt, 2)
})
