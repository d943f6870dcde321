// Compiles a ContainerSpec to an OCI runtime configuration. Pure: what the machine can do comes in as `facts`, paths as `layout`.
// Source: opencontainers/runtime-spec 1.0.2 config.md, config-linux.md; runtime facts.

import { CONTAINER_NOFILE, CONTAINER_PIDS_DEFAULT } from './limits.ts'
import type { ContainerSpec, Mount, SandboxSpec } from './runtime.ts'
import { compileSeccomp, type SeccompArch, seccompByName } from './seccomp.ts'

/** What this process may hand on to a container, learnt once at start. */
export interface MachineFacts {
  /** Names without CAP_ in the bounding set. */
  readonly capabilities: readonly string[]
  readonly seccompArch: SeccompArch | undefined
  readonly nofileHard: number
  /** The lowest oom_score_adj this process may give. */
  readonly oomScoreAdjMin: number
  /** Memory limits may include swap. */
  readonly swapAccounting: boolean
  /** Control group controllers of this kernel; a limit of another one is left out, as the container could not start with it. */
  readonly controllers: ReadonlySet<string>
}

export interface DeviceNode {
  readonly path: string
  readonly type: 'c' | 'b'
  readonly major: number
  readonly minor: number
  readonly fileMode: number
  readonly uid: number
  readonly gid: number
}

export interface BundleLayout {
  /** Absolute path of the mounted root file system. */
  readonly rootfs: string
  /** Pinned namespaces of the pod, where it has its own. */
  readonly namespaces: { readonly network?: string; readonly ipc?: string; readonly uts?: string; readonly pid?: string }
  /** Directory shared by the pod as /dev/shm. */
  readonly shm: string
  readonly cgroupsPath: string
  /** The host's device nodes, for privileged containers; empty otherwise. */
  readonly devices: readonly DeviceNode[]
}

const MASKED = ['acpi', 'asound', 'kcore', 'keys', 'latency_stats', 'timer_list', 'timer_stats', 'sched_debug', 'scsi', 'interrupts']
const READ_ONLY = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger']
const MASKED_SYS = ['/sys/firmware', '/sys/devices/virtual/powercap']
const CPU_PERIOD_US = 100_000
const CPU_QUOTA_US_MIN = 1_000

/** What a container's first process, and every process exec'd into it, runs as. */
export const compileProcess = (spec: ContainerSpec, facts: MachineFacts, change: { args?: readonly string[]; tty?: boolean } = {}) => {
  const held = new Set(facts.capabilities)
  const capabilities = (spec.privileged ? facts.capabilities : spec.capabilities.filter(name => held.has(name))).map(name => `CAP_${name}`)
  const nofile = Math.min(CONTAINER_NOFILE, facts.nofileHard)
  return {
    terminal: change.tty ?? spec.tty,
    user: { uid: spec.uid, gid: spec.gid, additionalGids: [...new Set([spec.gid, ...spec.supplementalGroups])] },
    args: [...(change.args ?? spec.args)],
    env: [...spec.env],
    cwd: spec.cwd === '' ? '/' : spec.cwd,
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities, inheritable: [], ambient: [] },
    noNewPrivileges: !spec.allowPrivilegeEscalation && !spec.privileged,
    rlimits: [{ type: 'RLIMIT_NOFILE', hard: nofile, soft: nofile }],
    oomScoreAdj: Math.max(spec.resources.oomScoreAdj ?? 0, facts.oomScoreAdjMin),
  }
}

const compileMount = (mount: Mount) => {
  const access = mount.readOnly ? 'ro' : 'rw'
  if (mount.type === 'tmpfs') {
    const size = mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`]
    return { destination: mount.destination, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777', ...size, access] }
  }
  return { destination: mount.destination, type: 'bind', source: mount.source, options: ['rbind', 'rprivate', access] }
}

const compileMounts = (spec: ContainerSpec, sandbox: SandboxSpec, layout: BundleLayout) => {
  const sysAccess = spec.privileged ? 'rw' : 'ro'
  // A new sysfs shows the network namespace it is mounted in; with the host's network the kernel refuses it to nobody but us.
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev/shm', type: 'bind', source: sandbox.hostIPC ? '/dev/shm' : layout.shm, options: ['rbind', 'rprivate', 'rw'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', sysAccess] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', 'relatime', sysAccess] },
    // Outer destinations first, so that a mount below another one is not hidden by it.
    ...[...spec.mounts].sort((a, b) => depth(a.destination) - depth(b.destination)).map(compileMount),
  ]
}

const depth = (path: string): number => path.split('/').filter(part => part !== '').length

/** Kubernetes' arithmetic: shares from the request, quota from the limit. */
const compileCpu = ({ cpuLimitMillis, cpuRequestMillis }: ContainerSpec['resources']) => ({
  shares: Math.min(262_144, Math.max(2, Math.floor(((cpuRequestMillis ?? 0) * 1024) / 1000))),
  ...(cpuLimitMillis === undefined
    ? {}
    : { quota: Math.max(CPU_QUOTA_US_MIN, Math.floor((cpuLimitMillis * CPU_PERIOD_US) / 1000)), period: CPU_PERIOD_US }),
})

const compileResources = (spec: ContainerSpec, facts: MachineFacts) => {
  const { memoryBytes, pids } = spec.resources
  const { controllers, swapAccounting } = facts
  return {
    devices: spec.privileged ? [{ allow: true, access: 'rwm' }] : [{ allow: false, access: 'rwm' }],
    ...(controllers.has('cpu') ? { cpu: compileCpu(spec.resources) } : {}),
    ...(memoryBytes === undefined || !controllers.has('memory')
      ? {}
      : { memory: { limit: memoryBytes, ...(swapAccounting ? { swap: memoryBytes } : {}) } }),
    ...(controllers.has('pids') ? { pids: { limit: pids ?? CONTAINER_PIDS_DEFAULT } } : {}),
  }
}

const compileNamespaces = (sandbox: SandboxSpec, layout: BundleLayout) => {
  const { network, ipc, uts, pid } = layout.namespaces
  return [
    { type: 'mount' },
    { type: 'cgroup' },
    ...(sandbox.hostPID ? [] : [{ type: 'pid', ...(pid === undefined ? {} : { path: pid }) }]),
    ...(sandbox.hostNetwork || network === undefined ? [] : [{ type: 'network', path: network }]),
    ...(sandbox.hostIPC || ipc === undefined ? [] : [{ type: 'ipc', path: ipc }]),
    ...(uts === undefined ? [] : [{ type: 'uts', path: uts }]),
  ]
}

const compileFilter = (spec: ContainerSpec, facts: MachineFacts) => {
  if (spec.privileged || spec.seccomp === 'Unconfined') return {}
  if (facts.seccompArch === undefined) return { seccomp: seccompByName(spec.capabilities) }
  const data = compileSeccomp(facts.seccompArch, spec.capabilities)
  return { bpf: btoa(String.fromCharCode(...data)) }
}

/** The whole `config.json`. */
export const compileBundle = (spec: ContainerSpec, sandbox: SandboxSpec, layout: BundleLayout, facts: MachineFacts) => {
  const { bpf, seccomp } = compileFilter(spec, facts)
  return {
    ociVersion: '1.0.2',
    process: compileProcess(spec, facts),
    root: { path: layout.rootfs, readonly: spec.readOnlyRootfs },
    mounts: compileMounts(spec, sandbox, layout),
    annotations: {
      'io.kubernetes.pod.uid': spec.podUid,
      'io.kubernetes.pod.name': spec.podName,
      'io.kubernetes.pod.namespace': spec.namespace,
      'io.kubernetes.container.name': spec.name,
      ...(bpf === undefined ? {} : { 'run.oci.seccomp_bpf_data': bpf }),
    },
    linux: {
      namespaces: compileNamespaces(sandbox, layout),
      cgroupsPath: layout.cgroupsPath,
      resources: compileResources(spec, facts),
      ...(seccomp === undefined ? {} : { seccomp }),
      ...(layout.devices.length > 0 ? { devices: layout.devices } : {}),
      maskedPaths: spec.privileged ? [] : [...MASKED.map(name => `/proc/${name}`), ...MASKED_SYS],
      readonlyPaths: spec.privileged ? [] : READ_ONLY.map(name => `/proc/${name}`),
    },
  }
}
