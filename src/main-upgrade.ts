// helio upgrade: a new program into the free slot, verified before and after it is written, tried out, switched to on trial, and watched until
// it stays or the one before runs again. A cut at any point leaves a device that starts the old or the new one; see agent/slots/slots.ts.

import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { targetOf } from './agent/slots/executable.ts'
import { LAUNCHER_PATH, SPARE_BYTES_MIN, TRIAL_STARTS_MAX } from './agent/slots/limits.ts'
import { ADDON, digestOf } from './agent/slots/program-copy.ts'
import * as slots from './agent/slots/slots.ts'
import { isOlder } from './agent/slots/version-order.ts'
import { ApiError, messageOf } from './base/errors.ts'
import { isObject } from './base/json.ts'
import type { UpgradeDesk, UpgradeOptions, UpgradeResult, UpgradeStatus, UpgradeTeller } from './cli/upgrade-shapes.ts'
import { systemClock } from './host/clock.ts'
import { systemExec } from './host/exec.ts'
import { systemFiles } from './host/files.ts'
import { type CheckedProgram, checkProgram } from './main-program-check.ts'

/** A program that takes longer to say its version is not taken. */
const VERSION_MS_MAX = 120_000
/** How long a unit may take to be told. */
const SERVICE_MS_MAX = 30_000
/** Waiting for the end of a trial: how often it is looked at, and what is added to the time that all its starts may take. */
const LOOK_MS = 500
const WAIT_SLACK_MS = 60_000
const UNITS = ['heliopause-server.service', 'heliopause-agent.service']

const deps: slots.SlotsDeps = { files: systemFiles }

const refuse = (why: string, hint: string, cause?: unknown): ApiError => new ApiError('Forbidden', `upgrade: ${why}`, { hint, cause })

/** Failures of the disk as one line with what to do. */
const explained = (error: unknown, dataDir: string): unknown => {
  const { code } = error as NodeJS.ErrnoException
  const hints: Readonly<Record<string, string>> = {
    EACCES: 'run as root',
    EPERM: 'run as root',
    EROFS: 'make the file system writable: mount -o remount,rw',
    ENOSPC: `free some space below ${dataDir}; nothing was changed`,
  }
  const hint = code === undefined ? undefined : hints[code]
  return hint === undefined || error instanceof ApiError ? error : refuse(messageOf(error), hint, error)
}

const status = (dataDir: string): UpgradeStatus => {
  const view = slots.readSlots(deps, dataDir)
  return {
    dataDir,
    slots: slots.SLOTS.map(slot => {
      const { runnable, about, bad } = view.slots[slot]
      const inUse = view.starts === slot ? (view.trial ? 'on trial' : 'current') : undefined
      const { version = '', sha256 = '', target = '', sizeBytes = 0 } = about ?? {}
      return { slot, state: !runnable ? 'empty' : (inUse ?? (bad ? 'bad' : 'previous')), version, sha256, target, sizeBytes }
    }),
    trial: view.trial
      ? {
          slot: view.trial.slot,
          version: view.trial.version,
          starts: view.trial.starts,
          startsMax: TRIAL_STARTS_MAX,
          steadySeconds: view.trial.steadySeconds,
          deadlineSeconds: view.trial.deadlineSeconds,
        }
      : null,
    bad: view.bad,
  }
}

/** The slots as they are to be found before a change: something runs from them, and nothing is on trial. */
const settled = (dataDir: string): slots.SlotsView & { readonly starts: slots.Slot } => {
  const view = slots.readSlots(deps, dataDir)
  const { starts } = view
  if (starts === undefined) throw refuse(`there are no slots in ${dataDir}`, 'helio install makes them; --data-dir names another folder')
  if (view.trial)
    throw refuse(
      `version ${view.trial.version} in slot ${view.trial.slot} is on trial`,
      'wait for its end, or end it with helio upgrade rollback',
    )
  return { ...view, starts }
}

interface Tried {
  readonly version: string
  readonly target: string
}

/** Runs the program for its version; what cannot do that is not taken. */
const tryOut = async (path: string): Promise<Tried> => {
  const hint = 'nothing was changed; take another file'
  const result = await systemExec
    .run(path, ['version', '--client', '--output', 'json'], { timeoutMs: VERSION_MS_MAX })
    .catch((cause: unknown) => {
      throw refuse(`the new program does not run: ${messageOf(cause)}`, hint, cause)
    })
  if (result.code !== 0)
    throw refuse(`the new program does not run: code ${result.code}: ${result.stderr.trim().split('\n').at(-1)?.slice(0, 200) ?? ''}`, hint)
  let answer: unknown
  try {
    answer = JSON.parse(result.stdout)
  } catch (cause) {
    throw refuse('the new program does not say its version', hint, cause)
  }
  const program = isObject(answer) && isObject(answer['program']) ? answer['program'] : {}
  const { version, target, sqlite } = program
  if (typeof version !== 'string' || typeof target !== 'string') throw refuse('the new program does not say its version', hint)
  if (typeof sqlite !== 'string' || !/^\d/.test(sqlite)) throw refuse(`the new program has no database: SQLite ${String(sqlite)}`, hint)
  return { version, target }
}

/** A script loads its addon, which no signature covers: it must be one that this device has had. */
const checkAddon = async (dataDir: string, staged: slots.StagedProgram, checked: CheckedProgram, starts: slots.Slot): Promise<void> => {
  const mine = join(slots.slotsDir(dataDir), `${staged.slot}.new`, ADDON)
  const known = join(slots.slotsDir(dataDir), starts, ADDON)
  if (!checked.script || checked.signature === undefined || !existsSync(mine)) return
  if (existsSync(known) && (await digestOf(mine)).sha256 === (await digestOf(known)).sha256) return
  throw refuse(
    `${ADDON} beside the script is not signed and not the one of the program in use`,
    'take a packaged executable, or --allow-unsigned',
  )
}

/** Refuses for want of space; empties the free slot where that makes it enough. */
const makeSpace = (
  dataDir: string,
  checked: CheckedProgram,
  view: slots.SlotsView,
  { tell, dryRun }: { tell: UpgradeTeller; dryRun: boolean },
): void => {
  const disk = statfsSync(slots.slotsDir(dataDir))
  const freeBytes = disk.bavail * disk.bsize
  const needBytes = checked.spaceBytes + SPARE_BYTES_MIN
  const free = slots.freeSlot(view)
  if (freeBytes >= needBytes) return
  const inSlot = slots.slotBytes(dataDir, free)
  const mb = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`
  if (freeBytes + inSlot < needBytes)
    throw refuse(
      `not enough space: ${mb(needBytes)} are needed, ${mb(freeBytes + inSlot)} can be had`,
      `free some below ${dataDir}; nothing was changed`,
    )
  if (dryRun) return
  tell.note(`version ${view.slots[free].about?.version ?? 'unknown'} in slot ${free} is removed for its space`)
  slots.emptySlot(deps, dataDir, free)
}

/** What is against the program by its sum and version. */
const checkHistory = (view: slots.SlotsView & { readonly starts: slots.Slot }, checked: CheckedProgram, options: UpgradeOptions): void => {
  const bad = view.bad.find(each => each.sha256 === checked.sha256)
  if (bad && !options.force)
    throw refuse(`version ${bad.version} failed on this device before: ${bad.reason}`, 'take another version; --force tries this one again')
}

const checkVersion = (from: string, to: string, { allowDowngrade }: UpgradeOptions): void => {
  if (isOlder(to, from) && !allowDowngrade)
    throw refuse(`version ${to} is older than ${from}, which runs`, '--allow-downgrade takes it; databases of the newer one may not open')
}

/** The installed launcher starts the slots of this folder, so the units are its own. */
const isInstalled = (dataDir: string): boolean => {
  const line = slots
    .launcherText({ dataDir })
    .split('\n')
    .find(each => each.startsWith('dir='))
  return line !== undefined && existsSync(LAUNCHER_PATH) && readFileSync(LAUNCHER_PATH, 'utf8').split('\n').includes(line)
}

/** What starts roles here: how to ask whether one runs, and how to start it anew. Nothing where only a person can. */
const serviceCommands = (): readonly {
  readonly name: string
  readonly asks: readonly string[]
  readonly restarts: readonly string[]
}[] => {
  if (existsSync('/run/systemd/system') && systemExec.find('systemctl') !== undefined)
    return UNITS.map(name => ({
      name,
      asks: ['systemctl', 'is-active', name],
      restarts: ['systemctl', 'restart', '--no-block', name],
    }))
  return UNITS.map(name => ({ name, script: `/etc/init.d/${name.replace(/\.service$/, '')}` }))
    .filter(({ script }) => existsSync(script))
    .map(({ name, script }) => ({ name, asks: [script, 'status'], restarts: [script, 'restart'] }))
}

const runWords = ([program = '', ...args]: readonly string[]) => systemExec.run(program, args, { timeoutMs: SERVICE_MS_MAX })

/** Restarts the roles that run as services; says what to do where there are none. */
const restart = async (dataDir: string, tell: UpgradeTeller): Promise<readonly string[]> => {
  const byHand = 'restart helio (server, agent) now: the slot takes effect when it starts'
  const restarted: string[] = []
  for (const { name, asks, restarts } of isInstalled(dataDir) ? serviceCommands() : []) {
    const { code, stdout } = await runWords(asks)
    // One that waits to be started again starts the new program too, but sooner when told.
    if (code !== 0 && stdout.trim() !== 'activating') continue
    const result = await runWords(restarts)
    if (result.code === 0) restarted.push(name)
    else tell.note(`WARNING: ${restarts.join(' ')}: ${result.stderr.trim()}; ${byHand}`)
  }
  if (restarted.length === 0) tell.note(byHand)
  return restarted
}

const startsText = ({ starts, steadySeconds }: NonNullable<slots.SlotsView['trial']>): string => {
  const roles = Object.entries(starts).flatMap(([role, count]) => {
    if (count === 'ok') return [`${role} is healthy`]
    return count === 0 ? [] : [`${role} start ${count} of ${TRIAL_STARTS_MAX}`]
  })
  return `on trial: ${roles.length === 0 ? 'not started yet' : roles.join(', ')}; ends ${steadySeconds} s after a start that stays healthy`
}

type Outcome = Pick<UpgradeResult, 'outcome' | 'reason'>

/** Looks at the files until the trial has ended, or all its starts would have. Interrupting it changes nothing. */
const untilEnded = async (
  dataDir: string,
  expected: { slot: slots.Slot; sha256: string },
  tell: UpgradeTeller,
  signal: AbortSignal,
): Promise<Outcome> => {
  const since = systemClock.mono()
  for (;;) {
    const view = slots.readSlots(deps, dataDir)
    if (view.current !== expected.slot) {
      const reason = view.bad.find(bad => bad.sha256 === expected.sha256)?.reason ?? 'somebody went back by hand'
      return { outcome: 'rolledBack', reason }
    }
    if (!view.trial) return { outcome: 'committed' }
    const patienceMs = (view.trial.deadlineSeconds * 1250 + 1000) * TRIAL_STARTS_MAX + WAIT_SLACK_MS
    if (systemClock.mono() - since > patienceMs) return { outcome: 'onTrial' }
    tell.progress(startsText(view.trial))
    await systemClock.sleep(LOOK_MS, signal)
    signal.throwIfAborted()
  }
}

type SwitchOptions = Pick<UpgradeOptions, 'dataDir' | 'restart' | 'wait' | 'steadySeconds' | 'deadlineSeconds'>

const goOver = async (options: SwitchOptions, to: { slot: slots.Slot; sha256: string }, tell: UpgradeTeller, signal: AbortSignal) => {
  const restarted = options.restart ? await restart(options.dataDir, tell) : []
  const ended: Outcome = options.restart && options.wait ? await untilEnded(options.dataDir, to, tell, signal) : { outcome: 'switched' }
  return { ...ended, restarted }
}

/** Writes, tries out and settles the program; answers what it is. Under the lock. */
const bringIn = async (
  options: UpgradeOptions,
  checked: CheckedProgram,
  view: slots.SlotsView & { readonly starts: slots.Slot },
  { tell, signal, from }: { tell: UpgradeTeller; signal: AbortSignal; from: string },
): Promise<Tried & { readonly slot: slots.Slot }> => {
  const { dataDir, file } = options
  makeSpace(dataDir, checked, view, { tell, dryRun: false })
  const staged = await slots.stageProgram(deps, dataDir, {
    file,
    sha256: checked.sha256,
    signal,
    onProgress: (done, total) => tell.progress(`writing to slot ${slots.freeSlot(view)}: ${Math.floor((done / total) * 100)} %`),
  })
  try {
    await checkAddon(dataDir, staged, checked, view.starts)
    tell.progress('trying it out')
    const tried = await tryOut(staged.path)
    if (checked.signature && checked.signature.version !== tried.version)
      throw refuse(`it is signed as version ${checked.signature.version} and says it is ${tried.version}`, 'do not run it; fetch it again')
    checkVersion(from, tried.version, options)
    signal.throwIfAborted()
    slots.settleProgram(deps, dataDir, staged, tried)
    return { ...tried, slot: staged.slot }
  } catch (error) {
    slots.removeLeftovers(dataDir)
    throw error
  }
}

const locked = async <T>(dataDir: string, work: () => Promise<T>): Promise<T> => {
  const lock = slots.lockSlots(dataDir)
  try {
    return await work()
  } finally {
    lock.release()
  }
}

const upgradeLocked = async (options: UpgradeOptions, tell: UpgradeTeller, signal: AbortSignal) => {
  const { dataDir, dryRun } = options
  const view = settled(dataDir)
  const from = view.slots[view.starts].about?.version ?? 'unknown'
  if (!dryRun) slots.removeLeftovers(dataDir)
  const checked = await checkProgram(options, tell, signal)
  const facts = { sha256: checked.sha256, from, signedBy: checked.signature?.keyId ?? null, restarted: [] }
  const running = view.slots[view.starts].about
  if (running?.sha256 === checked.sha256 && !options.force)
    return { ...facts, outcome: 'unchanged' as const, slot: view.starts, version: running.version, target: running.target }
  checkHistory(view, checked, options)
  if (checked.signature) checkVersion(from, checked.signature.version, options)
  if (dryRun) {
    makeSpace(dataDir, checked, view, { tell, dryRun })
    // From a stick that lets nothing be executed there is only what is signed to go by.
    const executable = (statSync(options.file).mode & 0o111) !== 0
    const { version = 'unknown', target = targetOf(process.arch) } = checked.signature ?? {}
    const tried = executable ? await tryOut(options.file) : { version, target }
    checkVersion(from, tried.version, options)
    return { ...facts, ...tried, outcome: 'checked' as const, slot: slots.freeSlot(view) }
  }
  const brought = await bringIn(options, checked, view, { tell, signal, from })
  slots.switchSlot(deps, dataDir, brought.slot, options)
  return { ...facts, ...brought, outcome: 'switched' as const }
}

const upgrade = async (options: UpgradeOptions, tell: UpgradeTeller, signal: AbortSignal): Promise<UpgradeResult> => {
  const { dataDir } = options
  settled(dataDir)
  const result = await locked(dataDir, () => upgradeLocked(options, tell, signal))
  if (result.outcome !== 'switched') return result
  tell.note(`version ${result.version} is in slot ${result.slot}, on trial`)
  return { ...result, ...(await goOver(options, result, tell, signal)) }
}

/** From a trial: ends it, for good, and remembers the program as bad. Else: the other slot, on trial as any other change. */
const rollbackLocked = async (options: SwitchOptions) => {
  const { dataDir } = options
  const view = slots.readSlots(deps, dataDir)
  if (view.starts === undefined)
    throw refuse(`there are no slots in ${dataDir}`, 'helio install makes them; --data-dir names another folder')
  const slot = slots.otherSlot(view.starts)
  const about = view.slots[slot].about
  const hint = 'helio upgrade --file FILE puts a program there'
  if (!view.slots[slot].runnable || !about) throw refuse(`slot ${slot} holds no program to go back to`, hint)
  const failed = view.bad.find(bad => bad.sha256 === about.sha256)
  if (failed && !view.trial)
    throw refuse(
      `version ${failed.version} in slot ${slot} failed on this device before: ${failed.reason}`,
      'helio upgrade --file FILE --force tries it again',
    )
  if ((await digestOf(slots.slotProgram(dataDir, slot))).sha256 !== about.sha256)
    throw refuse(`the program in slot ${slot} is damaged`, hint)
  const from = view.slots[view.starts].about?.version ?? 'unknown'
  if (view.trial) {
    const { sha256, version } = view.trial
    if (/^[0-9a-f]{64}$/.test(sha256)) slots.noteBad(deps, dataDir, { sha256, version, reason: 'ended by hand' })
    slots.switchSlot(deps, dataDir, slot)
  } else slots.switchSlot(deps, dataDir, slot, options)
  return { slot, version: about.version, sha256: about.sha256, target: about.target, from, signedBy: null, trial: view.trial === undefined }
}

const rollback = async (options: SwitchOptions, tell: UpgradeTeller, signal: AbortSignal): Promise<UpgradeResult> => {
  const { dataDir } = options
  slots.readSlots(deps, dataDir)
  const { trial, ...result } = await locked(dataDir, () => rollbackLocked(options))
  tell.note(`version ${result.version} in slot ${result.slot} is in use from the next start on${trial ? ', on trial' : ''}`)
  if (!trial) return { ...result, outcome: 'switched', restarted: options.restart ? await restart(dataDir, tell) : [] }
  return { ...result, ...(await goOver(options, result, tell, signal)) }
}

/** For CliDeps. */
export const upgradeDesk: UpgradeDesk = {
  status,
  upgrade: (options, tell, signal) =>
    upgrade(options, tell, signal).catch((error: unknown) => {
      throw explained(error, options.dataDir)
    }),
  rollback: (options, tell, signal) =>
    rollback(options, tell, signal).catch((error: unknown) => {
      throw explained(error, options.dataDir)
    }),
}
