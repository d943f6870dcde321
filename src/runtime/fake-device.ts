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
  /** `done` is called once, later, or never when the agent crashes before. */
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
  timers: Cancel[]
  waiting: (() => void)[]
  started?: (result: StartResult) => void
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

export const createFakeDevice = (deps: FakeDeviceDeps): FakeDevice => {
  const { clock, random } = deps
  const sandboxes = new Map<string, SandboxInfo>()
  const cells = new Map<string, Cell>()
  const listeners = new Set<(container: ContainerInfo) => void>()
  const counters = { pid: 1000 }

  const disarm = (cell: Cell): void => {
    for (const cancel of cell.timers) cancel()
    cell.timers = []
  }
  const later = (cell: Cell, delayMs: number, fn: () => void): void => void cell.timers.push(clock.after(delayMs, fn))

  const finish = (cell: Cell, exit: Omit<ContainerExit, 'finishedAtMs'>): void => {
    if (cell.info.state !== 'running') return
    disarm(cell)
    const { pid: _, ...rest } = cell.info
    cell.info = { ...rest, state: 'exited', exit: { ...exit, finishedAtMs: clock.now() } }
    for (const done of cell.waiting.splice(0)) done()
    for (const listener of [...listeners]) listener(cell.info)
  }
  const run = (cell: Cell): void => {
    const { program } = cell
    cell.info = { ...cell.info, state: 'running', pid: counters.pid++, startedAtMs: clock.now() }
    if (program.exitAfterMs !== undefined)
      later(cell, program.exitAfterMs, () => finish(cell, { exitCode: program.exitCode, oomKilled: program.oomKilled ?? false }))
  }
  const drop = (cell: Cell): void => {
    disarm(cell)
    cells.delete(cell.info.id)
  }

  return {
    inspect: () => ({
      sandboxes: [...sandboxes.values()],
      containers: [...cells.values()].flatMap(cell => (cell.info.state === 'created' ? [] : [cell.info])),
    }),
    createSandbox(spec) {
      const info: SandboxInfo = { uid: spec.uid, ...(spec.hostNetwork ? {} : { netns: `/fake/${spec.uid}/net` }) }
      sandboxes.set(spec.uid, info)
      return info
    },
    removeSandbox(uid) {
      for (const cell of [...cells.values()]) {
        if (cell.spec.podUid !== uid) continue
        finish(cell, { exitCode: 137, oomKilled: false })
        drop(cell)
      }
      sandboxes.delete(uid)
    },
    start(spec, done) {
      const before = cells.get(containerId(spec))
      if (before !== undefined && before.info.state !== 'created') return done({ info: before.info })
      if (!sandboxes.has(spec.podUid)) return done({ error: `start container: pod ${spec.podUid} has no sandbox` })
      const own = random.fork(`container/${containerId(spec)}`)
      const program = deps.program?.(spec, own) ?? drawProgram(deps.profile ?? CALM_PROFILE, own)
      const cell: Cell = { spec, program, info: toInfo(spec), timers: [], waiting: [], started: done }
      if (before !== undefined) drop(before)
      cells.set(cell.info.id, cell)
      later(cell, program.startMs, () => {
        delete cell.started
        if (program.startError === undefined) run(cell)
        else drop(cell)
        done(program.startError === undefined ? { info: cell.info } : { error: program.startError })
      })
    },
    stop(id, graceMs, done) {
      const cell = cells.get(id)
      if (cell?.info.state !== 'running') return done()
      cell.waiting.push(done)
      if (graceMs > 0 && !cell.program.ignoresTerm)
        later(cell, Math.min(cell.program.stopMs, graceMs), () => finish(cell, { exitCode: 143, oomKilled: false }))
      later(cell, graceMs, () => finish(cell, { exitCode: 137, oomKilled: false }))
    },
    remove(id) {
      const cell = cells.get(id)
      if (cell?.info.state === 'running') return false
      if (cell !== undefined) drop(cell)
      return true
    },
    onExit(fn) {
      listeners.add(fn)
      return () => listeners.delete(fn)
    },
    kill(id, exit = {}) {
      const cell = cells.get(id)
      if (cell !== undefined) finish(cell, { exitCode: exit.exitCode ?? 137, oomKilled: exit.oomKilled ?? false })
    },
    crashAgent() {
      listeners.clear()
      for (const cell of [...cells.values()]) {
        cell.waiting = []
        if (cell.info.state !== 'created') continue
        disarm(cell)
        delete cell.started
        if (cell.program.startError === undefined && random.fork(`crash/${cell.info.id}`).int(2) === 0) run(cell)
        else drop(cell)
      }
    },
    reboot() {
      listeners.clear()
      sandboxes.clear()
      for (const cell of [...cells.values()]) {
        cell.waiting = []
        if (cell.info.state === 'created') drop(cell)
        else finish(cell, { exitCode: 137, oomKilled: false, unknown: true })
      }
    },
  }
}
