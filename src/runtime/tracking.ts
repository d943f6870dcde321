// The life of containers as seen from disk, the same for every runtime that has a monitor beside each container: what state one is in,
// when it exits, how it is stopped. Each runtime brings its own way to look, kill and clear away.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { watchFolder } from './exits.ts'
import { createInOrder, type InOrder } from './in-order.ts'
import { isAlive, signal, signalNumber } from './process-table.ts'
import { type ContainerRecord, describe, exists, names, readRecord, recordPath, writeRecord } from './record.ts'
import type { ContainerExit, ContainerInfo } from './runtime.ts'
import { createStopper } from './stop.ts'

/** What a runtime must be able to say and do about one container. All calls for one id come one after the other. */
export interface ContainerHooks {
  /** A start that was cut short after the program began, or undefined when it had not: then it is wiped. */
  adopt(record: ContainerRecord): Promise<ContainerRecord | undefined>
  /** The exit as its monitor wrote it; undefined while there is none. */
  readExit(record: ContainerRecord): Promise<ContainerExit | undefined>
  /** True while somebody is there who will write the exit. */
  isMonitored(record: ContainerRecord): Promise<boolean>
  /** Called once an exit is known and before it is told: the last output, left-over processes. */
  settle(record: ContainerRecord): Promise<void>
  kill(record: ContainerRecord): Promise<void>
  /** Removes everything of a container, running or not, whole or half made. Its log stays. */
  wipe(id: string): Promise<void>
  /** Calls `fn` when the container may have ended, also when its monitor did before; undefined where the kernel cannot tell. */
  vigil?(record: ContainerRecord, fn: () => void): (() => void) | undefined
}

export interface Tracking {
  readonly inOrder: InOrder
  dirOf(id: string): string
  read(id: string): Promise<ContainerRecord | undefined>
  /** For callers that hold the id's turn already. */
  inspectNow(id: string): Promise<ContainerInfo | undefined>
  inspect(id: string): Promise<ContainerInfo | undefined>
  /** Keeps an eye on a container that has just been started. */
  guard(record: ContainerRecord): void
  inspectAll(): Promise<readonly ContainerInfo[]>
  stop(id: string, graceMs: number): Promise<void>
  /** Removes one that has exited or is half made; `force` also one that runs. */
  remove(id: string, force: boolean): Promise<void>
  /** The containers of a pod, running or not. */
  idsOf(podUid: string): Promise<readonly string[]>
  onExit(fn: (container: ContainerInfo) => void): void
  close(): Promise<void>
}

/** A container's id; monitors also put files of other names here while they write. */
const ID = /^[^_.]+_[^_.]+_\d+$/

/** Exit code reported when it could not be learnt; always together with `unknown`. As the kubelet does. */
const EXIT_UNKNOWN = 137

export interface TrackingDeps {
  readonly clock: Clock
  readonly log: Log
  readonly bootId: string
  /** One folder a container. */
  readonly containersDir: string
  /** Monitors write the file `<id>` here. */
  readonly exitsDir: string
}

const inspectRecord = async (deps: TrackingDeps, hooks: ContainerHooks, id: string): Promise<ContainerInfo | undefined> => {
  const dir = join(deps.containersDir, id)
  if (!(await exists(dir))) return undefined
  const written = await readRecord<ContainerRecord>(recordPath(dir))
  const record = written?.phase === 'creating' ? await hooks.adopt(written) : written
  if (record === undefined) {
    await hooks.wipe(id)
    return undefined
  }
  if (record.exit !== undefined) return describe(record, 'exited')
  const close = async (exit: ContainerExit): Promise<ContainerInfo> => {
    const closed = { ...record, exit }
    await hooks.settle(closed)
    // Durable: a container that completed must not run again because the power went afterwards.
    await writeRecord(recordPath(dir), closed, { durable: true })
    return describe(closed, 'exited')
  }
  const exit = await hooks.readExit(record)
  if (exit !== undefined) return close(exit)
  if (record.bootId === deps.bootId) {
    if (isAlive(record.pid, record.pidStart) || (await hooks.isMonitored(record))) return describe(record, 'running')
    const late = await hooks.readExit(record)
    if (late !== undefined) return close(late)
  }
  const finishedAtMs = record.bootId === deps.bootId ? deps.clock.now() : (record.startedAtMs ?? record.createdAtMs)
  return close({ exitCode: EXIT_UNKNOWN, oomKilled: false, finishedAtMs, unknown: true })
}

/** How a stop reaches a container: its first process is asked, the runtime kills. Never a process of an earlier boot. */
const signalsOf = (deps: TrackingDeps, hooks: ContainerHooks, read: Tracking['read']) => ({
  ask: async (id: string): Promise<void> => {
    const record = await read(id)
    if (record?.pid !== undefined && isAlive(record.pid, record.pidStart)) signal(record.pid, signalNumber(record.spec.stopSignal))
  },
  kill: async (id: string): Promise<void> => {
    const record = await read(id)
    if (record !== undefined && record.bootId === deps.bootId) await hooks.kill(record)
  },
})

/** One watch a running container, where the runtime has such a thing. */
const createVigils = (hooks: ContainerHooks, look: (id: string) => void) => {
  const cancels = new Map<string, () => void>()
  const end = (id: string): void => {
    cancels.get(id)?.()
    cancels.delete(id)
  }
  return {
    has: (id: string): boolean => cancels.has(id),
    begin(record: ContainerRecord): void {
      const cancel = cancels.has(record.id) ? undefined : hooks.vigil?.(record, () => look(record.id))
      if (cancel !== undefined) cancels.set(record.id, cancel)
    },
    end,
    endAll(): void {
      for (const id of [...cancels.keys()]) end(id)
    },
  }
}

/** Follows every container of a runtime; `close` ends the following, nothing else. */
export const createTracking = (deps: TrackingDeps, hooks: ContainerHooks): Tracking => {
  const inOrder = createInOrder()
  const listeners = new Set<(container: ContainerInfo) => void>()
  const reported = new Set<string>()
  const dirOf = (id: string): string => join(deps.containersDir, id)
  const read = (id: string): Promise<ContainerRecord | undefined> => readRecord<ContainerRecord>(recordPath(dirOf(id)))
  const vigils = createVigils(hooks, id => look(id))
  const inspectNow = async (id: string): Promise<ContainerInfo | undefined> => {
    const info = await inspectRecord(deps, hooks, id)
    const record = info?.state === 'running' && !vigils.has(id) ? await read(id) : undefined
    if (record !== undefined) vigils.begin(record)
    if (info?.state !== 'running' && vigils.has(id)) {
      vigils.end(id)
      // Whoever looks may see the end before the kernel's word on it is read: it is told all the same.
      look(id)
    }
    return info
  }
  const inspect = (id: string): Promise<ContainerInfo | undefined> => inOrder.run(id, () => inspectNow(id))
  const stopper = createStopper({ clock: deps.clock, inspect, ...signalsOf(deps, hooks, read) })
  const noticed = async (id: string): Promise<void> => {
    const info = await inspect(id)
    if (info?.state !== 'exited') return
    stopper.exited(id)
    if (reported.has(id)) return
    reported.add(id)
    for (const listener of listeners) listener(info)
  }
  const look = (id: string): void => {
    noticed(id).catch(error => deps.log.error('exit not read', { container: id, error: messageOf(error) }))
  }
  const unwatch = watchFolder(deps.exitsDir, deps.log, look)
  return {
    inOrder,
    dirOf,
    read,
    inspectNow,
    inspect,
    guard: vigils.begin,
    async inspectAll() {
      const ids = await names(deps.containersDir)
      for (const name of await names(deps.exitsDir))
        if (ID.test(name) && !(await exists(dirOf(name)))) await rm(join(deps.exitsDir, name), { force: true })
      return (await Promise.all(ids.map(inspect))).filter(info => info !== undefined)
    },
    stop: stopper.stop,
    remove: (id, force) =>
      inOrder.run(id, async () => {
        if (!force && (await inspectNow(id))?.state === 'running') throw new Error(`remove container: ${id} is running`)
        if (await exists(dirOf(id))) await hooks.wipe(id)
        vigils.end(id)
        reported.delete(id)
      }),
    idsOf: async podUid => (await names(deps.containersDir)).filter(id => id.startsWith(`${podUid}_`)),
    onExit: fn => void listeners.add(fn),
    async close() {
      unwatch()
      listeners.clear()
      // A stop may go on waiting for its container: what it would do now is for whoever opens the folder next.
      await inOrder.close()
      // What was under way may have begun another.
      vigils.endAll()
    },
  }
}
