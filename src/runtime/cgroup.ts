// Control groups in their three layouts: pure v2, pure v1, and hybrid (v1 controllers plus a cgroup2 tree). Paths, figures, killing and
// removing; crun makes the groups. Source: kernel admin-guide cgroup-v1 and cgroup-v2, runtime facts.

import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { signal } from './process-table.ts'
import { isMissing } from './record.ts'

export interface CgroupLayout {
  readonly version: 'v2' | 'v1' | 'none'
  /** Mount point by controller; in v2 all controllers have the same one, under ''. */
  readonly mounts: ReadonlyMap<string, string>
  /** A cgroup2 tree beside v1 that still holds a controller: crun refuses to work until its list is hidden. The file to hide. */
  readonly hybridControllers?: string
  /** What can be limited here; a kernel may be built or booted without `memory`, as many boards' are. */
  readonly controllers: ReadonlySet<string>
  readonly swapAccounting: boolean
}

const readFirst = (...paths: readonly string[]): string | undefined => {
  for (const path of paths) {
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
  return undefined
}

const CONTROLLERS = [
  'memory',
  'cpu',
  'cpuacct',
  'cpuset',
  'pids',
  'devices',
  'freezer',
  'blkio',
  'hugetlb',
  'net_cls',
  'net_prio',
  'perf_event',
  'rdma',
]

/** Reads a mount table (the text of /proc/self/mounts) into a layout; `read` looks into the files it names. Pure but for `read`. */
export const parseCgroupLayout = (mountTable: string, read: (path: string) => string | undefined): CgroupLayout => {
  const mounts = new Map<string, string>()
  const unified: string[] = []
  for (const line of mountTable.split('\n')) {
    const [, target = '', type, options = ''] = line.split(' ')
    if (type === 'cgroup2') unified.push(target)
    if (type !== 'cgroup') continue
    for (const option of options.split(',')) if (CONTROLLERS.includes(option) || option.startsWith('name=')) mounts.set(option, target)
  }
  if (unified[0] === '/sys/fs/cgroup') {
    const controllers = new Set((read('/sys/fs/cgroup/cgroup.controllers') ?? '').split(/\s+/).filter(Boolean))
    // The root group cannot tell whether the kernel counts swap; see countSwap.
    return { version: 'v2', mounts: new Map([['', unified[0]]]), controllers, swapAccounting: false }
  }
  const controllers = new Set(mounts.keys())
  if (!mounts.has('memory') && !mounts.has('pids') && !mounts.has('cpu'))
    return { version: 'none', mounts, controllers, swapAccounting: false }
  // Groups are made in the bare tree too, and must go from it.
  if (unified[0] !== undefined) mounts.set('name=unified', unified[0])
  const memory = mounts.get('memory')
  const swapAccounting = memory !== undefined && read(join(memory, 'memory.memsw.limit_in_bytes')) !== undefined
  const list = unified[0] === undefined ? undefined : join(unified[0], 'cgroup.controllers')
  const blocked = list !== undefined && (read(list) ?? '').trim() !== ''
  return { version: 'v1', mounts, controllers, swapAccounting, ...(blocked ? { hybridControllers: list } : {}) }
}

export const detectCgroupLayout = (): CgroupLayout => parseCgroupLayout(readFirst('/proc/self/mounts') ?? '', path => readFirst(path))

/**
 * The layout with the kernel's word on swap. In v2 only a group below the root that has the memory controller knows it: ours is given the
 * controller, which its pods need anyway. Where that is refused, swap is not limited.
 */
export const countSwap = (layout: CgroupLayout, cgroupRoot: string, log: Log): CgroupLayout => {
  const mount = layout.mounts.get('')
  if (layout.version !== 'v2' || mount === undefined || !layout.controllers.has('memory')) return layout
  try {
    mkdirSync(join(mount, cgroupRoot), { recursive: true })
    writeFileSync(join(mount, 'cgroup.subtree_control'), '+memory')
  } catch (error) {
    log.error('memory controller not handed down', { dir: mount, error: messageOf(error) })
  }
  return { ...layout, swapAccounting: readFirst(join(mount, cgroupRoot, 'memory.swap.max')) !== undefined }
}

const directory = (layout: CgroupLayout, controller: string, cgroup: string): string | undefined => {
  const mount = layout.mounts.get(layout.version === 'v2' ? '' : controller)
  return mount === undefined ? undefined : join(mount, cgroup)
}

const readIn = (layout: CgroupLayout, controller: string, cgroup: string, file: string): string | undefined => {
  const dir = directory(layout, controller, cgroup)
  return dir === undefined ? undefined : readFirst(join(dir, file))
}

const field = (text: string | undefined, name: string): number => {
  const line = text?.split('\n').find(candidate => candidate.startsWith(`${name} `))
  return line === undefined ? 0 : Number(line.slice(name.length + 1))
}

/** How often the kernel killed in this group for memory; 0 when the group is gone. */
export const oomKills = (layout: CgroupLayout, cgroup: string): number =>
  layout.version === 'v2'
    ? field(readIn(layout, '', cgroup, 'memory.events'), 'oom_kill')
    : field(readIn(layout, 'memory', cgroup, 'memory.oom_control'), 'oom_kill')

/** Memory in use without the page cache that can be dropped at once (the kubelet's working set), and CPU time; undefined when gone. */
export const cgroupUsage = (layout: CgroupLayout, cgroup: string): { memoryBytes: number; cpuNanos: number } | undefined => {
  const v2 = layout.version === 'v2'
  const used = readIn(layout, 'memory', cgroup, v2 ? 'memory.current' : 'memory.usage_in_bytes')
  const cpu = v2 ? readIn(layout, '', cgroup, 'cpu.stat') : readIn(layout, 'cpuacct', cgroup, 'cpuacct.usage')
  if (used === undefined && cpu === undefined) return undefined
  const inactive = field(readIn(layout, 'memory', cgroup, 'memory.stat'), v2 ? 'inactive_file' : 'total_inactive_file')
  return {
    memoryBytes: Math.max(0, Number(used ?? 0) - inactive),
    cpuNanos: v2 ? field(cpu, 'usage_usec') * 1000 : Number(cpu ?? 0),
  }
}

const children = (dir: string): readonly string[] => {
  try {
    return readdirSync(dir, { withFileTypes: true }).flatMap(entry => (entry.isDirectory() ? [join(dir, entry.name)] : []))
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

const processesUnder = (dir: string): readonly number[] => [
  ...(readFirst(join(dir, 'cgroup.procs')) ?? '').split('\n').filter(Boolean).map(Number),
  ...children(dir).flatMap(processesUnder),
]

/** Every process of the group and of the groups below it. */
export const cgroupProcesses = (layout: CgroupLayout, cgroup: string): readonly number[] => {
  for (const controller of layout.version === 'v2' ? [''] : ['pids', 'memory', 'cpu']) {
    const dir = directory(layout, controller, cgroup)
    if (dir !== undefined) return processesUnder(dir)
  }
  return []
}

export const killCgroup = (layout: CgroupLayout, cgroup: string): void => {
  for (const pid of cgroupProcesses(layout, cgroup)) signal(pid, 'SIGKILL')
}

const removeTree = (dir: string): void => {
  for (const child of children(dir)) removeTree(child)
  try {
    rmdirSync(dir)
  } catch (error) {
    // Busy while the kernel still takes a process apart, or not empty because of somebody else: whoever removes the pod tries again.
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code !== 'EBUSY' && code !== 'ENOTEMPTY' && !isMissing(error)) throw error
  }
}

/** Removes an empty group from every hierarchy. */
export const removeCgroup = (layout: CgroupLayout, cgroup: string): void => {
  for (const mount of new Set(layout.mounts.values())) removeTree(join(mount, cgroup))
}

/**
 * `cgroup.procs` files monitors are written to, making their groups: in the hierarchies a service manager goes by, so that stopping the
 * agent as a service, with all processes of its group, leaves the monitors alone.
 */
export const monitorGroups = (layout: CgroupLayout, cgroupRoot: string): readonly string[] =>
  ['', 'name=systemd', 'name=unified'].flatMap(hierarchy => {
    const mount = layout.mounts.get(hierarchy)
    if (mount === undefined) return []
    const dir = join(mount, cgroupRoot, 'monitors')
    mkdirSync(dir, { recursive: true })
    return [join(dir, 'cgroup.procs')]
  })

/** The file that changes when the group becomes empty: in v2, and in a hybrid through its bare tree; undefined in pure v1. */
export const emptinessFile = (layout: CgroupLayout, cgroup: string): string | undefined => {
  const mount = layout.mounts.get(layout.version === 'v2' ? '' : 'name=unified')
  return mount === undefined ? undefined : join(mount, cgroup, 'cgroup.events')
}
