// What the facts of a machine mean for a role, row by row, each with what a technician does about it. Pure: a table of rules.

import type { Facts, Tried } from './facts.ts'
import {
  CLOCK_AHEAD_MS,
  CLOCK_OFF_MS,
  DISK_BYTES_FAIL,
  DISK_BYTES_WARN,
  ENTROPY_WARN,
  FSYNC_MS_FAIL,
  FSYNC_MS_WARN,
  INODES_WARN,
  MEMORY_BYTES,
  VERSIONS,
} from './limits.ts'

export interface Row {
  readonly check: string
  readonly status: 'ok' | 'warn' | 'fail'
  readonly found: string
  readonly fix?: string
}

export interface Situation extends Facts {
  readonly role: 'server' | 'agent'
  readonly cgroup: { readonly version: 'v2' | 'v1' | 'none'; readonly hybrid: boolean; readonly controllers: ReadonlySet<string> }
  /** When the program was built: no true clock is earlier. */
  readonly builtMs: number
}

type Rule = (facts: Situation) => readonly Row[]

const ok = (check: string, found: string): readonly Row[] => [{ check, status: 'ok', found }]
const warn = (check: string, found: string, fix: string): readonly Row[] => [{ check, status: 'warn', found, fix }]
const fail = (check: string, found: string, fix: string): readonly Row[] => [{ check, status: 'fail', found, fix }]

const isAtLeast = (text: string, [wantedMajor, wantedMinor = 0]: readonly number[]): boolean => {
  const [, major = '0', minor = '0'] = /(\d+)\.(\d+)/.exec(text) ?? []
  return Number(major) > (wantedMajor ?? 0) || (Number(major) === wantedMajor && Number(minor) >= wantedMinor)
}

const gib = (bytes: number): string => (bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`)
const day = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace('T', ' ')

const user: Rule = ({ uid, role }) =>
  uid === 0
    ? ok('user', 'root')
    : warn('user', `user ${uid}: not everything can be seen or tried`, `run it again as root: sudo helio check --role ${role}`)

const kernel: Rule = ({ kernel: release }) =>
  isAtLeast(release, VERSIONS.kernel)
    ? ok('kernel', release)
    : fail('kernel', `${release}, older than ${VERSIONS.kernel.join('.')}`, 'update the board to a newer system image')

const FEATURES: readonly (readonly [name: keyof Facts['features'], what: string, option: string])[] = [
  ['overlay', 'file systems of containers (overlayfs)', 'CONFIG_OVERLAY_FS; modprobe overlay'],
  ['namespaces', 'namespaces', 'CONFIG_NAMESPACES with NET, PID, UTS, IPC and cgroup'],
  ['seccomp', 'system call filters (seccomp)', 'CONFIG_SECCOMP_FILTER'],
  ['veth', 'links to pods (veth)', 'CONFIG_VETH; modprobe veth'],
  ['nat', 'nftables with masquerade', 'CONFIG_NF_TABLES, CONFIG_NFT_NAT, CONFIG_NFT_MASQ; apt-get install nftables'],
]

const featureRow = (what: string, option: string, tried: Tried): readonly Row[] =>
  tried === 'yes'
    ? ok(what, 'works')
    : tried === 'no'
      ? fail(what, 'not in this kernel', `use a kernel with ${option}`)
      : warn(what, 'could not be tried', `run this as root; the kernel needs ${option}`)

const kernelFeatures: Rule = ({ features, role }) =>
  role === 'server' ? [] : FEATURES.flatMap(([name, what, option]) => featureRow(what, option, features[name]))

const WANTED = ['memory', 'cpu', 'pids'] as const

const cgroups: Rule = ({ cgroup, role, piCmdline }) => {
  if (role === 'server') return []
  const check = 'control groups'
  if (cgroup.version === 'none')
    return fail(check, 'none', 'mount cgroup2 on /sys/fs/cgroup (systemd does; else: mount -t cgroup2 cgroup2 /sys/fs/cgroup)')
  const missing = WANTED.filter(name => !cgroup.controllers.has(name))
  const layout = `${cgroup.version}${cgroup.hybrid ? ', hybrid' : ''}`
  if (missing.length === 0) return ok(check, `${layout} with ${WANTED.join(', ')}`)
  const file = piCmdline ?? 'the kernel command line'
  return warn(
    check,
    `${layout} without ${missing.join(', ')}: such limits of pods are not kept`,
    missing.includes('memory')
      ? `add cgroup_enable=memory cgroup_memory=1 to ${file} (one line), then reboot`
      : `use a kernel with the ${missing.join(' and ')} controller`,
  )
}

const memory: Rule = ({ memoryBytes, swapBytes, role }) => {
  const found = `${gib(memoryBytes)}${swapBytes > 0 ? `, swap ${gib(swapBytes)}` : ''}`
  const bounds = MEMORY_BYTES[role]
  if (memoryBytes < bounds.fail) return fail('memory', found, `a ${role} needs ${gib(bounds.fail)} at least: use a larger board`)
  return memoryBytes < bounds.warn
    ? warn('memory', found, `little for a ${role} and its pods: give each pod a memory limit`)
    : ok('memory', found)
}

const LOST_AT_REBOOT = ['tmpfs', 'ramfs', 'rootfs']
const NO_HOME = ['vfat', 'exfat', 'msdos', 'ntfs', 'ntfs3', 'fuseblk', 'iso9660', 'squashfs', 'nfs', 'nfs4', 'cifs', 'smb3', '9p']

const disk: Rule = ({ disk: { folder, type, readOnly } }) => {
  const found = `${type || 'unknown'} at ${folder}`
  if (readOnly) return fail('file system', `${found}, mounted read-only`, 'mount it writable, or choose another folder with --data-dir')
  if (NO_HOME.includes(type)) return fail('file system', found, 'put the data folder on ext4, xfs, btrfs or f2fs: --data-dir')
  if (LOST_AT_REBOOT.includes(type))
    return warn('file system', `${found}: gone after a reboot`, 'put the data folder on a disk: --data-dir')
  if (type === 'overlay')
    return warn('file system', `${found}: containers may not start from it`, 'put the data folder on a disk of its own: --data-dir')
  return ok('file system', found)
}

const space: Rule = ({ disk: { sizeBytes, freeBytes, freeInodes } }) => {
  const found = `${gib(freeBytes)} of ${gib(sizeBytes)} free`
  if (freeBytes < DISK_BYTES_FAIL)
    return fail('disk space', found, 'free some: journalctl --vacuum-size=50M, apt-get clean, or a larger card')
  if (freeInodes < INODES_WARN)
    return warn(
      'disk space',
      `${found}, but only ${freeInodes} files more`,
      'remove small files, or make the file system anew with more inodes',
    )
  return freeBytes < DISK_BYTES_WARN
    ? warn('disk space', found, 'images need room: a larger card, or fewer images')
    : ok('disk space', found)
}

const flash: Rule = ({ disk: { fsync, folder, readOnly } }) => {
  if (fsync === undefined)
    return readOnly ? [] : warn('disk speed', `could not be measured: no right to write in ${folder}`, 'run this as root')
  const found = `a durable write takes ${fsync.medianMs.toFixed(1)} ms, at worst ${Math.round(fsync.worstMs)} ms`
  if (fsync.worstMs > FSYNC_MS_FAIL) return fail('disk speed', found, 'the card or disk is failing: look at dmesg, replace it')
  return fsync.medianMs > FSYNC_MS_WARN
    ? warn('disk speed', found, 'a worn or slow card: use one of class A1 or better, or eMMC')
    : ok('disk speed', found)
}

const clock: Rule = ({ nowMs, builtMs, ntp, hasRtc, server, role }) => {
  const rtc = hasRtc ? '' : ', no clock chip: it starts wrong after each power cut'
  const found = `${day(nowMs)} UTC, ${ntp === 'none' ? 'no time service' : ntp}${rtc}`
  const set = 'apt-get install systemd-timesyncd (or chrony), then timedatectl set-ntp true'
  const so = role === 'agent' ? 'pods run all the same; ' : 'certificates may be refused until then; '
  if (nowMs < builtMs) return warn('clock', `${found}: earlier than this program was built`, `${so}set it: ${set}`)
  if (nowMs > builtMs + CLOCK_AHEAD_MS) return warn('clock', `${found}: years ahead`, `${so}set it: ${set}`)
  const apart = server?.dateMs === undefined ? 0 : Math.abs(nowMs - server.dateMs)
  if (apart > CLOCK_OFF_MS) return warn('clock', `${found}, ${Math.round(apart / 1000)} s from the server's`, `${so}set it: ${set}`)
  return ntp === 'synchronised' ? ok('clock', found) : warn('clock', found, `${so}keep it right: ${set}`)
}

const ports: Rule = ({ ports: list }) =>
  list.flatMap(({ port, free, holder }) => {
    const check = `port ${port}`
    if (free) return ok(check, 'free')
    if (/\bhelio\b.* server\b/.test(holder ?? '')) return ok(check, `this is the server already: ${holder}`)
    return fail(
      check,
      `taken${holder === undefined ? '' : ` by ${holder}`}`,
      'stop that program, or choose another port: --port, --mqtt-port',
    )
  })

const PACKAGES: readonly (readonly [program: string, debian: string, must: boolean])[] = [
  ['crun', 'crun', true],
  ['conmon', 'conmon', true],
  ['nft', 'nftables', true],
  ['ip', 'iproute2', true],
  ['unshare', 'util-linux', true],
  ['nsenter', 'util-linux', true],
  ['mount', 'mount', true],
  ['script', 'bsdutils', false],
]

const programs: Rule = ({ programs: found, role }) => {
  if (role === 'server') return []
  const check = 'container programs'
  const missing = PACKAGES.filter(([program]) => found[program] === undefined)
  const packages = [...new Set(missing.map(([, debian]) => debian))].join(' ')
  const needed = missing.filter(([, , must]) => must)
  if (needed.length > 0)
    return fail(
      check,
      `missing: ${needed.map(([program]) => program).join(', ')}`,
      `apt-get install ${packages} (or install with --runtime process)`,
    )
  const old = (['crun', 'conmon'] as const).filter(
    name => /\d+\.\d+/.test(found[name] ?? '') && !isAtLeast(found[name] ?? '', VERSIONS[name]),
  )
  if (old.length > 0)
    return warn(check, old.map(name => found[name]).join(', '), `older than tried: apt-get install --only-upgrade ${old.join(' ')}`)
  if (missing.length > 0)
    return warn(check, `missing: ${missing.map(([program]) => program).join(', ')} (terminals of exec)`, `apt-get install ${packages}`)
  const shown = ['crun', 'conmon', 'nft'].map(name => found[name]?.replace(/ version/, '').replace(/ \(.*$/, ''))
  return ok(check, shown.join(', '))
}

const entropy: Rule = ({ entropy: bits }) =>
  bits === undefined || bits >= ENTROPY_WARN
    ? ok('random numbers', bits === undefined ? 'not shown' : `${bits} bits`)
    : warn(
        'random numbers',
        `${bits} bits: keys take long to make`,
        'apt-get install rng-tools5, or haveged where there is no hardware generator',
      )

/** They look after the same addresses, tables or groups. */
const CLASHES = ['k3s', 'kubelet', 'KubeEdge']

const others: Rule = ({ others: list, role }) =>
  role === 'server'
    ? []
    : list.flatMap(({ name, found, running }) => {
        const check = `other: ${name}`
        if (!CLASHES.includes(name)) return running ? ok(check, `runs (${found}); both can live here`) : []
        const remove =
          name === 'k3s'
            ? '/usr/local/bin/k3s-uninstall.sh (or k3s-agent-uninstall.sh)'
            : name === 'kubelet'
              ? 'kubeadm reset'
              : 'keadm reset'
        return running
          ? fail(check, `runs (${found}): it uses the same addresses and rules`, `end and remove it first: ${remove}`)
          : warn(check, `left over: ${found}`, `remove it: ${remove}`)
      })

const firewall: Rule = ({ forwardDrop, flushesTables, role }) =>
  role === 'server'
    ? []
    : [
        ...(forwardDrop
          ? warn(
              'firewall',
              'what is forwarded is dropped by default (docker does so, and many firewalls): pods reach nothing beyond this machine',
              'allow the addresses of pods: iptables -I FORWARD -s 10.42.0.0/16 -j ACCEPT; iptables -I FORWARD -d 10.42.0.0/16 -j ACCEPT (keep it in your firewall)',
            )
          : ok('firewall', 'forwarding is not dropped')),
        ...(flushesTables
          ? warn(
              'nftables.service',
              'empties all tables when it is reloaded, those of pods too',
              'in /etc/nftables.conf put "table inet filter; delete table inet filter" in the place of "flush ruleset"',
            )
          : []),
      ]

const addresses: Rule = ({ routes, role }) =>
  role === 'server' || routes.length === 0
    ? []
    : warn(
        'addresses of pods',
        `a route of this machine overlaps: ${routes[0]}`,
        'start the server with another --cluster-cidr, or take that network away',
      )

const reach: Rule = ({ server }) => {
  if (server === undefined) return []
  const check = 'server'
  if (server.resolved === undefined)
    return fail(
      check,
      `the name in ${server.url} is not known here: ${server.problem}`,
      'check the name and /etc/resolv.conf, or give the address',
    )
  if (server.problem !== undefined)
    return fail(
      check,
      `${server.url} (${server.resolved}) does not answer: ${server.problem}`,
      'check network, address and port; on the server: --bind 0.0.0.0, and its firewall',
    )
  if (!server.isHeliopause) return fail(check, `${server.url} answers, but is no Heliopause server`, 'check address and port')
  return ok(check, `${server.url} (${server.resolved}) answers in ${server.answeredMs} ms`)
}

const RULES: readonly Rule[] = [
  user,
  kernel,
  kernelFeatures,
  cgroups,
  memory,
  disk,
  space,
  flash,
  clock,
  ports,
  programs,
  entropy,
  others,
  firewall,
  addresses,
  reach,
]

/** All rows, in the order in which a technician works. */
export const judge = (situation: Situation): readonly Row[] => RULES.flatMap(rule => rule(situation))
