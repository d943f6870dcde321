// Plain processes as containers, for boards without a container runtime: a small shell supervisor beside each one writes down its exit,
// so processes outlive the agent as containers do. With root an image's layers become its root; nothing is isolated beyond that, the
// network is the device's own. What cannot be kept is logged once or, where it is a promise of security, refused.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Exec } from '../base/exec.ts'
import { type CgroupLayout, detectCgroupLayout, monitorGroups } from './cgroup.ts'
import { startSession, terminalEnv } from './exec-session.ts'
import type { InOrder } from './in-order.ts'
import { removeFolder } from './mounts.ts'
import { environment, innerWords, losses, type ProcessFacts, refusal } from './process-command.ts'
import {
  adoptProcess,
  containersDir,
  exitsDir,
  follow,
  isSupervised,
  killProcess,
  launchProcess,
  type ProcessPlace,
  readProcessExit,
  removePodCgroup,
  rootfsOf,
  settleProcess,
  usageOfProcess,
  wipeProcess,
} from './process-container.ts'
import { bootId } from './process-table.ts'
import { type ContainerRecord, describe, exists, names, readRecord, recordPath, type SandboxRecord, writeRecord } from './record.ts'
import {
  type ContainerInfo,
  type ContainerSpec,
  containerId,
  type ExecSession,
  type Runtime,
  type RuntimeDeps,
  type SandboxInfo,
  type SandboxSpec,
} from './runtime.ts'
import { type ContainerHooks, createTracking, type Tracking } from './tracking.ts'

const sandboxesDir = (place: ProcessPlace): string => join(place.dir, 'sandboxes')

/** Whether this user may make a user namespace and mount in it; many kernels and distributions forbid it. */
const mayMakeUserNamespaces = async (exec: Exec): Promise<boolean> => {
  const [unshare, mount, chroot] = ['unshare', 'mount', 'chroot'].map(program => exec.find(program))
  if (unshare === undefined || mount === undefined || chroot === undefined) return false
  return (await exec.run(unshare, ['--user', '--map-root-user', '--mount', mount, '--rbind', '/proc', '/proc'])).code === 0
}

const detectProcessFacts = async (exec: Exec, layout: CgroupLayout): Promise<ProcessFacts> => {
  const need = (program: string): string => {
    const path = exec.find(program)
    if (path === undefined) throw new Error(`open process runtime: ${program} not found (install util-linux or busybox)`)
    return path
  }
  const have = <K extends string>(key: K): { readonly [P in K]?: string } => {
    const path = exec.find(key)
    return path === undefined ? {} : ({ [key]: path } as { readonly [P in K]?: string })
  }
  const root = process.getuid?.() === 0
  const chroot = exec.find('chroot')
  const userNamespaces = !root && (await mayMakeUserNamespaces(exec))
  const capable = root && chroot !== undefined && (await exec.run(chroot, ['--help'])).stdout.includes('--userspec')
  return {
    ...{ root, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, sh: need('sh'), mv: need('mv'), setsid: need('setsid') },
    ...{
      ...have('setpriv'),
      ...have('unshare'),
      ...have('mount'),
      ...have('nsenter'),
      ...(capable || userNamespaces ? have('chroot') : {}),
    },
    userNamespaces,
    cgroups: root && layout.version !== 'none',
  }
}

const openPlace = async (deps: RuntimeDeps): Promise<ProcessPlace> => {
  const layout = detectCgroupLayout()
  const facts = await detectProcessFacts(deps.exec, layout)
  const cgroupRoot = deps.cgroupRoot ?? '/helio'
  const groups = facts.cgroups ? monitorGroups(layout, cgroupRoot) : []
  const place: ProcessPlace = { ...deps, cgroupRoot, layout, facts, bootId: bootId(), monitorGroups: groups, pumps: new Map() }
  await Promise.all([sandboxesDir(place), containersDir(place), exitsDir(place)].map(dir => mkdir(dir, { recursive: true, mode: 0o700 })))
  return place
}

const inspectSandbox = async (place: ProcessPlace, uid: string): Promise<SandboxInfo | undefined> => {
  const dir = join(sandboxesDir(place), uid)
  const record = await readRecord<SandboxRecord>(recordPath(dir))
  if (record?.bootId === place.bootId) return { uid }
  if (await exists(dir)) await removeFolder(place.exec, dir)
  return undefined
}

const createSandbox = async (place: ProcessPlace, spec: SandboxSpec): Promise<SandboxInfo> => {
  if ((await inspectSandbox(place, spec.uid)) === undefined) {
    const dir = join(sandboxesDir(place), spec.uid)
    await mkdir(dir, { mode: 0o700 })
    await writeRecord(recordPath(dir), { spec, bootId: place.bootId, createdAtMs: place.clock.now() }, { durable: true })
  }
  return { uid: spec.uid }
}

const inspectSandboxes = async (place: ProcessPlace, inOrder: InOrder): Promise<readonly SandboxInfo[]> => {
  const uids = await names(sandboxesDir(place))
  const all = await Promise.all(uids.map(uid => inOrder.run(uid, () => inspectSandbox(place, uid))))
  return all.filter(info => info !== undefined)
}

/** Says once for each kind of loss what a plain process cannot keep. */
const reportLosses = (place: ProcessPlace, said: Set<string>, spec: ContainerSpec): void => {
  for (const what of losses(spec, place.facts)) {
    if (said.has(what)) continue
    said.add(what)
    place.log.info('process runtime does not keep', { what, pod: spec.podName, namespace: spec.namespace, container: spec.name })
  }
}

const startContainer = async (place: ProcessPlace, tracking: Tracking, said: Set<string>, spec: ContainerSpec): Promise<ContainerInfo> => {
  const id = containerId(spec)
  const before = await tracking.inspectNow(id)
  if (before !== undefined) return before
  if ((await inspectSandbox(place, spec.podUid)) === undefined) throw new Error(`start container: pod ${spec.podUid} has no sandbox`)
  const broken = refusal(spec, place.facts)
  if (broken !== undefined) throw new Error(`start container: process runtime: ${broken}`)
  reportLosses(place, said, spec)
  try {
    return describe(await launchProcess(place, id, spec), 'running')
  } catch (error) {
    await wipeProcess(place, id)
    throw error
  }
}

const execBeside = (
  place: ProcessPlace,
  record: ContainerRecord,
  command: readonly string[],
  options: { tty: boolean; stdin: boolean; serial: number },
): Promise<ExecSession> => {
  const { spec } = record
  const rootfs = rootfsOf(place, spec, record.id)
  if (rootfs !== undefined && place.facts.nsenter === undefined) throw new Error('exec: nsenter (util-linux) is needed to join the image')
  const joining = place.facts.root ? ['--mount'] : ['--user', '--preserve-credentials', '--mount']
  const nsenter = rootfs === undefined ? [] : [place.facts.nsenter ?? 'nsenter', ...joining, '--target', `${record.pid}`, '--']
  const cwd = rootfs === undefined && spec.cwd !== '' ? spec.cwd : '/'
  // The program's own process leads the session's group, so killing the session kills it.
  return startSession(place.exec, [...nsenter, ...innerWords(spec, place.facts, rootfs, command)], {
    tty: options.tty,
    stdin: options.stdin,
    stem: join(containersDir(place), record.id, `exec-${process.pid}-${options.serial}`),
    ...(place.facts.root ? { owner: { uid: spec.uid, gid: spec.gid } } : {}),
    env: environment(options.tty ? terminalEnv(spec.env) : spec.env),
    cwd,
  })
}

const hooksOf = (place: ProcessPlace): ContainerHooks => ({
  adopt: record => adoptProcess(place, record),
  readExit: record => readProcessExit(place, record),
  isMonitored: record => Promise.resolve(isSupervised(place, record)),
  settle: record => settleProcess(place, record),
  kill: record => Promise.resolve(killProcess(place, record)),
  wipe: id => wipeProcess(place, id),
})

/** Opens the runtime on `deps.dir`: processes that ran before are there again, their output is followed, their exits are noticed. */
export const openProcessRuntime = async (deps: RuntimeDeps): Promise<Runtime> => {
  const place = await openPlace(deps)
  const tracking = createTracking(
    { ...deps, bootId: place.bootId, containersDir: containersDir(place), exitsDir: exitsDir(place) },
    hooksOf(place),
  )
  const { inOrder } = tracking
  const said = new Set<string>()
  const serial = { next: 0 }
  for (const info of await tracking.inspectAll()) {
    const record = await tracking.read(info.id)
    if (info.state === 'running' && record !== undefined) await follow(place, record).pump(false)
  }
  return {
    name: 'process',
    version: 'process://1',
    isolatesNetwork: false,
    losses: () => [...said].map(what => `the process runtime does not keep what a pod asks for: ${what}`),
    async inspect() {
      const [sandboxes, containers] = await Promise.all([inspectSandboxes(place, inOrder), tracking.inspectAll()])
      return { sandboxes, containers }
    },
    createSandbox: spec => inOrder.run(spec.uid, () => createSandbox(place, spec)),
    async removeSandbox(uid) {
      const ids = await tracking.idsOf(uid)
      await Promise.all(ids.map(id => tracking.stop(id, 0)))
      await Promise.all(ids.map(id => tracking.remove(id, true)))
      await inOrder.run(uid, () => removeFolder(place.exec, join(sandboxesDir(place), uid)))
      removePodCgroup(place, uid)
    },
    startContainer: spec => inOrder.run(containerId(spec), () => startContainer(place, tracking, said, spec)),
    stopContainer: tracking.stop,
    removeContainer: id => tracking.remove(id, false),
    async exec(id, command, options) {
      const [info, record] = [await tracking.inspect(id), await tracking.read(id)]
      if (info?.state !== 'running' || record === undefined) throw new Error(`exec: container ${id} is not running`)
      return execBeside(place, record, command, { ...options, serial: serial.next++ })
    },
    usage: async id => ((await tracking.inspect(id))?.state === 'running' ? usageOfProcess(place, id) : undefined),
    onExit: tracking.onExit,
    async reopenLog(id) {
      const record = await tracking.read(id)
      if (record !== undefined && record.exit === undefined) await writeFile(record.spec.logPath, '', { flag: 'a', mode: 0o600 })
    },
    async close() {
      await tracking.close()
      await Promise.all([...place.pumps.values()].map(pump => pump.close()))
      place.pumps.clear()
    },
  }
}
