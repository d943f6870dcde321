// The door of the slots: DATA_DIR/slots holds two copies of the program, one of which runs; see slot-state.ts for its files and launcher.ts
// for who picks. Every change is whole or not at all under a power cut, in this order: a program is written and verified beside its slot
// and renamed into it; `trial` is written before `current`, and ended by removing it. Rule for whoever changes the form of a database: the
// new form is written only once the trial has ended (trial.ts), since until then the old program may be started on it again.
// A launcher is as old as the installation: the form of its files (current, trial, trial.ROLE, bad, about) does not change.

import { closeSync, existsSync, fsyncSync, lstatSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ApiError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import { type Lock, tryLock } from '../images/lock.ts'
import { isFit, readHeader } from './executable.ts'
import { STATE_BYTES_MAX } from './limits.ts'
import { copyProgram, type ProgramSource, type WrittenProgram } from './program-copy.ts'
import {
  aboutText,
  type BadProgram,
  badText,
  decide,
  otherSlot,
  parseAbout,
  parseBad,
  parseCurrent,
  parseStarts,
  SLOT_ROLES,
  type Slot,
  type SlotAbout,
  type SlotRole,
  type SlotTexts,
  type Starts,
  startsText,
  TRIAL_TIMES,
  type Trial,
  trialOf,
  trialText,
  UNKNOWN_SUM,
} from './slot-state.ts'

export { launcherText } from './launcher.ts'
export type { ProgramSource, WrittenProgram } from './program-copy.ts'
export type { BadProgram, Slot, SlotAbout, SlotRole, Starts, Trial } from './slot-state.ts'
export { otherSlot, SLOTS } from './slot-state.ts'

export interface SlotsDeps {
  readonly files: Files
}

/** The folder as readers see it. */
export interface SlotsView {
  /** Undefined: nothing is installed, or the file is damaged; `starts` then still says what a start would run. */
  readonly current: Slot | undefined
  /** The slot that a start runs; undefined when neither holds a program. */
  readonly starts: Slot | undefined
  readonly slots: Readonly<Record<Slot, { readonly runnable: boolean; readonly about: SlotAbout | undefined; readonly bad: boolean }>>
  /** The trial of the current slot. */
  readonly trial: (Omit<Trial, 'sha256'> & { readonly sha256: string; readonly starts: Readonly<Record<SlotRole, Starts>> }) | undefined
  /** Oldest first. */
  readonly bad: readonly BadProgram[]
}

export const slotsDir = (dataDir: string): string => join(dataDir, 'slots')
/** Where the program of a slot lies. */
export const slotProgram = (dataDir: string, slot: Slot): string => join(slotsDir(dataDir), slot, 'helio')

/** A state file, '' for one that is there and cannot be read (a folder, too long, a bad sector). */
const readState = ({ files }: SlotsDeps, path: string): string | undefined => {
  try {
    return files.read(path, STATE_BYTES_MAX)
  } catch (error) {
    if (error instanceof Error) return ''
    throw error
  }
}

const isRunnable = (path: string): boolean => {
  try {
    const stat = statSync(path)
    return stat.isFile() && stat.size > 0 && (stat.mode & 0o111) !== 0
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false
    throw error
  }
}

const looksFit = (path: string, saidBytes: number | undefined): boolean => {
  try {
    return isFit(readHeader(path), statSync(path).size, saidBytes)
  } catch (error) {
    // A file that cannot be read cannot be run.
    if (error instanceof Error && 'code' in error) return false
    throw error
  }
}

/** The files as texts; see decide. */
export const readTexts = (deps: SlotsDeps, dir: string): SlotTexts => {
  const text = (name: string): string | undefined => readState(deps, join(dir, name))
  const slot = (name: Slot) => {
    const path = join(dir, name, 'helio')
    const about = text(`${name}/about`)
    const runnable = isRunnable(path)
    return { runnable, fit: runnable && looksFit(path, parseAbout(about)?.sizeBytes), about }
  }
  return {
    current: text('current'),
    trial: text('trial'),
    starts: { server: text('trial.server'), agent: text('trial.agent') },
    bad: text('bad'),
    slots: { a: slot('a'), b: slot('b') },
  }
}

/** The trial of the current slot, with what a damaged file leaves of it. */
const activeTrial = (texts: SlotTexts): SlotsView['trial'] => {
  const found = trialOf(texts)
  const current = parseCurrent(texts.current)
  if (found === undefined || current === undefined) return undefined
  const about = parseAbout(texts.slots[current].about)
  const trial: Trial =
    found === 'unreadable'
      ? { slot: current, sha256: about?.sha256 ?? UNKNOWN_SUM, version: about?.version ?? 'unknown', ...TRIAL_TIMES }
      : found
  const sum = found === 'unreadable' ? UNKNOWN_SUM : trial.sha256
  const starts = Object.fromEntries(SLOT_ROLES.map(role => [role, parseStarts(texts.starts[role], sum)])) as Record<SlotRole, Starts>
  return { ...trial, starts }
}

/** What lies in the slots of a data folder; never rejects for damaged files. */
export const readSlots = (deps: SlotsDeps, dataDir: string): SlotsView => {
  const texts = readTexts(deps, slotsDir(dataDir))
  const bad = parseBad(texts.bad)
  const slot = (name: Slot) => {
    const about = parseAbout(texts.slots[name].about)
    return { runnable: texts.slots[name].runnable, about, bad: bad.some(each => each.sha256 === about?.sha256) }
  }
  return {
    current: parseCurrent(texts.current),
    starts: decide(texts, undefined).slot,
    slots: { a: slot('a'), b: slot('b') },
    trial: activeTrial(texts),
    bad,
  }
}

const syncFolder = (dir: string): void => {
  const folder = openSync(dir, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** Plain users may run the program for its command line; there is no secret in the slots. */
const MODE = { folder: 0o755, state: 0o644 }

const makeFolder = (dir: string): void => {
  if (existsSync(dir)) return
  // The data folder itself is nobody else's unless it was made so before.
  mkdirSync(dirname(dir), { recursive: true, mode: 0o700 })
  mkdirSync(dir, { mode: MODE.folder })
}

/**
 * Only one process changes the slots at a time: until `release`, or its end. Refused with Conflict while another one does.
 */
export const lockSlots = (dataDir: string): Lock => {
  const dir = join(slotsDir(dataDir), 'lock')
  makeFolder(slotsDir(dataDir))
  makeFolder(dir)
  const lock = tryLock(dir)
  if ('release' in lock) return lock
  throw new ApiError('Conflict', `upgrade: process ${lock.heldBy} is upgrading ${dataDir} already`, { hint: 'wait for it to end' })
}

/** Removes what an upgrade that was cut off left beside the slots. Under the lock, and with no trial under way. */
export const removeLeftovers = (dataDir: string): void => {
  const dir = slotsDir(dataDir)
  for (const name of readdirSync(dir)) if (/\.(new|old|tmp)$/.test(name)) rmSync(join(dir, name), { recursive: true, force: true })
}

/** The slot a new program goes into: the one that is not started. `a` where nothing is installed. */
export const freeSlot = (view: Pick<SlotsView, 'starts'>): Slot => (view.starts === undefined ? 'a' : otherSlot(view.starts))

/** Bytes a slot takes on the disk. */
export const slotBytes = (dataDir: string, slot: Slot): number => {
  const dir = join(slotsDir(dataDir), slot)
  if (!existsSync(dir)) return 0
  return readdirSync(dir).reduce((sum, name) => sum + lstatSync(join(dir, name)).size, 0)
}

/** Empties a slot, for its space; the one that is started is refused. */
export const emptySlot = (deps: SlotsDeps, dataDir: string, slot: Slot): void => {
  if (readSlots(deps, dataDir).starts === slot) throw new ApiError('Conflict', `empty slot ${slot}: it is the one that runs`)
  rmSync(join(slotsDir(dataDir), slot), { recursive: true, force: true })
  syncFolder(slotsDir(dataDir))
}

/** Beside its slot: a program that is written and verified, but is nothing yet. */
export interface StagedProgram extends WrittenProgram {
  readonly slot: Slot
  /** Absolute path of the executable, to be tried out. */
  readonly path: string
}

/**
 * Copies a program (and a script's addon) to the disk beside the free slot, durably, and reads it back: what is on the disk has the digest
 * that is answered. Makes missing folders. Nothing that is started changes. Rejects when `source.sha256` is given and not met.
 */
export const stageProgram = async (deps: SlotsDeps, dataDir: string, source: ProgramSource): Promise<StagedProgram> => {
  const dir = slotsDir(dataDir)
  makeFolder(dir)
  const slot = freeSlot(readSlots(deps, dataDir))
  const folder = join(dir, `${slot}.new`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: MODE.folder })
  try {
    const written = await copyProgram(source, folder)
    syncFolder(folder)
    return { ...written, slot, path: join(folder, 'helio') }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

/** Puts a staged program into its slot, which held the program before the current one. Not started before switchSlot. */
export const settleProgram = (
  { files }: SlotsDeps,
  dataDir: string,
  staged: Pick<StagedProgram, 'slot' | 'sha256' | 'sizeBytes'>,
  facts: { readonly version: string; readonly target: string },
): void => {
  const dir = slotsDir(dataDir)
  const { slot, sha256, sizeBytes } = staged
  files.write(join(dir, `${slot}.new`, 'about'), aboutText({ sha256, sizeBytes, ...facts }), MODE.state)
  rmSync(join(dir, slot), { recursive: true, force: true })
  renameSync(join(dir, `${slot}.new`), join(dir, slot))
  syncFolder(dir)
}

/** Copies, verifies and settles in one: what an installer needs, which knows the version of what it installs. */
export const installSlot = async (
  deps: SlotsDeps,
  dataDir: string,
  source: ProgramSource & { readonly version: string; readonly target: string },
): Promise<SlotAbout & { readonly slot: Slot }> => {
  const staged = await stageProgram(deps, dataDir, source)
  settleProgram(deps, dataDir, staged, source)
  const { slot, sha256, sizeBytes } = staged
  return { slot, sha256, sizeBytes, version: source.version, target: source.target }
}

const removeFiles = (dir: string, names: readonly string[]): void => {
  for (const name of names) rmSync(join(dir, name), { recursive: true, force: true })
  syncFolder(dir)
}

const TRIAL_FILES = ['trial', 'trial.server', 'trial.agent']

/**
 * From now on starts run this slot. With `times` on trial: TRIAL_STARTS_MAX starts of a role that do not end it lead back to the other slot.
 * Without: for good, at once (a first install, a way back). The role that runs is not touched: restart it.
 */
export const switchSlot = (
  deps: SlotsDeps,
  dataDir: string,
  slot: Slot,
  times?: { readonly steadySeconds: number; readonly deadlineSeconds: number },
): void => {
  const dir = slotsDir(dataDir)
  if (!isRunnable(slotProgram(dataDir, slot))) throw new ApiError('NotFound', `switch to slot ${slot}: it holds no program`)
  if (times === undefined) {
    // Before the trial's end, not after it: a cut in between must not make the program on trial the good one.
    deps.files.write(join(dir, 'current'), `${slot}\n`, MODE.state)
    removeFiles(dir, TRIAL_FILES)
    return
  }
  const about = parseAbout(readState(deps, join(dir, slot, 'about')))
  if (about === undefined) throw new ApiError('Invalid', `switch to slot ${slot}: nothing says which program it holds`)
  removeFiles(dir, TRIAL_FILES)
  // They are there before they are needed: on a full disk the launcher can still count in them.
  for (const role of SLOT_ROLES) deps.files.write(join(dir, `trial.${role}`), startsText(about.sha256, 0), MODE.state)
  deps.files.write(join(dir, 'trial'), trialText({ slot, ...about, ...times }), MODE.state)
  deps.files.write(join(dir, 'current'), `${slot}\n`, MODE.state)
}

/** Notes how often a role was started in this trial, or that it is healthy and steady. Nothing to do when there is no trial any more. */
export const noteStarts = (deps: SlotsDeps, dir: string, role: SlotRole, starts: Starts): void => {
  const texts = readTexts(deps, dir)
  const trial = trialOf(texts)
  if (trial === undefined) return
  deps.files.write(join(dir, `trial.${role}`), startsText(trial === 'unreadable' ? UNKNOWN_SUM : trial.sha256, starts), MODE.state)
}

/** Ends the trial of the current slot: its program is the good one from now on. Harmless when there is none. */
export const commitTrial = (_deps: SlotsDeps, dir: string): void => removeFiles(dir, TRIAL_FILES)

/** Remembers a program as bad; it is refused by later upgrades. */
export const noteBad = (deps: SlotsDeps, dataDir: string, bad: BadProgram): void => {
  const path = join(slotsDir(dataDir), 'bad')
  deps.files.write(path, badText(parseBad(readState(deps, path)), bad), MODE.state)
}
