// One plain process as a container: making its root, starting it under its supervisor, learning how it ended, clearing it away.

import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cp, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { type CgroupLayout, cgroupUsage, killCgroup, oomKills, removeCgroup } from './cgroup.ts'
import { ERROR_TEXT_MAX } from './limits.ts'
import { mountOverlay, removeFolder } from './mounts.ts'
import { environment, limitFiles, type ProcessFacts, type ResolvedMount, superviseWords, usesImage } from './process-command.ts'
import { type LogPump, openLogPump } from './process-log.ts'
import { commandLine, isAlive, parseStat, signal } from './process-table.ts'
import { type ContainerRecord, readRecord, readText, recordPath, writeRecord } from './record.ts'
import { hasProgram, makeMountPoint, resolveInRoot } from './root-path.ts'
import type { ContainerExit, ContainerSpec, RuntimeDeps } from './runtime.ts'

export interface ProcessPlace extends RuntimeDeps {
  readonly cgroupRoot: string
  readonly layout: CgroupLayout
  readonly facts: ProcessFacts
  readonly bootId: string
  /** `cgroup.procs` files that keep supervisors out of the agent's own group. */
  readonly monitorGroups: readonly string[]
  /** Converters of the output of containers that run, by id. */
  readonly pumps: Map<string, LogPump>
}

export const exitsDir = (place: ProcessPlace): string => join(place.dir, 'exits')
export const containersDir = (place: ProcessPlace): string => join(place.dir, 'containers')
const dirOf = (place: ProcessPlace, id: string): string => join(containersDir(place), id)
const pidFile = (place: ProcessPlace, id: string): string => join(dirOf(place, id), 'pid')
export const rootfsOf = (place: ProcessPlace, spec: ContainerSpec, id: string): string | undefined =>
  usesImage(spec, place.facts) ? join(dirOf(place, id), 'rootfs') : undefined

/** `<pod uid>_<name>_<attempt>` as a control group: the pod, then the container. */
const cgroupOf = (place: ProcessPlace, id: string): string => {
  const [podUid = '', ...rest] = id.split('_')
  return join(place.cgroupRoot, podUid, rest.join('_'))
}

/** Copies the layers where they cannot be mounted over each other; a layer's whiteouts remove what lies below. */
const copyLayers = async (rootfs: string, layers: readonly string[]): Promise<void> => {
  for (const layer of layers) {
    const entries = await readdir(layer, { recursive: true, withFileTypes: true })
    const hidden = new Set(entries.flatMap(entry => (entry.isCharacterDevice() ? [join(entry.parentPath, entry.name)] : [])))
    await Promise.all([...hidden].map(path => rm(join(rootfs, relative(layer, path)), { recursive: true, force: true })))
    await cp(layer, rootfs, {
      recursive: true,
      force: true,
      verbatimSymlinks: true,
      preserveTimestamps: true,
      filter: path => !hidden.has(path),
    })
  }
}

const makeRoot = async (place: ProcessPlace, dir: string, spec: ContainerSpec): Promise<readonly ResolvedMount[]> => {
  const rootfs = join(dir, 'rootfs')
  try {
    if (!place.facts.root) throw new Error('only root can')
    await mountOverlay(place.exec, dir, spec.layers)
  } catch (error) {
    if (place.facts.root) place.log.info('image is copied because it cannot be mounted', { error: messageOf(error) })
    await mkdir(rootfs, { recursive: true })
    await copyLayers(rootfs, spec.layers)
  }
  const folders = [...['proc', 'dev', 'sys'].map(name => join(rootfs, name)), await resolveInRoot(rootfs, spec.cwd)]
  await Promise.all(folders.map(path => mkdir(path, { recursive: true })))
  const mounts: ResolvedMount[] = []
  for (const mount of [...spec.mounts].sort((a, b) => (a.destination < b.destination ? -1 : 1)))
    mounts.push({ ...mount, target: await makeMountPoint(rootfs, mount.destination, mount.type === 'tmpfs' ? undefined : mount.source) })
  return mounts
}

/** Makes the control groups and sets the limits; returns the files to write the pid to. Best effort: some boards have no controllers. */
const makeCgroups = (place: ProcessPlace, spec: ContainerSpec, id: string): readonly string[] => {
  const { layout, facts } = place
  if (!facts.cgroups || layout.version === 'none') return []
  const joined = new Set<string>()
  for (const [controller, file, value] of limitFiles(spec, layout.version)) {
    const mount = layout.mounts.get(layout.version === 'v2' ? '' : controller)
    if (mount === undefined) continue
    const dir = join(mount, cgroupOf(place, id))
    try {
      mkdirSync(dir, { recursive: true })
      if (layout.version === 'v2')
        for (const above of [mount, join(mount, place.cgroupRoot), dirname(dir)])
          writeFileSync(join(above, 'cgroup.subtree_control'), `+${controller}`)
      writeFileSync(join(dir, file), value)
    } catch (error) {
      place.log.info('limit not kept', { container: id, file, error: messageOf(error) })
    }
    joined.add(join(dir, 'cgroup.procs'))
  }
  return [...joined]
}

const requireProgram = async (spec: ContainerSpec, rootfs: string | undefined): Promise<void> => {
  const [command = ''] = spec.args
  const path = environment(spec.env)['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  if (!(await hasProgram(rootfs ?? '/', command, spec.cwd || '/', path)))
    throw new Error(
      `start container: ${JSON.stringify(command)}: no such program${rootfs === undefined && spec.layers.length > 0 ? ' on this machine: the image is used only with root or user namespaces' : ''}`,
    )
  if (rootfs !== undefined && spec.cwd !== '' && spec.cwd !== '/' && !(await hasProgram(rootfs, '/bin/sh', '/', '')))
    throw new Error(`start container: process runtime: the image needs /bin/sh to start in ${spec.cwd}`)
}

/** Starts the supervisor and settles with proc's stat line of the process, once its root is ready. */
const supervise = (words: readonly string[], spec: ContainerSpec, cwd: string, stderr: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const [program = '', ...args] = words
    const child = spawn(program, args, { detached: true, cwd, stdio: ['ignore', 'ignore', 'ignore', 'pipe'], env: environment(spec.env) })
    const told = child.stdio[3] as NodeJS.ReadableStream & { destroy(): void }
    let text = ''
    told.on('data', chunk => {
      text += String(chunk)
      if (!text.includes('\n')) return
      told.destroy()
      child.unref()
      resolve(text)
    })
    // Its folder may be gone by then, if the start has failed otherwise before.
    const saidBy = async (): Promise<string> => (await readText(stderr))?.trim().slice(0, ERROR_TEXT_MAX) || 'its supervisor ended'
    told.on('end', () => saidBy().then(said => reject(new Error(`start container: ${said}`)), reject))
    child.on('error', error => reject(new Error(`start container: ${error.message}`, { cause: error })))
  })

const identity = (line: string): { pid: number; pidStart: string; monitorPid: number } => {
  const { pid, pidStart, parent } = parseStat(line)
  return { pid, pidStart, monitorPid: parent }
}

export const follow = (place: ProcessPlace, record: ContainerRecord): LogPump => {
  const known = place.pumps.get(record.id)
  if (known !== undefined) return known
  const pump = openLogPump(place, dirOf(place, record.id), record.spec.logPath)
  place.pumps.set(record.id, pump)
  return pump
}

/** Everything from the empty folder to a running process. The record is on disk before the process is. */
export const launchProcess = async (place: ProcessPlace, id: string, spec: ContainerSpec): Promise<ContainerRecord> => {
  const dir = dirOf(place, id)
  const created: ContainerRecord = { id, spec, bootId: place.bootId, createdAtMs: place.clock.now(), phase: 'creating' }
  await mkdir(dir, { mode: 0o700 })
  await writeRecord(recordPath(dir), created, { durable: true })
  const rootfs = rootfsOf(place, spec, id)
  const mounts = rootfs === undefined ? [] : await makeRoot(place, dir, spec)
  await requireProgram(spec, rootfs)
  await mkdir(dirname(spec.logPath), { recursive: true, mode: 0o700 })
  const [stdout, stderr] = [join(dir, 'stdout'), join(dir, 'stderr')]
  await Promise.all([stdout, stderr, spec.logPath].map(path => writeFile(path, '', { flag: 'a', mode: 0o600 })))
  const pump = follow(place, created)
  const words = superviseWords(spec, place.facts, {
    ...{
      exitFile: join(exitsDir(place), id),
      pidFile: pidFile(place, id),
      stdout,
      stderr,
      mounts,
      groups: makeCgroups(place, spec, id),
      monitorGroups: place.monitorGroups,
    },
    ...(rootfs === undefined ? {} : { rootfs }),
  })
  const stat = await supervise(words, spec, rootfs === undefined && spec.cwd !== '' ? spec.cwd : '/', stderr)
  const started: ContainerRecord = { ...created, phase: 'started', startedAtMs: place.clock.now(), ...identity(stat) }
  await writeRecord(recordPath(dir), started, { durable: false })
  await pump.pump(false)
  return started
}

/** A start that was cut short after the process announced itself. */
export const adoptProcess = async (place: ProcessPlace, record: ContainerRecord): Promise<ContainerRecord | undefined> => {
  const line = await readText(pidFile(place, record.id))
  if (line === undefined || record.bootId !== place.bootId) return undefined
  const startedAtMs = Math.round((await stat(pidFile(place, record.id))).mtimeMs)
  const adopted: ContainerRecord = { ...record, phase: 'started', startedAtMs, ...identity(line) }
  await writeRecord(recordPath(dirOf(place, record.id)), adopted, { durable: false })
  return adopted
}

export const readProcessExit = async (place: ProcessPlace, record: ContainerRecord): Promise<ContainerExit | undefined> => {
  const path = join(exitsDir(place), record.id)
  const text = await readText(path)
  if (text === undefined || !/^\d+\s*$/.test(text)) return undefined
  const exitCode = Number(text)
  const oomKilled = exitCode !== 0 && oomKills(place.layout, cgroupOf(place, record.id)) > 0
  return { exitCode, oomKilled, finishedAtMs: Math.max(record.startedAtMs ?? 0, Math.round((await stat(path)).mtimeMs)) }
}

/** True while the supervisor lives: its command line names the exit file it will write. */
export const isSupervised = (place: ProcessPlace, record: ContainerRecord): boolean =>
  record.monitorPid !== undefined && commandLine(record.monitorPid).includes(join(exitsDir(place), record.id))

export const killProcess = (place: ProcessPlace, record: ContainerRecord): void => {
  // The whole group while its leader lives; afterwards the number may be anybody's, and only the control group still tells who is ours.
  if (record.pid !== undefined && isAlive(record.pid, record.pidStart)) signal(-record.pid, 'SIGKILL')
  killCgroup(place.layout, cgroupOf(place, record.id))
}

/** The exit is known: what it left behind ends, its last words reach the log. */
export const settleProcess = async (place: ProcessPlace, record: ContainerRecord): Promise<void> => {
  killCgroup(place.layout, cgroupOf(place, record.id))
  const pump = follow(place, record)
  try {
    await pump.pump(true)
  } catch (error) {
    // The exit must be told all the same.
    place.log.error('last output not converted', { container: record.id, error: messageOf(error) })
  }
  await pump.close()
  place.pumps.delete(record.id)
}

export const usageOfProcess = (place: ProcessPlace, id: string) => cgroupUsage(place.layout, cgroupOf(place, id))

/** Removes everything of a container, running or not, whole or half made. Its log stays. */
export const wipeProcess = async (place: ProcessPlace, id: string): Promise<void> => {
  const dir = dirOf(place, id)
  const record = await readRecord<ContainerRecord>(recordPath(dir))
  const line = await readText(pidFile(place, id))
  if (record !== undefined && record.bootId === place.bootId)
    killProcess(place, { ...record, ...(line === undefined ? {} : identity(line)) })
  if (record !== undefined && isSupervised(place, record) && record.monitorPid !== undefined) signal(record.monitorPid, 'SIGKILL')
  await place.pumps.get(id)?.close()
  place.pumps.delete(id)
  removeCgroup(place.layout, cgroupOf(place, id))
  await rm(join(exitsDir(place), id), { force: true })
  await removeFolder(place.exec, dir)
}

export const removePodCgroup = (place: ProcessPlace, podUid: string): void => removeCgroup(place.layout, join(place.cgroupRoot, podUid))
