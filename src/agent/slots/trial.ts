// The end of a trial, in the program that is on trial: a role that was healthy and stayed so says it, and when every role that was started in
// this trial has said it, the trial is over. The server of a device is never asked. Until `ended` answers true nothing may be written that the
// old program cannot read: it may be started on it again.

import { basename, dirname } from 'node:path'
import type { Cancel, Clock } from '../../base/clock.ts'
import type { Files } from '../../base/files.ts'
import type { Log } from '../../base/log.ts'
import { TRIAL_LOOK_MS } from './limits.ts'
import { parseCurrent, parseStarts, SLOT_ROLES, type SlotRole, TRIAL_TIMES, trialOf, UNKNOWN_SUM } from './slot-state.ts'
import { commitTrial, noteStarts, readTexts } from './slots.ts'

export interface TrialDeps {
  readonly files: Files
  readonly clock: Pick<Clock, 'after'>
  readonly log: Log
  /** Path of the program that runs, links resolved: `…/slots/b/helio`. Any other path is on no trial. */
  readonly program: string
  /** The role is to end with failure, so that its supervisor starts it again: it was not healthy and steady in time. */
  readonly fail: (why: string) => void
}

/** What is wrong with this role here and now, as a cause; undefined when it is healthy. Asks nobody beyond this machine. */
export type HealthCheck = () => Promise<string | undefined>

export interface TrialWatch {
  /** The role stands: from now on it has to stay healthy for the steady time. */
  ready(check: HealthCheck): void
  /** No trial, or it is over. */
  ended(): boolean
  /** An orderly stop is no failed start: the start is given back. */
  stop(): void
}

const NO_TRIAL: TrialWatch = { ready: () => {}, ended: () => true, stop: () => {} }

/** The slots folder and the trial of this program in it. */
const find = ({ files, program }: TrialDeps, role: SlotRole) => {
  const dir = dirname(dirname(program))
  if (basename(dir) !== 'slots') return undefined
  const texts = readTexts({ files }, dir)
  const trial = trialOf(texts)
  if (trial === undefined || parseCurrent(texts.current) !== basename(dirname(program))) return undefined
  const known = trial === 'unreadable' ? { sha256: UNKNOWN_SUM, version: 'unknown', ...TRIAL_TIMES } : trial
  return { ...known, dir, starts: parseStarts(texts.starts[role], known.sha256) }
}

/** Another role that was started in this trial and has not been found healthy. */
const isAwaited = (files: Files, dir: string, sum: string, role: SlotRole): boolean => {
  const { starts } = readTexts({ files }, dir)
  return SLOT_ROLES.some(other => other !== role && ![0, 'ok'].includes(parseStarts(starts[other], sum)))
}

/** Opened as soon as a role begins: its deadline counts from here. */
export const watchTrial = (deps: TrialDeps, role: SlotRole): TrialWatch => {
  const { files, clock, log } = deps
  const trial = find(deps, role)
  if (trial === undefined) return NO_TRIAL
  const { dir, sha256, version, starts } = trial
  const state: { over: boolean; why: string; cancel: Cancel | undefined } = {
    over: starts === 'ok',
    why: 'it did not get ready',
    cancel: undefined,
  }
  log.info('program is on trial', { version, role, starts: String(starts), deadlineSeconds: trial.deadlineSeconds })
  const end = (): void => {
    state.over = true
    state.cancel?.()
    deadline?.()
  }
  const deadline = state.over
    ? undefined
    : clock.after(trial.deadlineSeconds * 1000, () => {
        if (state.over) return
        end()
        if (!isOurs()) return
        log.error('program on trial is not healthy in time', { version, role, why: state.why })
        deps.fail(state.why)
      })
  /** Somebody went back by hand, or another program has come into this slot: that trial is not ours. */
  const isOurs = (): boolean => find(deps, role)?.sha256 === sha256
  const pass = (): void => {
    end()
    if (!isOurs()) return
    noteStarts({ files }, dir, role, 'ok')
    const awaited = isAwaited(files, dir, sha256, role)
    if (!awaited) commitTrial({ files }, dir)
    log.info(awaited ? 'program on trial is healthy in this role; the other one is awaited' : 'trial ended: the program stays', {
      version,
      role,
    })
  }
  const look = async (check: HealthCheck): Promise<void> => {
    const why = await check()
    if (state.over) return
    if (why === undefined) return pass()
    state.why = why
    state.cancel = clock.after(TRIAL_LOOK_MS, () => run(check))
  }
  const run = (check: HealthCheck): void => {
    look(check).catch((error: unknown) => {
      // A disk that takes nothing ends no trial: the next start, or the deadline, decides.
      log.error('end of trial failed', { role, why: String(error) })
    })
  }
  return {
    ready(check) {
      if (state.over) return
      state.why = `it was not steady for ${trial.steadySeconds} s`
      state.cancel = clock.after(trial.steadySeconds * 1000, () => run(check))
    },
    ended: () => trialOf(readTexts({ files }, dir)) === undefined,
    stop() {
      if (state.over) return
      end()
      try {
        if (typeof starts === 'number' && isOurs()) noteStarts({ files }, dir, role, Math.max(0, starts - 1))
      } catch (error) {
        log.error('start on trial was not given back', { role, why: String(error) })
      }
    },
  }
}
