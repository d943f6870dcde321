// What a machine shows of itself before anything is installed: read from /proc, tried in namespaces that end with the try, measured on the
// disk. Works as a plain user, who sees less: what could not be seen is undefined, never guessed.

import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Exec } from '../../base/exec.ts'
import { type DiskFacts, diskFacts } from './disk.ts'
import { TRY_MS_MAX } from './limits.ts'
import { type ReachFacts, reach } from './reach.ts'
import { textOf } from './text.ts'

export type Tried = 'yes' | 'no' | 'unseen'

export interface PortFacts {
  readonly port: number
  readonly free: boolean
  /** The command line of who has it, as far as this user sees. */
  readonly holder: string | undefined
}

export interface Facts {
  readonly uid: number
  readonly kernel: string
  /** By name of the feature. */
  readonly features: Readonly<Record<'overlay' | 'namespaces' | 'userNamespaces' | 'seccomp' | 'veth' | 'nat', Tried>>
  readonly memoryBytes: number
  readonly swapBytes: number
  readonly disk: DiskFacts
  readonly nowMs: number
  readonly ntp: 'synchronised' | 'not synchronised' | 'none'
  readonly hasRtc: boolean
  readonly ports: readonly PortFacts[]
  /** Output of `--version` by program; undefined when it is not there. */
  readonly programs: Readonly<Record<string, string | undefined>>
  readonly entropy: number | undefined
  /** Others that look after containers: names of what was found, running or left over. */
  readonly others: readonly { readonly name: string; readonly found: string; readonly running: boolean }[]
  readonly forwardDrop: boolean
  readonly flushesTables: boolean
  /** Routes that overlap with the addresses of pods. */
  readonly routes: readonly string[]
  readonly piCmdline: string | undefined
  readonly server: ReachFacts | undefined
}

export interface FactsDeps {
  readonly exec: Exec
  readonly clock: Clock
}

const tryRun = async ({ exec }: FactsDeps, command: string, args: readonly string[], input?: string): Promise<Tried> => {
  if (exec.find(command) === undefined) return 'unseen'
  try {
    const { code } = await exec.run(command, args, { timeoutMs: TRY_MS_MAX, ...(input === undefined ? {} : { input }) })
    return code === 0 ? 'yes' : 'no'
  } catch (error) {
    if (error instanceof Error) return 'unseen'
    throw error
  }
}

/** Built in, loaded, or there to be loaded. */
const hasModule = (name: string): boolean => {
  if (existsSync(`/sys/module/${name}`)) return true
  const dir = `/lib/modules/${release()}`
  return ['modules.builtin', 'modules.dep'].some(file => new RegExp(`/${name}\\.ko`).test(textOf(join(dir, file)) ?? ''))
}

const TABLE = 'table ip helio_try {\n chain c {\n type nat hook postrouting priority srcnat; policy accept;\n masquerade\n }\n}\n'

/** Tries in namespaces of their own, which end with the try. A plain user makes a user namespace for it, where that is allowed. */
const features = async (deps: FactsDeps, uid: number): Promise<Facts['features']> => {
  const ns = (...kinds: string[]): readonly string[] => [...(uid === 0 ? [] : ['-r']), ...kinds]
  const userNamespaces = await tryRun(deps, 'unshare', ['-r', 'true'])
  const blind = uid !== 0 && userNamespaces !== 'yes'
  const inside = async (module: string, kinds: readonly string[], command: readonly string[], input?: string): Promise<Tried> => {
    const tried =
      blind || deps.exec.find(command[0] ?? '') === undefined ? 'unseen' : await tryRun(deps, 'unshare', [...kinds, ...command], input)
    if (tried === 'yes') return 'yes'
    // It can be there and not be loaded, or not be for this user to try.
    return hasModule(module) ? 'yes' : tried === 'no' && uid === 0 ? 'no' : 'unseen'
  }
  const overlays = /\boverlay$/m.test(textOf('/proc/filesystems') ?? '') || hasModule('overlay')
  const seccomp = existsSync('/proc/sys/kernel/seccomp/actions_avail') || /^Seccomp:/m.test(textOf('/proc/self/status') ?? '')
  const kinds = ['net', 'mnt', 'pid', 'uts', 'ipc', 'cgroup'].every(name => existsSync(`/proc/self/ns/${name}`))
  const [veth, nat] = await Promise.all([
    inside('veth', ns('-n'), ['ip', 'link', 'add', 'helio0', 'type', 'veth', 'peer', 'name', 'helio1']),
    inside('nft_masq', ns('-n'), ['nft', '-f', '-'], TABLE),
  ])
  return {
    overlay: overlays ? 'yes' : 'no',
    namespaces: kinds ? 'yes' : 'no',
    userNamespaces,
    seccomp: seccomp ? 'yes' : 'no',
    veth,
    nat,
  }
}

const ntpState = async (deps: FactsDeps): Promise<Facts['ntp']> => {
  if (existsSync('/run/systemd/timesync/synchronized')) return 'synchronised'
  if (deps.exec.find('timedatectl') !== undefined && existsSync('/run/systemd/system')) {
    const { stdout } = await deps.exec.run('timedatectl', ['show', '-p', 'NTPSynchronized', '--value'], { timeoutMs: TRY_MS_MAX })
    if (stdout.trim() === 'yes') return 'synchronised'
    if (stdout.trim() === 'no') return 'not synchronised'
  }
  if (deps.exec.find('chronyc') !== undefined) {
    const tried = await deps.exec.run('chronyc', ['-n', 'tracking'], { timeoutMs: TRY_MS_MAX })
    return tried.code === 0 && /Leap status\s*: Normal/.test(tried.stdout) ? 'synchronised' : 'not synchronised'
  }
  return 'none'
}

/** Whose socket listens on a port, by the inode that /proc/net/tcp names. */
const holderOf = (port: number): string | undefined => {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const inode = ['/proc/net/tcp', '/proc/net/tcp6']
    .flatMap(path => (textOf(path) ?? '').split('\n'))
    .map(line => line.trim().split(/\s+/))
    .find(fields => fields[1]?.endsWith(`:${hex}`) && fields[3] === '0A')?.[9]
  if (inode === undefined) return undefined
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`))
        if (readLink(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`)
          return `${textOf(`/proc/${pid}/cmdline`)?.split('\0').join(' ').trim().slice(0, 100)} (process ${pid})`
    } catch (error) {
      // Another user's process, or one that has just ended.
      if (!(error instanceof Error && 'code' in error)) throw error
    }
  }
  return undefined
}

const portFacts = (port: number): Promise<PortFacts> =>
  new Promise(resolve => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve({ port, free: error.code !== 'EADDRINUSE', holder: holderOf(port) }))
    server.listen(port, () => server.close(() => resolve({ port, free: true, holder: undefined })))
  })

const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  crun: ['--version'],
  conmon: ['--version'],
  nft: ['--version'],
  ip: ['-V'],
  unshare: ['--version'],
  nsenter: ['--version'],
  mount: ['--version'],
  script: ['--version'],
  modprobe: ['--version'],
}

const programs = async ({ exec }: FactsDeps): Promise<Facts['programs']> => {
  const rows = await Promise.all(
    Object.entries(PROGRAMS).map(async ([name, args]) => {
      if (exec.find(name) === undefined) return [name, undefined] as const
      // busybox knows no --version: it is there all the same.
      const result = await exec
        .run(name, args, { timeoutMs: TRY_MS_MAX })
        .catch((error: unknown) => ({ stdout: messageOf(error), stderr: '' }))
      return [name, `${result.stdout}${result.stderr}`.split('\n')[0]?.trim() ?? ''] as const
    }),
  )
  return Object.fromEntries(rows)
}

const OTHERS: readonly (readonly [name: string, process: RegExp, paths: readonly string[]])[] = [
  ['k3s', /^(k3s|k3s-server|k3s-agent)$/, ['/var/lib/rancher/k3s', '/etc/rancher/k3s']],
  ['kubelet', /^kubelet$/, ['/var/lib/kubelet', '/etc/kubernetes']],
  ['KubeEdge', /^(edgecore|cloudcore)$/, ['/etc/kubeedge', '/var/lib/kubeedge']],
  ['docker', /^dockerd$/, ['/var/lib/docker']],
  ['containerd', /^containerd$/, []],
  ['podman', /^podman$/, []],
]

const readLink = (path: string): string | undefined => {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined
    throw error
  }
}

const others = (): Facts['others'] => {
  const names = new Set(
    readdirSync('/proc')
      .filter(name => /^\d+$/.test(name))
      .map(pid => textOf(`/proc/${pid}/comm`)?.trim() ?? ''),
  )
  return OTHERS.flatMap(([name, process, paths]) => {
    const running = [...names].find(each => process.test(each))
    const left = paths.filter(path => existsSync(path))
    return running === undefined && left.length === 0 ? [] : [{ name, found: running ?? left.join(', '), running: running !== undefined }]
  })
}

/** A chain at the forward hook that drops what it does not know: docker's and many firewalls'. */
const dropsForward = async (deps: FactsDeps, uid: number): Promise<boolean> => {
  if (uid !== 0 || deps.exec.find('nft') === undefined) return false
  const { stdout } = await deps.exec.run('nft', ['list', 'chains'], { timeoutMs: TRY_MS_MAX }).catch(() => ({ stdout: '' }))
  if (/hook forward [^\n]*policy drop/.test(stdout)) return true
  if (deps.exec.find('iptables-legacy') === undefined || !hasModule('iptable_filter')) return false
  const legacy = await deps.exec.run('iptables-legacy', ['-S', 'FORWARD'], { timeoutMs: TRY_MS_MAX }).catch(() => ({ stdout: '' }))
  return /^-P FORWARD DROP/m.test(legacy.stdout)
}

const numberOf = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)

/** Whether two IPv4 ranges share an address. */
export const overlap = (a: string, b: string): boolean => {
  const [[from = '', bits = '32'], [to = '', more = '32']] = [a.split('/'), b.split('/')]
  const size = 2 ** (32 - Math.min(Number(bits), Number(more)))
  return Math.floor(numberOf(from) / size) === Math.floor(numberOf(to) / size)
}

/** Routes of others; links of ours (heXXXX…) lead to pods. */
const routes = async ({ exec }: FactsDeps, clusterCIDR: string): Promise<readonly string[]> => {
  if (exec.find('ip') === undefined) return []
  const { stdout } = await exec.run('ip', ['-4', 'route', 'show'], { timeoutMs: TRY_MS_MAX })
  return stdout
    .split('\n')
    .filter(line => /^[\d.]+(\/\d+)? /.test(line) && !/ dev he[0-9a-f]{4}/.test(line) && overlap(line.split(' ')[0] ?? '', clusterCIDR))
    .map(line => line.trim())
}

const swapBytes = (): number => Number(/^SwapTotal:\s+(\d+) kB/m.exec(textOf('/proc/meminfo') ?? '')?.[1] ?? 0) * 1024

const entropy = (): number | undefined => {
  const text = textOf('/proc/sys/kernel/random/entropy_avail')
  return text === undefined ? undefined : Number(text)
}

/** Looks at everything; takes a second or two. */
export const gatherFacts = async (
  deps: FactsDeps,
  asked: { readonly dataDir: string; readonly ports: readonly number[]; readonly server: string | undefined; readonly clusterCIDR: string },
): Promise<Facts> => {
  const uid = process.getuid?.() ?? 0
  const [found, ntp, versions, forwardDrop, taken, server, ports] = await Promise.all([
    features(deps, uid),
    ntpState(deps),
    programs(deps),
    dropsForward(deps, uid),
    routes(deps, asked.clusterCIDR),
    asked.server === undefined ? undefined : reach(deps, asked.server),
    Promise.all(asked.ports.map(portFacts)),
  ])
  const flushes = ['/etc/nftables.conf', '/etc/sysconfig/nftables.conf'].some(path => /^\s*flush ruleset/m.test(textOf(path) ?? ''))
  return {
    uid,
    kernel: release(),
    features: found,
    memoryBytes: totalmem(),
    swapBytes: swapBytes(),
    disk: diskFacts(deps.clock, asked.dataDir),
    nowMs: deps.clock.now(),
    ntp,
    hasRtc: existsSync('/dev/rtc0') || existsSync('/dev/rtc'),
    ports,
    programs: versions,
    entropy: entropy(),
    others: others(),
    forwardDrop,
    flushesTables: flushes && existsSync('/etc/systemd/system/sysinit.target.wants/nftables.service'),
    routes: taken,
    piCmdline: ['/boot/firmware/cmdline.txt', '/boot/cmdline.txt'].find(existsSync),
    server,
  }
}
