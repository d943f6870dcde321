// A device that runs nothing: the synchronous core of the fake runtime. Time comes from the clock, chance from the random source, so the
// same seed gives the same life. What "runs" outlives the agent that started it, not a reboot of the device.

import type { Cancel, Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { type ContainerExit, type ContainerInfo, type ContainerSpec, containerId, type SandboxInfo, type SandboxSpec } from './runtime.ts'

/** What one container will do. */
export interface FakeProgram {
  readonly startMs: number
  /** The start is refused with these words. */
  readonly startError?: string
  /** Ends by itself after this time; runs on without it. */
  readonly exitAfterMs?: number
  readonly exitCode: number
  readonly oomKilled?: boolean
  /** Does not end on the polite signal, only on SIGKILL. */
  readonly ignoresTerm: boolean
  /** From the polite signal to its end. */
  readonly stopMs: number
}

/** Chances in thousandths and times as ranges, inclusive below, exclusive above. */
export interface FakeProfile {
  readonly startMs: readonly [number, number]
  readonly stopMs: readonly [number, number]
  readonly startFailurePerMille: number
  readonly crashPerMille: number
  readonly crashAfterMs: readonly [number, number]
  readonly hangPerMille: number
}

export const CALM_PROFILE: FakeProfile = {
  startMs: [50, 90],
  stopMs: [5, 50],
  startFailurePerMille: 0,
  crashPerMille: 0,
  crashAfterMs: [1_000, 60_000],
  hangPerMille: 0,
}

/** Draws a program from a profile. */
export const drawProgram = (profile: FakeProfile, random: Random): FakeProgram => {
  const between = ([low, high]: readonly [number, number]): number => low + random.int(Math.max(1, high - low))
  const [startMs, stopMs, crashAfterMs] = [between(profile.startMs), between(profile.stopMs), between(profile.crashAfterMs)]
  const [fails, crashes, hangs] = [profile.startFailurePerMille, profile.crashPerMille, profile.hangPerMille].map(
    rate => random.int(1000) < rate,
  )
  return {
    startMs,
    stopMs,
    ignoresTerm: hangs === true,
    exitCode: crashes ? 1 : 143,
    ...(fails ? { startError: 'start container: the fake device refused' } : {}),
    ...(crashes ? { exitAfterMs: crashAfterMs } : {}),
  }
}

export type StartResult = { readonly info: ContainerInfo } | { readonly error: string }

export interface FakeDevice {
  inspect(): { sandboxes: readonly SandboxInfo[]; containers: readonly ContainerInfo[] }
  createSandbox(spec: SandboxSpec): SandboxInfo
  removeSandbox(uid: string): void
  /** `done` is called once, at once for what exists or has no sandbox, never when the agent crashes before. */
  start(spec: ContainerSpec, done: (result: StartResult) => void): void
  /** `done` is called when it has exited, at once if it has. */
  stop(id: string, graceMs: number, done: () => void): void
  /** False when it still runs. */
  remove(id: string): boolean
  onExit(fn: (container: ContainerInfo) => void): Cancel
  /** A fault from outside: the container's process is killed. */
  kill(id: string, exit?: { exitCode?: number; oomKilled?: boolean }): void
  /** The agent is gone: nobody hears of exits; of starts under way some are done, some never were. */
  crashAgent(): void
  /** The power went: nothing runs any more, sandboxes are gone, exits of what ran are unknown. */
  reboot(): void
}

interface Cell {
  readonly spec: ContainerSpec
  readonly program: FakeProgram
  info: ContainerInfo
  readonly timers: Cancel[]
  waiting: (() => void)[]
}

export interface FakeDeviceDeps {
  readonly clock: Clock
  readonly random: Random
  readonly profile?: FakeProfile
  /** Overrides what the profile would draw. */
  readonly program?: (spec: ContainerSpec, random: Random) => FakeProgram
}

const toInfo = (spec: ContainerSpec): ContainerInfo => ({
  id: containerId(spec),
  podUid: spec.podUid,
  name: spec.name,
  attempt: spec.attempt,
  init: spec.init,
  image: spec.image,
  imageID: spec.imageID,
  state: 'created',
  logPath: spec.logPath,
})

/** Everything on the device. */
interface World extends FakeDeviceDeps {
  readonly sandboxes: Map<string, SandboxInfo>
  readonly cells: Map<string, Cell>
  readonly listeners: Set<(container: ContainerInfo) => void>
  nextPid: number
}

const disarm = (cell: Cell): void => {
  for (const cancel of cell.timers.splice(0)) cancel()
}

const later = (world: World, cell: Cell, delayMs: number, fn: () => void): void => {
  cell.timers.push(world.clock.after(delayMs, fn))
}

const drop = (world: World, cell: Cell): void => {
  disarm(cell)
  world.cells.delete(cell.info.id)
}

const finish = (world: World, cell: Cell, exit: Omit<ContainerExit, 'finishedAtMs'>): void => {
  if (cell.info.state !== 'running') return
  disarm(cell)
  const { pid: _, ...rest } = cell.info
  cell.info = { ...rest, state: 'exited', exit: { ...exit, finishedAtMs: world.clock.now() } }
  for (const done of cell.waiting.splice(0)) done()
  for (const listener of [...world.listeners]) listener(cell.info)
}

const run = (world: World, cell: Cell): void => {
  const { exitAfterMs, exitCode, oomKilled = false } = cell.program
  cell.info = { ...cell.info, state: 'running', pid: world.nextPid++, startedAtMs: world.clock.now() }
  if (exitAfterMs !== undefined) later(world, cell, exitAfterMs, () => finish(world, cell, { exitCode, oomKilled }))
}

const start = (world: World, spec: ContainerSpec, done: (result: StartResult) => void): void => {
  const before = world.cells.get(containerId(spec))
  const exists = before !== undefined && before.info.state !== 'created'
  if (exists || !world.sandboxes.has(spec.podUid)) {
    done(exists ? { info: before.info } : { error: `start container: pod ${spec.podUid} has no sandbox` })
    return
  }
  const own = world.random.fork(`container/${containerId(spec)}`)
  const program = world.program?.(spec, own) ?? drawProgram(world.profile ?? CALM_PROFILE, own)
  const cell: Cell = { spec, program, info: toInfo(spec), timers: [], waiting: [] }
  if (before !== undefined) drop(world, before)
  world.cells.set(cell.info.id, cell)
  later(world, cell, program.startMs, () => {
    if (program.startError === undefined) run(world, cell)
    else drop(world, cell)
    done(program.startError === undefined ? { info: cell.info } : { error: program.startError })
  })
}

const stop = (world: World, id: string, graceMs: number, done: () => void): void => {
  const cell = world.cells.get(id)
  if (cell?.info.state !== 'running') {
    done()
    return
  }
  const { ignoresTerm, stopMs } = cell.program
  cell.waiting.push(done)
  if (graceMs > 0 && !ignoresTerm)
    later(world, cell, Math.min(stopMs, graceMs), () => finish(world, cell, { exitCode: 143, oomKilled: false }))
  later(world, cell, graceMs, () => finish(world, cell, { exitCode: 137, oomKilled: false }))
}

/** Nobody listens any more; `settle` says what becomes of each container. */
const silence = (world: World, settle: (cell: Cell) => void): void => {
  world.listeners.clear()
  for (const cell of [...world.cells.values()]) {
    cell.waiting = []
    settle(cell)
  }
}

const crashAgent = (world: World): void =>
  silence(world, cell => {
    if (cell.info.state !== 'created') return
    disarm(cell)
    const tookPlace = cell.program.startError === undefined && world.random.fork(`crash/${cell.info.id}`).int(2) === 0
    if (tookPlace) run(world, cell)
    else drop(world, cell)
  })

const reboot = (world: World): void => {
  world.sandboxes.clear()
  silence(world, cell => {
    if (cell.info.state === 'created') drop(world, cell)
    else finish(world, cell, { exitCode: 137, oomKilled: false, unknown: true })
  })
}

const removeSandbox = (world: World, uid: string): void => {
  for (const cell of [...world.cells.values()]) {
    if (cell.spec.podUid !== uid) continue
    finish(world, cell, { exitCode: 137, oomKilled: false })
    drop(world, cell)
  }
  world.sandboxes.delete(uid)
}

/** A device with nothing on it. */
export const createFakeDevice = (deps: FakeDeviceDeps): FakeDevice => {
  const world: World = { ...deps, sandboxes: new Map(), cells: new Map(), listeners: new Set(), nextPid: 1000 }
  return {
    inspect: () => ({
      sandboxes: [...world.sandboxes.values()],
      containers: [...world.cells.values()].flatMap(cell => (cell.info.state === 'created' ? [] : [cell.info])),
    }),
    createSandbox(spec) {
      const info: SandboxInfo = { uid: spec.uid, ...(spec.hostNetwork ? {} : { netns: `/fake/${spec.uid}/net` }) }
      world.sandboxes.set(spec.uid, info)
      return info
    },
    removeSandbox: uid => removeSandbox(world, uid),
    start: (spec, done) => start(world, spec, done),
    stop: (id, graceMs, done) => stop(world, id, graceMs, done),
    remove(id) {
      const cell = world.cells.get(id)
      if (cell?.info.state === 'running') return false
      if (cell !== undefined) drop(world, cell)
      return true
    },
    onExit(fn) {
      world.listeners.add(fn)
      return () => world.listeners.delete(fn)
    },
    kill(id, exit = {}) {
      const cell = world.cells.get(id)
      if (cell !== undefined) finish(world, cell, { exitCode: exit.exitCode ?? 137, oomKilled: exit.oomKilled ?? false })
    },
    crashAgent: () => crashAgent(world),
    reboot: () => reboot(world),
  }
}
