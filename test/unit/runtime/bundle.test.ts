import t from 'tap'
import { compileBundle, compileProcess, type MachineFacts } from '../../../src/runtime/bundle.ts'
import type { ContainerSpec, SandboxSpec } from '../../../src/runtime/runtime.ts'

const facts: MachineFacts = {
  capabilities: ['CHOWN', 'KILL', 'SYS_ADMIN'],
  seccompArch: 'x86_64',
  nofileHard: 20_000,
  oomScoreAdjMin: 0,
  swapAccounting: true,
  controllers: new Set(['memory', 'cpu', 'pids']),
}
const sandbox: SandboxSpec = {
  ...{ uid: 'u', namespace: 'ns', name: 'pod', hostname: 'pod', sysctls: {} },
  ...{ hostNetwork: false, hostPID: false, hostIPC: false, shareProcessNamespace: false },
}
const spec = (change: Partial<ContainerSpec> = {}): ContainerSpec => ({
  ...{ podUid: 'u', namespace: 'ns', podName: 'pod', name: 'c', attempt: 0, init: false, image: 'i', imageID: 'd', layers: ['/l'] },
  ...{
    args: ['run'],
    env: ['A=1'],
    cwd: '/w',
    uid: 1,
    gid: 2,
    supplementalGroups: [3],
    mounts: [],
    readOnlyRootfs: true,
    privileged: false,
  },
  ...{
    allowPrivilegeEscalation: false,
    capabilities: ['CHOWN', 'NET_RAW'],
    seccomp: 'RuntimeDefault',
    resources: {},
    tty: false,
    logPath: '/log',
    hostname: 'pod',
  },
  ...change,
})
const layout = {
  rootfs: '/r',
  namespaces: { network: '/n/net', ipc: '/n/ipc', uts: '/n/uts' },
  shm: '/shm',
  cgroupsPath: '/helio/u/c_0',
  devices: [],
}
const compile = (change: Partial<ContainerSpec> = {}, pod: Partial<SandboxSpec> = {}, machine: Partial<MachineFacts> = {}) =>
  compileBundle(spec(change), { ...sandbox, ...pod }, layout, { ...facts, ...machine })

t.test('the process is the spec’s, within what the machine may give', async t => {
  t.same(compileProcess(spec({ resources: { oomScoreAdj: -900 } }), facts), {
    terminal: false,
    user: { uid: 1, gid: 2, additionalGids: [2, 3] },
    args: ['run'],
    env: ['A=1'],
    cwd: '/w',
    capabilities: { bounding: ['CAP_CHOWN'], effective: ['CAP_CHOWN'], permitted: ['CAP_CHOWN'], inheritable: [], ambient: [] },
    noNewPrivileges: true,
    rlimits: [{ type: 'RLIMIT_NOFILE', hard: 20_000, soft: 20_000 }],
    oomScoreAdj: 0,
  })
})

t.test('a pod’s namespaces are joined, the host’s are not touched', async t => {
  const types = (pod: Partial<SandboxSpec>) =>
    compile({}, pod).linux.namespaces.map(({ type, ...rest }) => [type, ...Object.values(rest)].join(' '))
  t.same(types({}), ['mount', 'cgroup', 'pid', 'network /n/net', 'ipc /n/ipc', 'uts /n/uts'])
  t.same(types({ hostNetwork: true, hostPID: true, hostIPC: true }), ['mount', 'cgroup', 'uts /n/uts'])
})

t.test('resources follow Kubernetes’ arithmetic', async t => {
  const { resources } = compile({ resources: { memoryBytes: 1000, cpuLimitMillis: 250, cpuRequestMillis: 100, pids: 5 } }).linux
  t.same(resources, {
    devices: [{ allow: false, access: 'rwm' }],
    cpu: { shares: 102, quota: 25_000, period: 100_000 },
    memory: { limit: 1000, swap: 1000 },
    pids: { limit: 5 },
  })
  t.same(
    compile({ resources: { cpuLimitMillis: 1 } }).linux.resources.cpu,
    { shares: 2, quota: 1000, period: 100_000 },
    'the kernel’s least quota',
  )
  t.notOk('swap' in (compile({ resources: { memoryBytes: 9 } }, {}, { swapAccounting: false }).linux.resources.memory ?? {}))
  const bare = compile({ resources: { memoryBytes: 9, cpuLimitMillis: 100, pids: 5 } }, {}, { controllers: new Set() }).linux.resources
  t.same(Object.keys(bare), ['devices'], 'what the kernel cannot limit is left out')
})

t.test('the filter is compiled, left to libseccomp on unknown machines, or absent', async t => {
  t.ok(compile().annotations['run.oci.seccomp_bpf_data' as never])
  t.notOk('seccomp' in compile().linux)
  t.ok('seccomp' in compile({}, {}, { seccompArch: undefined }).linux)
  for (const change of [{ seccomp: 'Unconfined' }, { privileged: true }] as const) {
    t.notOk('run.oci.seccomp_bpf_data' in compile(change).annotations)
    t.notOk('seccomp' in compile(change, {}, { seccompArch: undefined }).linux)
  }
})

t.test('privileged takes everything this process holds and hides nothing', async t => {
  const { process, linux } = compile({ privileged: true })
  t.same(process.capabilities.effective, ['CAP_CHOWN', 'CAP_KILL', 'CAP_SYS_ADMIN'])
  t.equal(process.noNewPrivileges, false)
  t.same([linux.maskedPaths, linux.readonlyPaths], [[], []])
})

t.test('a mount below another one comes after it', async t => {
  const mounts = [
    { source: '/b', destination: '/data/inner', readOnly: true },
    { source: '/a', destination: '/data', readOnly: false },
    { source: 'tmpfs', destination: '/cache', readOnly: false, type: 'tmpfs' as const, sizeBytes: 10 },
  ]
  const compiled = compile({ mounts }).mounts.slice(-3)
  t.same(
    compiled.map(mount => mount.destination),
    ['/data', '/cache', '/data/inner'],
  )
  t.same(compiled[2]?.options, ['rbind', 'rprivate', 'ro'])
  t.ok(compiled[1]?.options.includes('size=10'))
})
