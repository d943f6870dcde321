// Each rule of the doctor on paper: a healthy device has no finding, and each trouble has one that names it and says what to do.

import t from 'tap'
import { type DoctorFacts, diagnose } from '../../../src/agent/doctor.ts'
import { reasonOf } from '../../../src/agent/doctor-contact.ts'
import type { DeviceLinkClass, DevicePod, DeviceStatus } from '../../../src/kinds/device-shapes.ts'
import type { ContainerState, ContainerStatus } from '../../../src/kinds/pod.ts'

const NOW_MS = Date.parse('2026-11-22T10:00:00Z')
const DAY_MS = 86_400_000

const containerStatus = (state: ContainerState, more: Partial<ContainerStatus> = {}): ContainerStatus => ({
  name: 'main',
  state,
  lastState: {},
  ready: false,
  restartCount: 0,
  image: 'app:1',
  imageID: '',
  started: false,
  ...more,
})

const pod = (name: string, summary: string, status: ContainerStatus, ready = 0): DevicePod => ({
  namespace: 'cell',
  name,
  uid: name,
  desired: true,
  deleting: false,
  summary,
  ready: { ready, total: 1 },
  restarts: 0,
  status: { containerStatuses: [status] },
  containers: [],
})

const CLASS: DeviceLinkClass = { sentBytes: 10, receivedBytes: 10, budgetBytes: null, waiting: 0, dropped: 0 }

const STATUS: DeviceStatus = {
  nodeName: 'tower-1',
  version: 'v1',
  pid: 1,
  startedAt: '2026-11-22T09:00:00Z',
  server: { url: 'https://192.0.2.1:6443', joined: true, connected: true, lastContactSeconds: 1, lastError: null, conflict: null },
  head: { epoch: 'e', generation: 1, sha256: '' },
  runtime: { name: 'crun', version: 'crun://1' },
  podCIDR: '',
  pods: { total: 1, ready: 1 },
  holds: [],
  clock: { now: '2026-11-22T10:00:00Z', complaint: null },
  profile: 'normal',
  warnings: [],
}

const HEALTHY: DoctorFacts = {
  status: STATUS,
  pods: [pod('a', 'Running', containerStatus({ running: { startedAt: '2026-11-22T09:00:00Z' } }), 1)],
  link: {
    uplink: 'wwan0',
    profile: 'normal',
    allowBulk: null,
    bulkRefusal: null,
    ways: ['ws'],
    connected: true,
    state: 'open',
    lastContactSeconds: 1,
    lastError: null,
    nextDialSeconds: null,
    dials: 1,
    keepaliveSeconds: 300,
    contactIntervalSeconds: null,
    dayEndsInSeconds: 7000,
    perPriority: { control: CLASS, status: CLASS, events: CLASS, telemetry: CLASS, bulk: CLASS },
  },
  dataDir: '/data',
  keyLost: false,
  networkError: undefined,
  lastWords: new Map(),
  shortages: [],
  losses: [],
  missing: [],
  certificateEndsAtMs: NOW_MS + DAY_MS,
  nowMs: NOW_MS,
}

const server = (over: Partial<DeviceStatus['server']>): Partial<DoctorFacts> => ({
  status: { ...STATUS, server: { ...STATUS.server, ...over } },
})
const priority = (name: string, over: Partial<DeviceLinkClass>): Partial<DoctorFacts> => ({
  link: { ...HEALTHY.link, perPriority: { ...HEALTHY.link.perPriority, [name]: { ...CLASS, ...over } } },
})
const one = (...pods: DevicePod[]): Partial<DoctorFacts> => ({ pods })

t.test('a healthy device has no finding', async t => t.strictSame(diagnose(HEALTHY), []))

const CASES: readonly (readonly [rule: string, level: 'problem' | 'note', over: Partial<DoctorFacts>, what: RegExp, todo: RegExp])[] = [
  ['key-lost', 'problem', { keyLost: true }, /key of the state/, /put the key file back/],
  [
    'never-joined',
    'problem',
    server({ joined: false, connected: false, lastError: 'join: this device has never joined a server' }),
    /never joined a server$/,
    /--token/,
  ],
  [
    'never-joined',
    'problem',
    server({ joined: false, connected: false, lastError: 'join: https://x is not the server the token was made by' }),
    /made by another server/,
    /check --server/,
  ],
  [
    'conflict',
    'problem',
    server({ conflict: 'the server has an older state' }),
    /paused: the server has an older state/,
    /helio device resume/,
  ],
  [
    'no-contact',
    'problem',
    server({ connected: false, lastError: 'dial x:6443: getaddrinfo ENOTFOUND x' }),
    /name cannot be resolved/,
    /resolv.conf/,
  ],
  [
    'no-contact',
    'problem',
    server({ connected: false, lastError: 'dial x:6443: connection refused' }),
    /nothing listens there/,
    /is the server running/,
  ],
  ['no-contact', 'note', server({ connected: false }), /first dial is under way/, /again/],
  [
    'clock',
    'problem',
    { status: { ...STATUS, clock: { now: '2026-11-22T10:00:00Z', complaint: 'the clock is wrong' } } },
    /the clock is wrong/,
    /timedatectl.*2026-11-22/,
  ],
  ['shortage', 'problem', { shortages: ['the disk is nearly full: 1 MiB of 100 MiB are free'] }, /disk is nearly full/, /helio image list/],
  ['programs', 'problem', { missing: ['nft'] }, /missing: nft/, /apt-get install/],
  ['network', 'problem', { networkError: 'nft: no such table' }, /cannot be set up: nft/, /nft/],
  [
    'image-missing',
    'problem',
    one(pod('a', 'ImagePullBackOff', containerStatus({ waiting: { reason: 'ImagePullBackOff' } }))),
    /image app:1 is not on this device; wanted by cell\/a/,
    /helio image import FILE --data-dir \/data/,
  ],
  [
    'crash-loop',
    'problem',
    one(
      pod(
        'a',
        'CrashLoopBackOff',
        containerStatus(
          { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } },
          { restartCount: 4, lastState: { terminated: { exitCode: 3, reason: 'Error', message: 'starting\nno modem at /dev/ttyUSB0\n' } } },
        ),
      ),
    ),
    /main of cell\/a ends again and again \(exit code 3\), 4 restarts; its last words: no modem at \/dev\/ttyUSB0/,
    /helio device logs a -n cell -c main --previous/,
  ],
  [
    'set-up',
    'problem',
    one(pod('a', 'X', containerStatus({ waiting: { reason: 'CreateContainerConfigError', message: 'configmap "x" not found' } }))),
    /cannot start: configmap "x" not found/,
    /device pods/,
  ],
  [
    'held',
    'problem',
    {
      status: {
        ...STATUS,
        holds: [{ namespace: 'cell', name: 'a', uid: 'u', id: 'h', at: '2026-11-22T09:00:00Z', by: 'alice', reason: 'guard' }],
      },
    },
    /cell\/a is held by alice since 2026-11-22T09:00:00Z: guard/,
    /helio device resume a -n cell/,
  ],
  [
    'stopped-by-silence',
    'problem',
    one(pod('a', 'X', containerStatus({ waiting: { reason: 'DisconnectedStop' } }))),
    /server has been silent/,
    /helio device sync/,
  ],
  [
    'not-ready',
    'problem',
    one(pod('a', 'Running', containerStatus({ running: {} }))),
    /runs, but 1 container of it is not ready/,
    /readiness probe/,
  ],
  ['limits', 'problem', { losses: ['memory limits'] }, /memory limits/, /cgroup_enable/],
  [
    'budget',
    'problem',
    priority('status', { budgetBytes: 20, waiting: 3 }),
    /budget of normal for status is used up, 3 reports wait/,
    /in 2 hours/,
  ],
  ['nothing-desired', 'problem', { status: { ...STATUS, head: null } }, /no desired state/, /describe node/],
  ['certificate', 'note', { certificateEndsAtMs: NOW_MS - 3 * DAY_MS }, /ended 3 days ago/, /on contact/],
  ['dropped', 'note', priority('events', { dropped: 7 }), /7 events items dropped/, /./],
  ['warning', 'note', { status: { ...STATUS, warnings: ['state was repaired'] } }, /state was repaired/, /log/],
]

t.test('each trouble has exactly one finding, with what to do', async t => {
  for (const [rule, level, over, what, todo] of CASES) {
    const found = diagnose({ ...HEALTHY, ...over })
    t.match(found, [{ rule, level, what, todo }], `${rule}: ${what}`)
    t.equal(found.length, 1)
    for (const each of found) t.notMatch(`${each.what}${each.todo}`, '\n', 'one line')
  }
})

t.test('a container that left no message has its last words in its log', async t => {
  const ended = { exitCode: 3, reason: 'Error' }
  const status = containerStatus({ waiting: { reason: 'CrashLoopBackOff' } }, { lastState: { terminated: ended } })
  const lastWords = new Map([['cell/a/main', 'no modem\n']])
  t.match(diagnose({ ...HEALTHY, pods: [pod('a', 'CrashLoopBackOff', status)], lastWords }), [{ what: /its last words: no modem$/ }])
  t.match(diagnose({ ...HEALTHY, pods: [pod('a', 'CrashLoopBackOff', status)] }), [{ what: /0 restarts$/ }])
})

t.test('a device that calls only so often is not ill between its calls', async t => {
  const link = { ...HEALTHY.link, contactIntervalSeconds: 3600, connected: false }
  t.strictSame(diagnose({ ...HEALTHY, ...server({ connected: false }), link }), [])
})

t.test('pods that are leaving are no trouble; an image wanted twice is one', async t => {
  const waits = containerStatus({ waiting: { reason: 'ErrImageNeverPull' } })
  t.strictSame(diagnose({ ...HEALTHY, pods: [{ ...pod('a', 'Terminating', waits), desired: false }] }), [])
  t.match(diagnose({ ...HEALTHY, pods: [pod('a', 'X', waits), pod('b', 'X', waits)] }), [{ what: /wanted by cell\/a, cell\/b/ }])
})

t.test('what is said of shortages and clocks is said once, problems first', async t => {
  const found = diagnose({
    ...HEALTHY,
    shortages: ['the disk is full'],
    certificateEndsAtMs: NOW_MS - DAY_MS,
    status: { ...STATUS, warnings: ['the disk is full'], clock: { now: '', complaint: null } },
  })
  t.strictSame(
    found.map(each => each.rule),
    ['shortage', 'certificate'],
  )
})

t.test('the words of a failed dial are told in plain ones', async t => {
  for (const [said, why] of [
    ['dial h:1: getaddrinfo EAI_AGAIN h', /name cannot be resolved/],
    ['dial h:1: connection refused', /nothing listens/],
    ['dial h:1: connect ENETUNREACH 192.0.2.1:6443', /no way to it/],
    ['dial h:1: server is not trusted: its certificate is not signed by the pinned authority', /not the server this device joined/],
    ['dial h:1: the server has no node for this device (was it deleted?); --token joins it again', /does not know the key/],
    ['dial server: no answer in time', /does not answer/],
    ['dial h:1: connect ETIMEDOUT', /does not answer/],
    ['dial h:1: socket hang up', /does not answer/],
    ['busy', /busy/],
    ['the moon is full', /^the moon is full$/],
  ] as const)
    t.match(reasonOf(said).why, why, said)
})
