// The RuntimeDefault seccomp profile as a compiled BPF program: an allow-list by capability, no new namespaces, no io_uring, no key
// rings. Pure; deterministic for its arguments. Sources: seccomp(2), linux/filter.h, linux/seccomp.h, capabilities(7).

import { SYSCALL_MAX_KNOWN, SYSCALLS, type SyscallNumbers } from './syscalls.ts'

export type SeccompArch = keyof SyscallNumbers

const AUDIT_ARCH: Readonly<Record<SeccompArch, number>> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 }
/** On x86_64 the x32 ABI sets this bit in the call number. */
const X32_BIT = 0x40000000

const RET_KILL_PROCESS = 0x80000000
const RET_ALLOW = 0x7fff0000
const RET_ERRNO = 0x00050000
const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97

/** CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET. */
const CLONE_NEW_MASK = 0x7e020000
/** PER_LINUX, PER_LINUX32, UNAME26, both, and the query. */
const PERSONALITIES = [0, 8, 0x20000, 0x20008, 0xffffffff]
/** AF_ALG (kernel crypto) and AF_VSOCK (the hypervisor's side door). */
const DENIED_FAMILIES = [38, 40]
/** TIOCSTI and TIOCLINUX push characters into somebody else's terminal. */
const DENIED_IOCTLS = [0x5412, 0x541c]

/** Calls that need a capability to be of use: allowed only with it. All others of the table are allowed to everyone. */
const BY_CAPABILITY: Readonly<Record<string, readonly string[]>> = {
  SYS_ADMIN: [
    ...['bpf', 'fanotify_init', 'fsconfig', 'fsmount', 'fsopen', 'fspick', 'mount', 'mount_setattr', 'move_mount', 'open_tree'],
    ...[
      'perf_event_open',
      'quotactl',
      'quotactl_fd',
      'setdomainname',
      'sethostname',
      'setns',
      'syslog',
      'umount2',
      'unshare',
      'pivot_root',
    ],
    'clone3',
  ],
  DAC_READ_SEARCH: ['open_by_handle_at'],
  SYS_BOOT: ['reboot'],
  SYS_CHROOT: ['chroot'],
  SYS_MODULE: ['delete_module', 'init_module', 'finit_module'],
  SYS_PACCT: ['acct'],
  SYS_PTRACE: ['kcmp', 'pidfd_getfd', 'process_madvise', 'process_vm_readv', 'process_vm_writev', 'ptrace'],
  SYS_RAWIO: ['iopl', 'ioperm'],
  SYS_TIME: ['settimeofday', 'clock_settime', 'adjtimex', 'clock_adjtime'],
  SYS_TTY_CONFIG: ['vhangup'],
  SYS_NICE: ['get_mempolicy', 'mbind', 'set_mempolicy', 'set_mempolicy_home_node', 'move_pages', 'migrate_pages'],
  SYSLOG: ['syslog'],
  BPF: ['bpf'],
  PERFMON: ['perf_event_open'],
}
const GATED: ReadonlySet<string> = new Set(Object.values(BY_CAPABILITY).flat())

/** Spellings that only 32-bit architectures have; for profiles that libseccomp compiles. */
const NAMES_32 = (
  'chown32 clock_getres_time64 clock_gettime64 clock_nanosleep_time64 fadvise64_64 fchown32 fcntl64 fstat64 fstatat64 fstatfs64 ftruncate64 ' +
  'futex_time64 getegid32 geteuid32 getgid32 getgroups32 getresgid32 getresuid32 getuid32 io_pgetevents_time64 ipc lchown32 _llseek lstat64 ' +
  'mmap2 mq_timedreceive_time64 mq_timedsend_time64 _newselect ppoll_time64 pselect6_time64 recv recvmmsg_time64 rt_sigtimedwait_time64 ' +
  'sched_rr_get_interval_time64 semtimedop_time64 send sendfile64 setfsgid32 setfsuid32 setgid32 setgroups32 setregid32 setresgid32 ' +
  'setresuid32 setreuid32 setuid32 sigaction signal sigpending sigprocmask sigreturn sigsuspend socketcall stat64 statfs64 sync_file_range2 ' +
  'timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 truncate64 ugetrlimit utimensat_time64 waitpid arm_fadvise64_64 ' +
  'arm_sync_file_range breakpoint cacheflush set_tls'
).split(' ')

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number]
type Program = readonly Instruction[]

const load = (offset: number): Instruction => [0x20, 0, 0, offset]
const ret = (value: number): Instruction => [0x06, 0, 0, value]
const errno = (value: number): Instruction => ret(RET_ERRNO | value)
const ARG0 = 16
const ARG1 = 24

/** `hit` when the loaded word is one of the values, else `miss`. */
const oneOf = (offset: number, values: readonly number[], hit: Instruction, miss: Instruction): Program => [
  load(offset),
  ...values.map((value, i): Instruction => [0x15, values.length - i, 0, value]),
  miss,
  hit,
]

const ALLOW: Program = [ret(RET_ALLOW)]

/** What becomes of an allowed call: most simply pass, some are looked at. */
const verdict = (name: string, admin: boolean): Program => {
  if (name === 'clone' && !admin) return [load(ARG0), [0x45, 0, 1, CLONE_NEW_MASK], errno(EPERM), ret(RET_ALLOW)]
  if (name === 'personality') return oneOf(ARG0, PERSONALITIES, ret(RET_ALLOW), errno(EPERM))
  if (name === 'socket') return oneOf(ARG0, DENIED_FAMILIES, errno(EAFNOSUPPORT), ret(RET_ALLOW))
  if (name === 'ioctl') return oneOf(ARG1, DENIED_IOCTLS, errno(EPERM), ret(RET_ALLOW))
  return ALLOW
}

const allowedNames = (capabilities: readonly string[]): readonly string[] => {
  const granted = new Set(capabilities.flatMap(capability => BY_CAPABILITY[capability] ?? []))
  return [...SYSCALLS.keys()].filter(name => !GATED.has(name) || granted.has(name))
}

interface Interval {
  readonly from: number
  readonly program: Program
}

/** The whole number line cut into runs of one verdict, ascending, starting at 0. */
const intervals = (arch: SeccompArch, capabilities: readonly string[]): readonly Interval[] => {
  const verdicts = new Map<number, Program>()
  const clone3 = SYSCALLS.get('clone3')?.[arch]
  // clone3 passes its flags in memory, where BPF cannot look: ENOSYS makes libc use clone.
  if (clone3 !== undefined) verdicts.set(clone3, [errno(ENOSYS)])
  const admin = capabilities.includes('SYS_ADMIN')
  for (const name of allowedNames(capabilities)) {
    const number = SYSCALLS.get(name)?.[arch]
    if (number !== undefined) verdicts.set(number, verdict(name, admin))
  }
  const denied: Program = [errno(EPERM)]
  const runs: Interval[] = []
  for (let number = 0; number <= SYSCALL_MAX_KNOWN; number++) {
    const program = verdicts.get(number) ?? denied
    if (runs.at(-1)?.program !== program) runs.push({ from: number, program })
  }
  runs.push({ from: SYSCALL_MAX_KNOWN + 1, program: [errno(ENOSYS)] })
  return runs
}

/** A binary search over the intervals: about eight comparisons a call instead of a hundred. */
const search = (runs: readonly Interval[]): Program => {
  if (runs.length === 1) return runs[0]!.program
  const middle = runs.length >> 1
  const low = search(runs.slice(0, middle))
  const high = search(runs.slice(middle))
  // A conditional jump reaches 255 instructions; beyond that an unconditional one carries it.
  const jump: Program =
    low.length <= 255
      ? [[0x35, low.length, 0, runs[middle]!.from]]
      : [
          [0x35, 0, 1, runs[middle]!.from],
          [0x05, 0, 0, low.length],
        ]
  return [...jump, ...low, ...high]
}

/** The filter as the kernel takes it (struct sock_filter[], little endian). Capabilities as names without CAP_. */
export const compileSeccomp = (arch: SeccompArch, capabilities: readonly string[]): Uint8Array => {
  const program: Program = [
    load(4),
    [0x15, 1, 0, AUDIT_ARCH[arch]],
    ret(RET_KILL_PROCESS),
    load(0),
    ...(arch === 'x86_64' ? [[0x35, 0, 1, X32_BIT] as const, errno(ENOSYS)] : []),
    ...search(intervals(arch, capabilities)),
  ]
  const bytes = new Uint8Array(program.length * 8)
  const view = new DataView(bytes.buffer)
  program.forEach(([code, jumpTrue, jumpFalse, k], i) => {
    view.setUint16(i * 8, code, true)
    view.setUint8(i * 8 + 2, jumpTrue)
    view.setUint8(i * 8 + 3, jumpFalse)
    view.setUint32(i * 8 + 4, k >>> 0, true)
  })
  return bytes
}

/** The same profile by names, as `linux.seccomp` of the OCI configuration: for architectures without a number table (libseccomp resolves). */
export const seccompByName = (capabilities: readonly string[]) => {
  const inspected = capabilities.includes('SYS_ADMIN') ? ['personality', 'socket', 'ioctl'] : ['clone', 'personality', 'socket', 'ioctl']
  const allow = 'SCMP_ACT_ALLOW'
  const not = (index: number, value: number) => ({ index, value, op: 'SCMP_CMP_NE' })
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [
      { names: [...allowedNames(capabilities).filter(name => !inspected.includes(name)), ...NAMES_32], action: allow },
      ...(inspected.includes('clone')
        ? [
            { names: ['clone'], action: allow, args: [{ index: 0, value: CLONE_NEW_MASK, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }] },
            { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
          ]
        : []),
      ...PERSONALITIES.map(value => ({ names: ['personality'], action: allow, args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }] })),
      { names: ['socket'], action: allow, args: DENIED_FAMILIES.map(value => not(0, value)) },
      { names: ['ioctl'], action: allow, args: DENIED_IOCTLS.map(value => not(1, value)) },
    ],
  }
}
