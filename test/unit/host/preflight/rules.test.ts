import t from 'tap'
import { overlap } from '../../../../src/host/preflight/facts.ts'
import { judge, type Situation } from '../../../../src/host/preflight/rules.ts'

const GIB = 2 ** 30
const good: Situation = {
  role: 'agent',
  uid: 0,
  kernel: '6.1.0-18-arm64',
  features: { overlay: 'yes', namespaces: 'yes', userNamespaces: 'yes', seccomp: 'yes', veth: 'yes', nat: 'yes' },
  cgroup: { version: 'v2', hybrid: false, controllers: new Set(['memory', 'cpu', 'pids']) },
  memoryBytes: 2 * GIB,
  swapBytes: 0,
  disk: {
    folder: '/var/lib',
    sizeBytes: 30 * GIB,
    freeBytes: 20 * GIB,
    freeInodes: 1_000_000,
    type: 'ext4',
    readOnly: false,
    fsync: { medianMs: 8, worstMs: 20 },
  },
  nowMs: Date.UTC(2027, 0, 1),
  builtMs: Date.UTC(2026, 10, 1),
  ntp: 'synchronised',
  hasRtc: true,
  ports: [],
  programs: {
    crun: 'crun version 1.8.1',
    conmon: 'conmon version 2.1.6',
    nft: 'nftables v1.0.6',
    ip: '',
    unshare: '',
    nsenter: '',
    mount: '',
    script: '',
  },
  entropy: 256,
  others: [],
  forwardDrop: false,
  flushesTables: false,
  routes: [],
  piCmdline: '/boot/firmware/cmdline.txt',
  server: undefined,
}

const troubled = (change: Partial<Situation>) => judge({ ...good, ...change }).filter(row => row.status !== 'ok')

t.test('a good board has nothing to complain about, as a device and as a server', async t => {
  t.same(troubled({}), [])
  t.same(troubled({ role: 'server', ports: [{ port: 6443, free: true, holder: undefined }] }), [])
})

t.test('every row that is not ok says what to do', async t => {
  const bad = troubled({
    uid: 1000,
    kernel: '4.9.0',
    features: { overlay: 'no', namespaces: 'no', userNamespaces: 'no', seccomp: 'no', veth: 'unseen', nat: 'no' },
    cgroup: { version: 'none', hybrid: false, controllers: new Set() },
    memoryBytes: GIB / 16,
    disk: { ...good.disk, type: 'vfat', freeBytes: 1, fsync: undefined },
    nowMs: 0,
    programs: {},
    entropy: 10,
    others: [{ name: 'k3s', found: 'k3s-server', running: true }],
    forwardDrop: true,
    flushesTables: true,
    routes: ['10.42.0.0/24 dev eth1'],
    server: { url: 'https://a', resolved: undefined, answeredMs: undefined, isHeliopause: false, dateMs: undefined, problem: 'ENOTFOUND' },
  })
  t.ok(bad.length > 14, String(bad.length))
  for (const row of bad) t.ok((row.fix ?? '').length > 10, row.check)
})

/** One thing is wrong: the row, how bad, and a word of its fix. */
const CASES: readonly (readonly [why: string, change: Partial<Situation>, check: string, status: string, fix: RegExp])[] = [
  [
    'a Pi without the memory controller',
    { cgroup: { version: 'v2', hybrid: false, controllers: new Set(['cpu', 'pids']) } },
    'control groups',
    'warn',
    /cgroup_enable=memory.*\/boot\/firmware\/cmdline\.txt/,
  ],
  [
    'no container programs',
    { programs: { ...good.programs, crun: undefined, conmon: undefined } },
    'container programs',
    'fail',
    /apt-get install crun conmon/,
  ],
  ['a clock of 1970', { nowMs: 0 }, 'clock', 'warn', /timedatectl/],
  ['a data folder on a stick', { disk: { ...good.disk, type: 'exfat' } }, 'file system', 'fail', /ext4/],
  ['a read-only disk', { disk: { ...good.disk, readOnly: true, fsync: undefined } }, 'file system', 'fail', /writable/],
  ['a worn card', { disk: { ...good.disk, fsync: { medianMs: 400, worstMs: 900 } } }, 'disk speed', 'warn', /card/],
  ['left-overs of k3s', { others: [{ name: 'k3s', found: '/etc/rancher/k3s', running: false }] }, 'other: k3s', 'warn', /k3s-uninstall/],
  ['a taken port', { ports: [{ port: 6443, free: false, holder: 'nginx (process 9)' }] }, 'port 6443', 'fail', /--port/],
  [
    'a clock apart from the server',
    { server: { url: 'https://a', resolved: '1.2.3.4', answeredMs: 5, isHeliopause: true, dateMs: 0, problem: undefined } },
    'clock',
    'warn',
    /set it/,
  ],
]

for (const [why, change, check, status, fix] of CASES)
  t.test(`${why} is told, and nothing else`, async t => {
    const rows = troubled(change)
    t.same(
      rows.map(row => `${row.check} ${row.status}`),
      [`${check} ${status}`],
    )
    t.match(rows[0]?.fix, fix)
  })

t.test('a server of ours on the port is no obstacle, docker beside it neither', async t => {
  t.same(troubled({ ports: [{ port: 6443, free: false, holder: '/usr/local/bin/helio server --config x (process 9)' }] }), [])
  t.same(troubled({ others: [{ name: 'docker', found: 'dockerd', running: true }] }), [])
})

t.test('ranges overlap when one holds the other', async t => {
  t.ok(overlap('10.42.3.0/24', '10.42.0.0/16') && overlap('10.0.0.0/8', '10.42.0.0/16') && overlap('10.42.0.1', '10.42.0.0/16'))
  t.notOk(overlap('10.43.0.0/16', '10.42.0.0/16') || overlap('192.168.0.0/16', '10.42.0.0/16'))
})
