// The heart of the loop, without promises: changes become keys, keys become runs, runs become actions, carried out through one callback.
// The simulated world drives this same code. A key runs alone, on a view that already shows what its last run wrote.

import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Action, Controller, Result, View } from '../controllers/controller.ts'
import { IN_FLIGHT_MAX, SLICE_MS, SLICE_RUNS } from './loop-limits.ts'
import { createOutbox, refusedCreate } from './loop-outbox.ts'
import { carryOut } from './loop-run.ts'
import type { Worker } from './loop-worker.ts'
import { createWorker } from './loop-worker.ts'
import type { Change } from './view.ts'

/** How an action ended. `revision`: the store is at least this new. `quiet`: someone else was faster, run again without a word. */
export type Outcome =
  | { readonly ok: true; readonly revision: number }
  | { readonly ok: false; readonly quiet: boolean; readonly message: string; readonly revision: number }

/** Carries out one action and calls `done` once, at any time, also at once. */
export type Execute = (action: Action, done: (outcome: Outcome) => void) => void

export interface LoopCoreDeps {
  readonly clock: Pick<Clock, 'now' | 'mono' | 'after'>
  readonly random: Random
  readonly log: Log
  readonly view: View
  readonly controllers: readonly Controller[]
  readonly execute: Execute
}

export interface LoopStats {
  runs: number
  actions: number
  conflicts: number
  errors: number
  eventsDropped: number
}

export interface LoopCore {
  /** Everything that exists is looked at once. */
  start(): void
  /** The view has taken these in. */
  changed(changes: readonly Change[]): void
  /** A device connected or fell silent. */
  contacted(node: string): void
  /** No key waits and nothing is in flight; keys that wait for their time do not count. */
  readonly isIdle: boolean
  readonly stats: Readonly<LoopStats>
  /** Starts nothing any more; calls `ended` when all that was in flight has ended. */
  stop(ended: () => void): void
}

export const createLoopCore = (deps: LoopCoreDeps): LoopCore => {
  const { clock, log, view } = deps
  const stats: LoopStats = { runs: 0, actions: 0, conflicts: 0, errors: 0, eventsDropped: 0 }
  let inFlight = 0
  let running = 0
  let isDraining = false
  let onEnded: (() => void) | undefined

  const wake = (): void => {
    if (isDraining || onEnded) return
    isDraining = true
    clock.after(0, drain)
  }
  const workers = deps.controllers.map(controller =>
    createWorker(controller, { clock, random: deps.random.fork(`loop/${controller.name}`), log, view, wake }),
  )
  const settle = (): void => {
    if (!onEnded || inFlight > 0 || running > 0) return
    const ended = onEnded
    onEnded = () => {}
    ended()
  }
  const execute: Execute = (action, done) => {
    inFlight++
    stats.actions++
    deps.execute(action, outcome => {
      inFlight--
      done(outcome)
      settle()
      if (inFlight < IN_FLIGHT_MAX && workers.some(worker => worker.waiting > 0)) wake()
    })
  }
  const outbox = createOutbox({ execute, log })
  const tell = (event: Action | undefined): void => {
    if (event && !outbox.add(event)) stats.eventsDropped++
  }
  const run = (worker: Worker, key: string): void => {
    stats.runs++
    const decided = decide(worker.controller, view, key, clock.now())
    const { actions, again } = decided.result
    if (actions.length > 0)
      log.debug('reconciled', { controller: worker.controller.name, key, revision: view.revision, actions: actions.length })
    running++
    carryOut(actions, { execute, isStopping: () => onEnded !== undefined }, report => {
      running--
      for (const event of report.events) tell(event)
      for (const { action, message } of report.failed) tell(refusedCreate(worker.controller, action, message))
      const [failed] = report.failed
      const error = decided.error ?? (failed && `${failed.action.do}: ${failed.message}`)
      if (error !== undefined) stats.errors++
      stats.conflicts += report.conflicts
      worker.ended(key, { revision: report.revision, conflicts: report.conflicts, error, againMs: again?.afterMs })
      settle()
    })
  }
  function drain(): void {
    isDraining = false
    const untilMs = clock.mono() + SLICE_MS
    for (let turns = 0; !onEnded; turns++) {
      if (turns >= SLICE_RUNS || clock.mono() >= untilMs) {
        wake()
        return
      }
      let isQuiet = true
      for (const worker of workers) {
        // The end of an action wakes the loop again.
        if (inFlight >= IN_FLIGHT_MAX) return
        const key = worker.take()
        if (key === undefined) continue
        isQuiet = false
        run(worker, key)
      }
      if (isQuiet) return
    }
  }
  return {
    start() {
      for (const worker of workers) for (const key of worker.controller.initialKeys ?? []) worker.add(key)
      for (const change of everything(deps.controllers, view)) offer(workers, change, view, log)
    },
    changed(changes) {
      if (onEnded) return
      for (const change of changes) offer(workers, change, view, log)
      for (const worker of workers) worker.moved()
    },
    contacted(node) {
      if (onEnded) return
      for (const worker of workers) for (const key of worker.controller.contactKeys?.(node) ?? []) worker.add(key)
    },
    get isIdle() {
      return !isDraining && inFlight === 0 && running === 0 && outbox.waiting === 0 && workers.every(worker => worker.waiting === 0)
    },
    stats,
    stop(ended) {
      onEnded = ended
      outbox.close()
      for (const worker of workers) worker.close()
      settle()
    },
  }
}

/** A reconciler that throws is a fault of ours, but one key's fault must not stop the fleet: that key backs off alone. */
const decide = (controller: Controller, view: View, key: string, nowMs: number): { readonly result: Result; readonly error?: string } => {
  try {
    return { result: controller.reconcile(view, key, nowMs) }
  } catch (error) {
    return { result: { actions: [] }, error: `reconcile ${key}: ${messageOf(error)}` }
  }
}

/**
 * Every controller that watches the kind hears which of its keys a change concerns. This runs inside the store's delivery, which must not
 * fail: keys that cannot be told from a malformed object are logged, and the object's next change asks again.
 */
const offer = (workers: readonly Worker[], change: Change, view: View, log: Log): void => {
  for (const worker of workers) {
    for (const watched of worker.controller.watches) {
      if (watched.kind !== change.kind && watched.kind !== '*') continue
      try {
        for (const key of watched.keys(change.object, change.old, view)) worker.add(key)
      } catch (error) {
        const { namespace, name } = change.object.metadata
        log.error('keys not found', { controller: worker.controller.name, kind: change.kind, namespace, name, message: messageOf(error) })
      }
    }
  }
}

/** The state at start, as changes: a kind that only '*' watches is among the namespaced kinds. */
const everything = (controllers: readonly Controller[], view: View): Change[] => {
  const named = controllers.flatMap(controller => controller.watches.map(watched => watched.kind))
  const kinds = new Set([...named.filter(kind => kind !== '*'), ...view.namespacedKinds])
  return [...kinds].flatMap(kind => view.list(kind).map(object => ({ kind, object, old: undefined })))
}
