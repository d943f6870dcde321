// Containers by crun under conmon, no daemon between: what runs is in the kernel, what is known is in one record a container, and both
// are there after SIGKILL of the agent. Records are written before the thing they name exists. DESIGN section 7, runtime facts.

import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { compileBundle, compileProcess } from './bundle.ts'
import { cgroupUsage, detectCgroupLayout, removeCgroup } from './cgroup.ts'
import { createMonitored, pidPath, reopenMonitorLog } from './conmon.ts'
import {
  type CrunPlace,
  cgroupOf,
  containerDir,
  containersDir,
  crunArgs,
  crunRoot,
  exitDir,
  inspectContainer,
  killContainer,
  podCgroup,
  readContainer,
  wipeContainer,
} from './crun-container.ts'
import { onTerminal, startSession } from './exec-session.ts'
import { watchFolder } from './exits.ts'
import { detectFacts, hostDevices } from './facts.ts'
import { createInOrder } from './in-order.ts'
import { mountOverlay, must } from './mounts.ts'
import { bootId, isAlive, processStart, signal, signalNumber } from './process-table.ts'
import {
  type ContainerRecord,
  describe,
  exists,
  names,
  readRecord,
  readText,
  recordPath,
  type SandboxRecord,
  writeRecord,
} from './record.ts'
import type { ContainerInfo, ContainerSpec, ExecSession, Runtime, RuntimeDeps, SandboxInfo, SandboxSpec } from './runtime.ts'
import { containerId } from './runtime.ts'
import { buildSandbox, describeSandbox, destroySandbox, isWhole, sandboxNamespaces, shmPath } from './sandbox.ts'
import { createStopper } from './stop.ts'

const sandboxesDir = (place: CrunPlace): string => join(place.dir, 'sandboxes')
const sandboxDir = (place: CrunPlace, uid: string): string => join(sandboxesDir(place), uid)

/** crun refuses a hybrid layout whose cgroup2 tree lists controllers; in a mount namespace of its own the list is empty. */
const WRAPPER = (crun: string, list: string): string =>
  `#!/bin/sh\nexec unshare -m --propagation slave sh -c 'mount --bind /dev/null ${list} && exec "$@"' sh ${crun} "$@"\n`

const openPlace = async (deps: RuntimeDeps): Promise<CrunPlace> => {
  const [crun, conmon] = [deps.exec.find('crun'), deps.exec.find('conmon')]
  if (crun === undefined || conmon === undefined) throw new Error('open crun runtime: crun and conmon must be installed')
  const layout = detectCgroupLayout()
  const wrapper = join(deps.dir, 'crun-hybrid')
  const base = { ...deps, cgroupRoot: deps.cgroupRoot ?? '/helio', layout, facts: detectFacts(layout), bootId: bootId(), conmon }
  const place: CrunPlace = { ...base, crun: layout.hybridControllers === undefined ? crun : wrapper }
  await mkdir(deps.dir, { recursive: true, mode: 0o700 })
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
const launch = async (place: CrunPlace, id: string, spec: ContainerSpec, sandbox: SandboxSpec): Promise<ContainerInfo> => {
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
    ...{ logPath: spec.logPath, tty: spec.tty },
  })
  const pidStart = processStart(pid)
  await must(place.exec, 'start container', place.crun, [...crunArgs(place), 'start', id])
  const started: ContainerRecord = {
    ...created,
    phase: 'started',
    startedAtMs: place.clock.now(),
    pid,
    ...(pidStart === undefined ? {} : { pidStart }),
  }
  // Not durable: a power cut ends the process too, and the record on disk says which boot it belonged to.
  await writeRecord(recordPath(dir), started, { durable: false })
  return describe(started, 'running')
}

const startContainer = async (place: CrunPlace, spec: ContainerSpec): Promise<ContainerInfo> => {
  const id = containerId(spec)
  const before = await inspectContainer(place, id)
  if (before !== undefined) return before
  const sandbox = await readRecord<SandboxRecord>(recordPath(sandboxDir(place, spec.podUid)))
  if (sandbox === undefined || sandbox.bootId !== place.bootId) throw new Error(`start container: pod ${spec.podUid} has no sandbox`)
  try {
    return await launch(place, id, spec, sandbox.spec)
  } catch (error) {
    await wipeContainer(place, id)
    throw error
  }
}

const execInContainer = async (
  place: CrunPlace,
  id: string,
  command: readonly string[],
  options: { tty: boolean; stdin: boolean; serial: number },
): Promise<ExecSession> => {
  const info = await inspectContainer(place, id)
  const record = await readContainer(place, id)
  if (info?.state !== 'running' || record === undefined) throw new Error(`exec: container ${id} is not running`)
  const stem = join(containerDir(place, id), `exec-${process.pid}-${options.serial}`)
  const process_ = compileProcess(record.spec, place.facts, { args: command, tty: options.tty })
  await writeFile(`${stem}.json`, JSON.stringify(process_), { mode: 0o600 })
  const words = [
    place.crun,
    ...crunArgs(place),
    'exec',
    ...(options.tty ? ['--tty'] : []),
    `--process=${stem}.json`,
    `--pid-file=${stem}.pid`,
    id,
  ]
  const script = place.exec.find('script')
  if (options.tty && script === undefined) throw new Error('exec: a terminal needs the program script (util-linux)')
  const session = startSession(options.tty ? onTerminal(script ?? 'script', words) : words, options, () => killSession(place, record, stem))
  const clean = async (): Promise<void> => {
    await Promise.all([rm(`${stem}.json`, { force: true }), rm(`${stem}.pid`, { force: true })])
  }
  session.exitCode.then(clean, clean).catch(error => place.log.error('exec files stay', { container: id, error: messageOf(error) }))
  return session
}

/** crun exec leaves its program behind when it is killed: the program itself must go. */
const killSession = (place: CrunPlace, record: ContainerRecord, stem: string): void => {
  readText(`${stem}.pid`)
    .then(text => {
      const pid = Number(text)
      if (Number.isInteger(pid) && pid > 0 && isAlive(record.pid, record.pidStart)) signal(pid, 'SIGKILL')
    })
    .catch(error => place.log.error('exec session not killed', { container: record.id, error: messageOf(error) }))
}

/** Opens the runtime on `deps.dir`: containers that ran before are there again, and their exits are noticed from now on. */
export const openCrunRuntime = async (deps: RuntimeDeps): Promise<Runtime> => {
  const place = await openPlace(deps)
  const inOrder = createInOrder()
  const listeners = new Set<(container: ContainerInfo) => void>()
  const reported = new Set<string>()
  const serial = { next: 0 }
  const inspectOne = (id: string): Promise<ContainerInfo | undefined> => inOrder.run(id, () => inspectContainer(place, id))
  const stopper = createStopper({
    clock: place.clock,
    inspect: inspectOne,
    ask: async id => {
      const record = await readContainer(place, id)
      if (record?.pid !== undefined && isAlive(record.pid, record.pidStart)) signal(record.pid, signalNumber(record.spec.stopSignal))
    },
    kill: async id => {
      const record = await readContainer(place, id)
      if (record !== undefined) killContainer(place, record)
    },
  })
  const noticed = async (id: string): Promise<void> => {
    const info = await inspectOne(id)
    if (info?.state !== 'exited') return
    stopper.exited(id)
    if (reported.has(id)) return
    reported.add(id)
    for (const listener of listeners) listener(info)
  }
  const unwatch = watchFolder(exitDir(place), place.log, name => {
    noticed(name).catch(error => place.log.error('exit not read', { container: name, error: messageOf(error) }))
  })
  const removeOne = (id: string): Promise<void> => inOrder.run(id, () => wipeContainer(place, id)).then(() => void reported.delete(id))
  const version = (await place.exec.run(place.crun, ['--version'])).stdout.split('\n')[0]?.replace('crun version ', '').trim()
  return {
    name: 'crun',
    version: `crun://${version ?? 'unknown'}`,
    isolatesNetwork: true,
    async inspect() {
      const [sandboxes, containers] = await Promise.all([
        names(sandboxesDir(place)).then(uids => Promise.all(uids.map(uid => inOrder.run(uid, () => inspectSandbox(place, uid))))),
        names(containersDir(place)).then(ids => Promise.all(ids.map(inspectOne))),
      ])
      return {
        sandboxes: sandboxes.flatMap(record =>
          record === undefined ? [] : [describeSandbox(sandboxDir(place, record.spec.uid), record.spec)],
        ),
        containers: containers.filter(info => info !== undefined),
      }
    },
    createSandbox: spec => inOrder.run(spec.uid, () => createSandbox(place, spec)),
    async removeSandbox(uid) {
      const ids = (await names(containersDir(place))).filter(id => id.startsWith(`${uid}_`))
      await Promise.all(ids.map(removeOne))
      await inOrder.run(uid, () => destroySandbox(place.exec, sandboxDir(place, uid), true))
      removeCgroup(place.layout, podCgroup(place, uid))
    },
    startContainer: spec => inOrder.run(containerId(spec), () => startContainer(place, spec)),
    stopContainer: (id, graceMs) => stopper.stop(id, graceMs),
    async removeContainer(id) {
      if ((await inspectOne(id))?.state === 'running') throw new Error(`remove container: ${id} is running`)
      await removeOne(id)
    },
    exec: (id, command, options) => execInContainer(place, id, command, { ...options, serial: serial.next++ }),
    async usage(id) {
      const record = await readContainer(place, id)
      return record === undefined || record.exit !== undefined ? undefined : cgroupUsage(place.layout, cgroupOf(place, record.spec))
    },
    onExit: fn => void listeners.add(fn),
    async reopenLog(id) {
      if ((await inspectOne(id))?.state === 'running') await reopenMonitorLog(containerDir(place, id))
    },
    async close() {
      unwatch()
      listeners.clear()
      await inOrder.idle()
    },
  }
}

/** Path of the pid file a monitor writes; for those who look at a container from outside (tests, support). */
export const containerPidPath = (dir: string, id: string): string => pidPath(join(dir, 'containers', id))
