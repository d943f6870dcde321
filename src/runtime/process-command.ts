// How a plain process is started with as much of its ContainerSpec as a machine without a container runtime can keep: the chain of small
// programs, each of which ends by executing the next. Pure. What cannot be kept is returned as `lost`; what would be a broken promise
// of security is refused. Arguments travel as arguments; no text is ever put into a script.

import { CONTAINER_PIDS_DEFAULT } from './limits.ts'
import type { ContainerSpec, Mount } from './runtime.ts'

/** What the machine offers. Paths of programs are absolute; undefined when absent. */
export interface ProcessFacts {
  readonly root: boolean
  readonly uid: number
  readonly gid: number
  readonly sh: string
  readonly mv: string
  readonly setsid: string
  readonly setpriv?: string
  readonly unshare?: string
  readonly mount?: string
  /** Only one that knows --userspec and --groups. */
  readonly chroot?: string
  readonly nsenter?: string
  /** Without root: this user may make user namespaces, in which an image can be mounted and entered as its own root. */
  readonly userNamespaces: boolean
  /** Limits can be set in control groups. */
  readonly cgroups: boolean
}

/**
 * Runs the rest and writes down how it ended, whatever becomes of the agent; what the program left in its
 * process group ends with it. $1 mv, $2 exit file, $3 pid file, $4 $5 output files, $6 count, groups.
 */
export const SUPERVISE = `
mv=$1 exit_file=$2 pid_file=$3 out=$4 err=$5 count=$6
shift 6
while [ "$count" -gt 0 ]; do echo $$ > "$1"; shift; count=$((count - 1)); done
"$@" </dev/null >>"$out" 2>>"$err"
code=$?
read -r pid rest < "$pid_file" && kill -s KILL -- "-$pid" 2>/dev/null
echo "$code" > "$exit_file.tmp" && "$mv" "$exit_file.tmp" "$exit_file"`

/** Tells who it is (proc's stat line: pid and start time), joins its control groups, becomes the rest. $1 mv, $2 file, $3 count, groups. */
export const ANNOUNCE = `
mv=$1 file=$2 count=$3
shift 3
read -r stat < /proc/self/stat
while [ "$count" -gt 0 ]; do echo $$ > "$1"; shift; count=$((count - 1)); done
echo "$stat" > "$file.tmp" && "$mv" "$file.tmp" "$file" && echo "$stat" >&3
exec 3>&-
exec "$@"`

/** In a mount namespace of its own: binds what the pod mounts into the root, then becomes the rest. $1 mount, $2 root, $3 ro|rw, $4 count. */
export const ASSEMBLE = `
mount=$1 root=$2 access=$3 count=$4
shift 4
"$mount" --bind "$root" "$root" || exit 125
for dir in proc dev sys; do "$mount" --rbind "/$dir" "$root/$dir" || exit 125; done
while [ "$count" -gt 0 ]; do
  case $1 in
    tmpfs) "$mount" -t tmpfs -o "$2" tmpfs "$3" || exit 125 ;;
    *) "$mount" --rbind "$2" "$3" || exit 125; [ "$4" = rw ] || "$mount" -o remount,bind,ro "$3" || exit 125 ;;
  esac
  shift 4
  count=$((count - 1))
done
[ "$access" = rw ] || "$mount" -o remount,bind,ro "$root" || exit 125
exec "$@"`

/** Inside the image: $1 is the folder to start in. */
const ENTER = 'cd "$1" && shift && exec "$@"'

/** chroot itself, and the change of user behind it, need these. */
const CHROOT_NEEDS = ['SYS_CHROOT', 'SETUID', 'SETGID']

export const usesImage = (spec: ContainerSpec, facts: ProcessFacts): boolean =>
  (facts.root || facts.userNamespaces) && spec.layers.length > 0

/** The first promise of security that cannot be kept here; undefined when all can. */
export const refusal = (spec: ContainerSpec, facts: ProcessFacts): string | undefined => {
  const image = usesImage(spec, facts)
  if (image && (!facts.chroot || !facts.unshare || !facts.mount)) return 'an image needs chroot (coreutils), unshare and mount'
  if (spec.readOnlyRootfs && !image) return 'a read-only root file system needs an image, and root or user namespaces'
  if (!facts.root && spec.uid !== 0 && (image || spec.uid !== facts.uid)) return `running as user ${spec.uid} needs root`
  if (facts.root && !image && (spec.uid !== 0 || spec.gid !== 0) && !facts.setpriv)
    return `running as user ${spec.uid} needs setpriv (util-linux)`
  if (spec.privileged) return undefined
  if (!spec.allowPrivilegeEscalation && !facts.setpriv) return 'forbidding privilege escalation needs setpriv (util-linux)'
  if (facts.root && !facts.setpriv) return 'dropping capabilities needs setpriv (util-linux)'
  // In a namespace of its own, root is nobody outside.
  if (!facts.root) return undefined
  const tooMany = CHROOT_NEEDS.filter(name => !spec.capabilities.includes(name))
  if (image && tooMany.length > 0 && (spec.uid === 0 || spec.allowPrivilegeEscalation))
    return `capabilities ${tooMany.join(', ')} cannot be taken from root in an image: set runAsUser, and allowPrivilegeEscalation to false`
  return undefined
}

/** What is not kept, in words for the log. */
export const losses = (spec: ContainerSpec, facts: ProcessFacts): readonly string[] => {
  const { memoryBytes, cpuLimitMillis, pids } = spec.resources
  const limited = memoryBytes !== undefined || cpuLimitMillis !== undefined || pids !== undefined
  const image = usesImage(spec, facts)
  return [
    ...(spec.seccomp === 'RuntimeDefault' && !spec.privileged ? ['seccomp profile'] : []),
    ...(spec.tty ? ['terminal'] : []),
    ...(limited && !facts.cgroups ? ['resource limits'] : []),
    ...(!image && spec.layers.length > 0 ? ['image: its program is looked for on this machine (needs root or user namespaces)'] : []),
    ...(!image && spec.mounts.some(mount => mount.source !== mount.destination) ? ['mounts'] : []),
  ]
}

const restrict = (spec: ContainerSpec, facts: ProcessFacts, image: boolean): readonly string[] => {
  if (spec.privileged || !facts.setpriv) return []
  const kept = [...new Set([...spec.capabilities, ...(image ? CHROOT_NEEDS : [])])].map(name => `,+${name.toLowerCase()}`)
  const ids = ['--reuid', `${spec.uid}`, '--regid', `${spec.gid}`]
  const groups = spec.supplementalGroups.length > 0 ? ['--groups', spec.supplementalGroups.join(',')] : ['--clear-groups']
  return [
    facts.setpriv,
    ...(spec.allowPrivilegeEscalation ? [] : ['--no-new-privs']),
    ...(facts.root ? ['--inh-caps=-all', `--bounding-set=-all${kept.join('')}`] : []),
    ...(facts.root && !image ? [...ids, ...groups] : []),
    '--',
  ]
}

const enter = (spec: ContainerSpec, facts: ProcessFacts, rootfs: string): readonly string[] => [
  facts.chroot ?? 'chroot',
  // A user namespace has one user, root, and no other groups.
  ...(facts.root
    ? [`--userspec=+${spec.uid}:+${spec.gid}`, `--groups=${[spec.gid, ...spec.supplementalGroups].map(group => `+${group}`).join(',')}`]
    : []),
  rootfs,
  ...(spec.cwd === '' || spec.cwd === '/' ? [] : ['/bin/sh', '-c', ENTER, 'sh', spec.cwd]),
]

/** From inside the right mount namespace to the program; the tail of a start and of an exec. */
export const innerWords = (
  spec: ContainerSpec,
  facts: ProcessFacts,
  rootfs: string | undefined,
  args: readonly string[],
): readonly string[] => [
  ...restrict(spec, facts, rootfs !== undefined),
  ...(rootfs === undefined ? [] : enter(spec, facts, rootfs)),
  ...args,
]

/** A mount with its destination resolved inside the root. */
export type ResolvedMount = Mount & { readonly target: string }

const mountWords = (mount: ResolvedMount): readonly string[] =>
  mount.type === 'tmpfs'
    ? ['tmpfs', `nosuid,nodev,mode=1777${mount.sizeBytes === undefined ? '' : `,size=${mount.sizeBytes}`}`, mount.target, 'rw']
    : ['bind', mount.source, mount.target, mount.readOnly ? 'ro' : 'rw']

export interface ProcessPlan {
  readonly exitFile: string
  readonly pidFile: string
  readonly stdout: string
  readonly stderr: string
  /** `cgroup.procs` files the process joins, for its limits, and those its supervisor joins, to leave the agent's. */
  readonly groups: readonly string[]
  readonly monitorGroups: readonly string[]
  /** Mounted image and what is mounted into it; undefined for a program of the host. */
  readonly rootfs?: string
  readonly mounts: readonly ResolvedMount[]
}

/** The whole command line of the supervisor. */
export const superviseWords = (spec: ContainerSpec, facts: ProcessFacts, plan: ProcessPlan): readonly string[] => {
  const access = spec.readOnlyRootfs ? 'ro' : 'rw'
  const assemble =
    plan.rootfs === undefined
      ? []
      : [
          ...[
            facts.unshare ?? 'unshare',
            ...(facts.root ? [] : ['--user', '--map-root-user']),
            '--mount',
            '--propagation',
            'private',
            facts.sh,
            '-c',
            ASSEMBLE,
            'sh',
            facts.mount ?? 'mount',
          ],
          ...[plan.rootfs, access, `${plan.mounts.length}`, ...plan.mounts.flatMap(mountWords)],
        ]
  return [
    ...[facts.sh, '-c', SUPERVISE, 'helio-supervise', facts.mv, plan.exitFile, plan.pidFile, plan.stdout, plan.stderr],
    ...[`${plan.monitorGroups.length}`, ...plan.monitorGroups, facts.setsid, ...assemble],
    ...[facts.sh, '-c', ANNOUNCE, 'sh', facts.mv, plan.pidFile, `${plan.groups.length}`, ...plan.groups],
    ...innerWords(spec, facts, plan.rootfs, spec.args),
  ]
}

/** `NAME=value` lines as an environment; a later one wins. */
export const environment = (lines: readonly string[]): Record<string, string> =>
  Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))

/** Control files and values for the limits, per layout. */
export const limitFiles = (
  spec: ContainerSpec,
  version: 'v1' | 'v2',
): readonly (readonly [controller: string, file: string, value: string])[] => {
  const { memoryBytes, cpuLimitMillis, pids } = spec.resources
  const v2 = version === 'v2'
  const quota = cpuLimitMillis === undefined ? undefined : Math.max(1000, cpuLimitMillis * 100)
  return [
    ...(memoryBytes === undefined ? [] : [['memory', v2 ? 'memory.max' : 'memory.limit_in_bytes', `${memoryBytes}`] as const]),
    ...(quota === undefined ? [] : [['cpu', v2 ? 'cpu.max' : 'cpu.cfs_quota_us', v2 ? `${quota} 100000` : `${quota}`] as const]),
    ['pids', 'pids.max', `${pids ?? CONTAINER_PIDS_DEFAULT}`],
  ]
}
