// What this machine and this process may hand on to containers, learnt once at start.

import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DeviceNode, MachineFacts } from './bundle.ts'
import type { CgroupLayout } from './cgroup.ts'

/** In the order of their numbers, capabilities(7). */
const CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN ' +
  'NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME ' +
  'SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON ' +
  'BPF CHECKPOINT_RESTORE'
).split(' ')

/** Names of the bits of a hexadecimal capability mask; bits newer than the table have none. Pure. */
export const capabilityNames = (mask: string): readonly string[] => {
  const bits = BigInt(`0x${mask}`)
  return CAPABILITIES.filter((_, bit) => (bits >> BigInt(bit)) & 1n)
}

const statusField = (name: string): string =>
  new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'

const nofileHard = (): number => {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return hard === undefined || hard === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(hard)
}

const ARCH: Readonly<Record<string, MachineFacts['seccompArch']>> = { x64: 'x86_64', arm64: 'aarch64' }

export const detectFacts = (layout: CgroupLayout): MachineFacts => {
  const capabilities = capabilityNames(statusField('CapBnd'))
  const mayRaise = capabilityNames(statusField('CapEff')).includes('SYS_RESOURCE')
  return {
    capabilities,
    seccompArch: ARCH[process.arch],
    nofileHard: mayRaise ? Number.MAX_SAFE_INTEGER : nofileHard(),
    oomScoreAdjMin: mayRaise ? -1000 : Number(readFileSync('/proc/self/oom_score_adj', 'utf8')),
    swapAccounting: layout.swapAccounting,
    controllers: layout.controllers,
  }
}

const SKIPPED = new Set([
  'pts',
  'shm',
  'mqueue',
  'fd',
  'console',
  'ptmx',
  'null',
  'zero',
  'full',
  'tty',
  'random',
  'urandom',
  'core',
  'stdin',
  'stdout',
  'stderr',
])

/** The host's device nodes, for privileged containers; the standard ones crun makes itself are left out. */
export const hostDevices = (dir = '/dev'): readonly DeviceNode[] =>
  readdirSync(dir, { withFileTypes: true }).flatMap(entry => {
    const path = join(dir, entry.name)
    if (dir === '/dev' && SKIPPED.has(entry.name)) return []
    if (entry.isDirectory()) return hostDevices(path)
    if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return []
    const { rdev, mode, uid, gid } = lstatSync(path, { bigint: false })
    const major = ((rdev >> 8) & 0xfff) | (Math.floor(rdev / 2 ** 32) & ~0xfff)
    const minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00)
    return [{ path, type: entry.isBlockDevice() ? 'b' : 'c', major, minor, fileMode: mode & 0o7777, uid, gid }] as const
  })
