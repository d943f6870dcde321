// Containers by crun under conmon, no daemon between: what runs is in the kernel, what is known is in one record a container, and both
// are there after SIGKILL of the agent. Records are written before the thing they name exists. DESIGN section 7, runtime facts.

import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { compileBundle } from './bundle.ts'
import { type CgroupLayout, cgroupUsage, countSwap, detectCgroupLayout, emptinessFile, monitorGroups, removeCgroup } from './cgroup.ts'
import { createMonitored, monitorPid, reopenMonitorLog } from './conmon.ts'
import {
  adoptContainer,
  type CrunPlace,
  cgroupOf,
  containerDir,
  containersDir,
  crunArgs,
  crunRoot,
  exitDir,
  killContainer,
  podCgroup,
  readExit,
  wipeContainer,
} from './crun-container.ts'
import { execInContainer } from './crun-exec.ts'
import { watchChange } from './exits.ts'
import { detectFacts, hostDevices } from './facts.ts'
import { loadOverlay, mountOverlay, must } from './mounts.ts'
import { bootId, processStart } from './process-table.ts'
import { type ContainerRecord, describe, exists, names, readRecord, recordPath, type SandboxRecord, writeRecord } from './record.ts'
import type { ContainerInfo, ContainerSpec, Runtime, RuntimeDeps, SandboxInfo, SandboxSpec } from './runtime.ts'
import { containerId } from './runtime.ts'
import { buildSandbox, describeSandbox, destroySandbox, isWhole, sandboxNamespaces, shmPath } from './sandbox.ts'
import { type ContainerHooks, createTracking, type Tracking } from './tracking.ts'

const sandboxesDir = (place: CrunPlace): string => join(place.dir, 'sandboxes')
const sandboxDir = (place: CrunPlace, uid: string): string => join(sandboxesDir(place), uid)

/** crun refuses a hybrid layout whose cgroup2 tree lists controllers; in a mount namespace of its own the list is empty. */
const WRAPPER = (crun: string, list: string): string =>
  `#!/bin/sh\nexec unshare -m --propagation slave sh -c 'mount --bind /dev/null ${list} && exec "$@"' sh ${crun} "$@"\n`

/** Controllers this kernel has not: limits on what they control are asked for in vain. */
const unlimitedIn = ({ controllers }: CgroupLayout): readonly string[] => ['memory', 'cpu', 'pids'].filter(each => !controllers.has(each))

const openPlace = async (deps: RuntimeDeps): Promise<CrunPlace> => {
  const [crun, conmon] = [deps.exec.find('crun'), deps.exec.find('conmon')]
  if (crun === undefined || conmon === undefined) throw new Error('open crun runtime: crun and conmon must be installed')
  const cgroupRoot = deps.cgroupRoot ?? '/helio'
  const layout = countSwap(detectCgroupLayout(), cgroupRoot, deps.log)
  const unlimited = unlimitedIn(layout)
  if (unlimited.length > 0)
    deps.log.error('limits without effect', {
      controllers: unlimited.join(' '),
      hint: 'boot with cgroup_enable=memory, or a kernel that has them',
    })
  const wrapper = join(deps.dir, 'crun-hybrid')
  const base = {
    ...deps,
    cgroupRoot,
    layout,
    facts: detectFacts(layout),
    bootId: bootId(),
    conmon,
    monitorGroups: monitorGroups(layout, cgroupRoot),
  }
  const place: CrunPlace = { ...base, crun: layout.hybridControllers === undefined ? crun : wrapper }
  await Promise.all([mkdir(deps.dir, { recursive: true, mode: 0o700 }), loadOverlay(deps.exec)])
  await Promise.all(
    [sandboxesDir(place), containersDir(place), exitDir(place), crunRoot(place)].map(dir => mkdir(dir, { recursive: true, mode: 0o700 })),
  )
  if (layout.hybridControllers !== undefined) await writeFile(wrapper, WRAPPER(crun, layout.hybridControllers), { mode: 0o700 })
  return place
}

/** The sandbox if it is whole, in this boot; anything less is cleared away. */
const inspectSandbox = async (place: CrunPlace, uid: string): Promise<SandboxRecord | undefined> => {
  const dir = sandboxDir(place, uid)
  const record = await readRecord<SandboxRecord>(recordPath(dir))
  if (record !== undefined && record.bootId === place.bootId && (await isWhole(dir, record.spec))) return record
  if (await exists(dir)) await destroySandbox(place.exec, dir, record?.bootId === place.bootId)
  return undefined
}

const createSandbox = async (place: CrunPlace, spec: SandboxSpec): Promise<SandboxInfo> => {
  const dir = sandboxDir(place, spec.uid)
  if ((await inspectSandbox(place, spec.uid)) === undefined) {
    await mkdir(dir, { mode: 0o700 })
    await writeRecord(recordPath(dir), { spec, bootId: place.bootId, createdAtMs: place.clock.now() }, { durable: true })
    try {
      await buildSandbox(place.exec, dir, spec)
    } catch (error) {
      await destroySandbox(place.exec, dir, true)
      throw error
    }
  }
  return describeSandbox(dir, spec)
}

/** Mounts, creates under a monitor, starts. The record is on disk before the monitor is. */
const launch = async (place: CrunPlace, id: string, spec: ContainerSpec, sandbox: SandboxSpec): Promise<ContainerRecord> => {
  const dir = containerDir(place, id)
  const podDir = sandboxDir(place, spec.podUid)
  const created: ContainerRecord = { id, spec, bootId: place.bootId, createdAtMs: place.clock.now(), phase: 'creating' }
  await mkdir(dir, { mode: 0o700 })
  const layout = {
    rootfs: join(dir, 'rootfs'),
    namespaces: await sandboxNamespaces(podDir, sandbox),
    shm: shmPath(podDir),
    cgroupsPath: cgroupOf(place, spec),
    devices: spec.privileged ? hostDevices() : [],
  }
  const config = JSON.stringify(compileBundle(spec, sandbox, layout, place.facts))
  await Promise.all([
    writeRecord(recordPath(dir), created, { durable: true }),
    writeFile(join(dir, 'config.json'), config, { mode: 0o600 }),
    mountOverlay(place.exec, dir, spec.layers),
    mkdir(dirname(spec.logPath), { recursive: true, mode: 0o700 }),
    rm(join(exitDir(place), id), { force: true }),
  ])
  const pid = await createMonitored(place.clock, {
    ...{ id, conmon: place.conmon, runtime: place.crun, runtimeRoot: crunRoot(place), dir, exitDir: exitDir(place) },
    ...{ logPath: spec.logPath, tty: spec.tty, groups: place.monitorGroups },
  })
  const pidStart = processStart(pid)
  const startedAtMs = place.clock.now()
  await must(place.exec, 'start container', place.crun, [...crunArgs(place), 'start', id])
  const started: ContainerRecord = {
    ...created,
    phase: 'started',
    startedAtMs,
    pid,
    ...(pidStart === undefined ? {} : { pidStart }),
  }
  // Not durable: a power cut ends the process too, and the record on disk says which boot it belonged to.
  await writeRecord(recordPath(dir), started, { durable: false })
  return started
}

const startContainer = async (place: CrunPlace, tracking: Tracking, spec: ContainerSpec): Promise<ContainerInfo> => {
  const id = containerId(spec)
  const before = await tracking.inspectNow(id)
  if (before !== undefined) return before
  const sandbox = await readRecord<SandboxRecord>(recordPath(sandboxDir(place, spec.podUid)))
  if (sandbox === undefined || sandbox.bootId !== place.bootId) throw new Error(`start container: pod ${spec.podUid} has no sandbox`)
  try {
    const started = await launch(place, id, spec, sandbox.spec)
    tracking.guard(started)
    return describe(started, 'running')
  } catch (error) {
    await wipeContainer(place, id)
    throw error
  }
}

/** What this runtime knows to do with one container; see ContainerHooks. */
const hooksOf = (place: CrunPlace): ContainerHooks => ({
  adopt: record => adoptContainer(place, record),
  readExit: record => readExit(place, record),
  // The monitor may still be reading the last output: its word comes at once.
  isMonitored: async record => (await monitorPid(containerDir(place, record.id), record.id)) !== undefined,
  settle: () => Promise.resolve(),
  kill: record => Promise.resolve(killContainer(place, record)),
  wipe: id => wipeContainer(place, id),
  vigil(record, fn) {
    const file = emptinessFile(place.layout, cgroupOf(place, record.spec))
    return file === undefined ? undefined : watchChange(file, place.log, fn)
  },
})

/** Opens the runtime on `deps.dir`: containers that ran before are there again, and their exits are noticed from now on. */
export const openCrunRuntime = async (deps: RuntimeDeps): Promise<Runtime> => {
  const place = await openPlace(deps)
  const tracking = createTracking(
    { ...deps, bootId: place.bootId, containersDir: containersDir(place), exitsDir: exitDir(place) },
    hooksOf(place),
  )
  const { inOrder } = tracking
  const serial = { next: 0 }
  const version = (await place.exec.run(place.crun, ['--version'])).stdout.split('\n')[0]?.replace('crun version ', '').trim()
  const inspectSandboxes = async (): Promise<readonly SandboxInfo[]> => {
    const uids = await names(sandboxesDir(place))
    const records = await Promise.all(uids.map(uid => inOrder.run(uid, () => inspectSandbox(place, uid))))
    return records.flatMap(record => (record === undefined ? [] : [describeSandbox(sandboxDir(place, record.spec.uid), record.spec)]))
  }
  return {
    name: 'crun',
    version: `crun://${version ?? 'unknown'}`,
    isolatesNetwork: true,
    losses: () =>
      unlimitedIn(place.layout).map(
        each => `limits of ${each} are not kept: this kernel has no ${each} controller (boot with cgroup_enable=${each})`,
      ),
    async inspect() {
      const [sandboxes, containers] = await Promise.all([inspectSandboxes(), tracking.inspectAll()])
      return { sandboxes, containers }
    },
    createSandbox: spec => inOrder.run(spec.uid, () => createSandbox(place, spec)),
    async removeSandbox(uid) {
      await Promise.all((await tracking.idsOf(uid)).map(id => tracking.remove(id, true)))
      await inOrder.run(uid, () => destroySandbox(place.exec, sandboxDir(place, uid), true))
      removeCgroup(place.layout, podCgroup(place, uid))
    },
    startContainer: spec => inOrder.run(containerId(spec), () => startContainer(place, tracking, spec)),
    stopContainer: tracking.stop,
    removeContainer: id => tracking.remove(id, false),
    async exec(id, command, options) {
      const [info, record] = [await tracking.inspect(id), await tracking.read(id)]
      if (info?.state !== 'running' || record === undefined) throw new Error(`exec: container ${id} is not running`)
      return execInContainer(place, record, command, { ...options, serial: serial.next++ })
    },
    async usage(id) {
      const record = await tracking.read(id)
      return record === undefined || record.exit !== undefined ? undefined : cgroupUsage(place.layout, cgroupOf(place, record.spec))
    },
    onExit: tracking.onExit,
    async reopenLog(id) {
      if ((await tracking.inspect(id))?.state === 'running') await reopenMonitorLog(containerDir(place, id))
    },
    close: tracking.close,
  }
}
