// One crun container as disk and kernel tell it: where its things are, how it ended, how it is killed and cleared away.

import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { MachineFacts } from './bundle.ts'
import { type CgroupLayout, killCgroup, oomKills, removeCgroup } from './cgroup.ts'
import { monitorPid, pidPath } from './conmon.ts'
import { COMMAND_TIMEOUT_MS } from './limits.ts'
import { removeFolder } from './mounts.ts'
import { isAlive, isInCgroup, processStart, signal } from './process-table.ts'
import { type ContainerRecord, exists, readRecord, readText, recordPath, writeRecord } from './record.ts'
import type { ContainerExit, ContainerSpec, RuntimeDeps } from './runtime.ts'

/** Everything the functions of this runtime share, fixed for its lifetime. */
export interface CrunPlace extends RuntimeDeps {
  readonly cgroupRoot: string
  readonly layout: CgroupLayout
  readonly facts: MachineFacts
  readonly bootId: string
  /** crun, or the script that wraps it. */
  readonly crun: string
  readonly conmon: string
  /** `cgroup.procs` files that keep monitors out of the agent's own group. */
  readonly monitorGroups: readonly string[]
}

export const exitDir = (place: CrunPlace): string => join(place.dir, 'exits')
export const crunRoot = (place: CrunPlace): string => join(place.dir, 'crun')
export const crunArgs = (place: CrunPlace): readonly string[] => [`--root=${crunRoot(place)}`, '--cgroup-manager=cgroupfs']
export const containersDir = (place: CrunPlace): string => join(place.dir, 'containers')
export const containerDir = (place: CrunPlace, id: string): string => join(containersDir(place), id)
export const podCgroup = (place: CrunPlace, podUid: string): string => join(place.cgroupRoot, podUid)
export const cgroupOf = (place: CrunPlace, spec: Pick<ContainerSpec, 'podUid' | 'name' | 'attempt'>): string =>
  join(podCgroup(place, spec.podUid), `${spec.name}_${spec.attempt}`)

/** The parts of an id, which is `<pod uid>_<name>_<attempt>`; neither uid nor name holds an underscore. */
const parseId = (id: string): Pick<ContainerSpec, 'podUid' | 'name' | 'attempt'> => {
  const [podUid = '', name = '', attempt = ''] = id.split('_')
  return { podUid, name, attempt: Number(attempt) }
}

/** The exit as the monitor wrote it, with the kernel's word on memory; undefined while there is none. */
export const readExit = async (place: CrunPlace, record: ContainerRecord): Promise<ContainerExit | undefined> => {
  const path = join(exitDir(place), record.id)
  const text = await readText(path)
  if (text === undefined || !/^\d+\s*$/.test(text)) return undefined
  const marked = await exists(join(containerDir(place, record.id), 'oom'))
  const exitCode = Number(text)
  const oomKilled = exitCode !== 0 && (marked || oomKills(place.layout, cgroupOf(place, record.spec)) > 0)
  // File times come from a coarser clock than ours: never before the start.
  return { exitCode, oomKilled, finishedAtMs: Math.max(record.startedAtMs ?? 0, Math.round((await stat(path)).mtimeMs)) }
}

/** A start that was cut short after the program began: its pid file is there and crun's start barrier is gone. */
export const adoptContainer = async (place: CrunPlace, record: ContainerRecord): Promise<ContainerRecord | undefined> => {
  if (record.bootId !== place.bootId) return undefined
  const dir = containerDir(place, record.id)
  const pid = Number((await readText(pidPath(dir))) ?? Number.NaN)
  const state = join(crunRoot(place), record.id)
  if (!Number.isInteger(pid) || !(await exists(state)) || (await exists(join(state, 'exec.fifo')))) return undefined
  const ours = isInCgroup(pid, cgroupOf(place, record.spec))
  const pidStart = ours ? processStart(pid) : undefined
  const startedAtMs = Math.round((await stat(pidPath(dir))).mtimeMs)
  const adopted: ContainerRecord = { ...record, phase: 'started', startedAtMs, pid, ...(pidStart === undefined ? {} : { pidStart }) }
  await writeRecord(recordPath(dir), adopted, { durable: false })
  return adopted
}

/** Kills every process of the container, with or without its monitor's help. */
export const killContainer = (place: CrunPlace, record: ContainerRecord): void => {
  if (record.pid !== undefined && isAlive(record.pid, record.pidStart)) signal(record.pid, 'SIGKILL')
  killCgroup(place.layout, cgroupOf(place, record.spec))
}

/** Removes everything of a container, running or not, whole or half made. Its log stays. */
export const wipeContainer = async (place: CrunPlace, id: string): Promise<void> => {
  const dir = containerDir(place, id)
  const key = parseId(id)
  const record = await readRecord<ContainerRecord>(recordPath(dir))
  const monitor = await monitorPid(dir, id)
  killCgroup(place.layout, cgroupOf(place, key))
  const state = join(crunRoot(place), id)
  if (await exists(state)) {
    // State of an earlier boot names processes that may be anybody's now; crun must not see it.
    if (record?.bootId === place.bootId)
      await place.exec.run(place.crun, [...crunArgs(place), 'delete', '--force', id], { timeoutMs: COMMAND_TIMEOUT_MS })
    await rm(state, { recursive: true, force: true })
  }
  if (monitor !== undefined && (await monitorPid(dir, id)) === monitor) signal(monitor, 'SIGKILL')
  removeCgroup(place.layout, cgroupOf(place, key))
  await rm(join(exitDir(place), id), { force: true })
  await removeFolder(place.exec, dir)
}
