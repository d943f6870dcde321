// The heart of the loop, without promises: changes become keys, keys become runs, runs become actions, carried out through one callback.
// The simulated world drives this same code. A key runs alone, on a view that already shows what its last run wrote.

import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Queue } from '../base/queue.ts'
import { createQueue } from '../base/queue.ts'
import type { Random } from '../base/random.ts'
import type { Action, Controller, Result, View } from '../controllers/controller.ts'
import { controllerOf } from '../kinds/meta.ts'
import { EVENTS_IN_FLIGHT_MAX, EVENTS_WAITING_MAX, IN_FLIGHT_MAX, SLICE_MS, SLICE_RUNS } from './loop-limits.ts'
import { carryOut } from './loop-run.ts'
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

interface Worker {
  readonly controller: Controller
  readonly queue: Queue
  /** The revision the view must have reached before a key may run again: what its own last run wrote. */
  readonly floors: Map<string, number>
  readonly parked: Set<string>
  readonly ranAtMs: Map<string, number>
  /** Keys whose error has been logged. */
  readonly failing: Set<string>
}

export const createLoopCore = (deps: LoopCoreDeps): LoopCore => {
  const { clock, log, view } = deps
  const stats: LoopStats = { runs: 0, actions: 0, conflicts: 0, errors: 0, eventsDropped: 0 }
  const events: Action[] = []
  let inFlight = 0
  let eventsInFlight = 0
  let running = 0
  let drainPending = false
  let onEnded: (() => void) | undefined

  const wake = (): void => {
    if (drainPending || onEnded) return
    drainPending = true
    clock.after(0, drain)
  }
  const workers = deps.controllers.map((controller): Worker => {
    const queue = createQueue({ clock, random: deps.random.fork(`loop/${controller.name}`), wake })
    return { controller, queue, floors: new Map(), parked: new Set(), ranAtMs: new Map(), failing: new Set() }
  })

  const execute: Execute = (action, done) => {
    inFlight++
    stats.actions++
    deps.execute(action, outcome => {
      inFlight--
      done(outcome)
      settle()
      if (inFlight < IN_FLIGHT_MAX && workers.some(worker => worker.queue.length > 0)) wake()
    })
  }
  const settle = (): void => {
    if (!onEnded || inFlight > 0 || running > 0) return
    const ended = onEnded
    onEnded = () => {}
    ended()
  }
  const pumpEvents = (): void => {
    while (!onEnded && eventsInFlight < EVENTS_IN_FLIGHT_MAX) {
      const event = events.shift()
      if (!event) return
      eventsInFlight++
      execute(event, outcome => {
        eventsInFlight--
        if (!outcome.ok) log.debug('event not recorded', { message: outcome.message })
        pumpEvents()
      })
    }
  }
  const tell = (event: Action): void => {
    if (events.length < EVENTS_WAITING_MAX) events.push(event)
    else stats.eventsDropped++
  }

  const fail = (worker: Worker, key: string, message: string): void => {
    stats.errors++
    const fields = { controller: worker.controller.name, key, message }
    if (worker.failing.has(key)) log.debug('reconcile failed again', fields)
    else log.error('reconcile failed', fields)
    worker.failing.add(key)
    worker.queue.addFailed(key)
  }
  /** A reconciler that throws is a fault of ours, but one key's fault must not stop the fleet: it backs off alone. */
  const decide = (worker: Worker, key: string): Result | undefined => {
    try {
      return worker.controller.reconcile(view, key, clock.now())
    } catch (error) {
      fail(worker, key, `reconcile ${key}: ${messageOf(error)}`)
      return undefined
    }
  }
  const run = (worker: Worker, key: string): void => {
    stats.runs++
    const result = decide(worker, key)
    if (!result) {
      worker.queue.done(key)
      return
    }
    if (result.actions.length > 0)
      log.debug('reconciled', { controller: worker.controller.name, key, revision: view.revision, actions: result.actions.length })
    running++
    carryOut(result.actions, { execute, isStopping: () => onEnded !== undefined }, report => {
      running--
      if (report.revision > view.revision) worker.floors.set(key, report.revision)
      for (const event of report.events) tell(event)
      for (const { action, message } of report.failed) for (const event of refusedCreate(worker, action, message)) tell(event)
      const failed = report.failed[0]
      if (failed) fail(worker, key, `${failed.action.do}: ${failed.message}`)
      else if (report.conflicts > 0) {
        stats.conflicts += report.conflicts
        worker.queue.addFailed(key)
      } else {
        worker.queue.forget(key)
        worker.failing.delete(key)
        if (result.again) worker.queue.addAfter(key, result.again.afterMs)
      }
      worker.queue.done(key)
      pumpEvents()
      settle()
    })
  }

  /** True when the key was run or put off; what is put off comes back by itself. */
  const isTooEarly = (worker: Worker, key: string): boolean => {
    const floor = worker.floors.get(key)
    if (floor !== undefined && floor > view.revision) {
      worker.parked.add(key)
      return true
    }
    worker.floors.delete(key)
    const gapMs = worker.controller.gapMs ?? 0
    if (gapMs === 0) return false
    const nowMs = clock.mono()
    const leftMs = (worker.ranAtMs.get(key) ?? Number.NEGATIVE_INFINITY) + gapMs - nowMs
    if (leftMs > 0) {
      worker.queue.addAfter(key, leftMs)
      return true
    }
    remember(worker, key, nowMs, gapMs)
    return false
  }
  const takeOne = (worker: Worker): boolean => {
    const key = worker.queue.take()
    if (key === undefined) return false
    if (isTooEarly(worker, key)) worker.queue.done(key)
    else run(worker, key)
    return true
  }
  function drain(): void {
    drainPending = false
    const untilMs = clock.mono() + SLICE_MS
    let turns = 0
    for (let any = true; any && !onEnded; ) {
      any = false
      for (const worker of workers) {
        if (inFlight >= IN_FLIGHT_MAX) return
        if (takeOne(worker)) any = true
      }
      if (any && (++turns >= SLICE_RUNS || clock.mono() >= untilMs)) {
        wake()
        return
      }
    }
  }

  const tellWorkers = (change: Change): void => {
    for (const { controller, queue } of workers) {
      for (const watched of controller.watches) {
        if (watched.kind !== change.kind && watched.kind !== '*') continue
        for (const key of watched.keys(change.object, change.old, view)) queue.add(key)
      }
    }
  }
  return {
    start() {
      for (const { controller, queue } of workers) {
        for (const key of controller.initialKeys ?? []) queue.add(key)
      }
      for (const change of everything(deps.controllers, view)) tellWorkers(change)
      wake()
    },
    changed(changes) {
      if (onEnded) return
      for (const change of changes) tellWorkers(change)
      for (const { parked, floors, queue } of workers) {
        for (const key of parked) {
          if ((floors.get(key) ?? 0) > view.revision) continue
          parked.delete(key)
          queue.add(key)
        }
      }
    },
    contacted(node) {
      if (onEnded) return
      for (const { controller, queue } of workers) for (const key of controller.contactKeys?.(node) ?? []) queue.add(key)
    },
    get isIdle() {
      return !drainPending && inFlight === 0 && running === 0 && events.length === 0 && workers.every(worker => worker.queue.length === 0)
    },
    stats,
    stop(ended) {
      onEnded = ended
      for (const { queue } of workers) queue.close()
      settle()
    },
  }
}

/** When a key ran last; entries past their gap say nothing any more and are dropped from the front. */
const remember = ({ ranAtMs }: Worker, key: string, nowMs: number, gapMs: number): void => {
  ranAtMs.delete(key)
  ranAtMs.set(key, nowMs)
  for (const [old, atMs] of ranAtMs) {
    if (atMs + gapMs > nowMs) return
    ranAtMs.delete(old)
  }
}

/** The state at start, as changes: a kind that only '*' watches is among the namespaced kinds. */
const everything = (controllers: readonly Controller[], view: View): Change[] => {
  const named = controllers.flatMap(controller => controller.watches.map(watched => watched.kind))
  const kinds = new Set([...named.filter(kind => kind !== '*'), ...view.namespacedKinds])
  return [...kinds].flatMap(kind => view.list(kind).map(object => ({ kind, object, old: undefined })))
}

/** The owner hears that a child was refused. */
const refusedCreate = (worker: Worker, action: Action, message: string): Action[] => {
  if (action.do !== 'create') return []
  const owner = controllerOf(action.object.metadata)
  if (!owner) return []
  const { apiVersion, kind, name, uid } = owner
  const namespace = action.object.metadata.namespace
  const regarding = { apiVersion, kind, name, uid, ...(namespace ? { namespace } : {}) }
  return [
    { do: 'event', regarding, type: 'Warning', reason: 'FailedCreate', note: `Error creating: ${message}`, source: worker.controller.name },
  ]
}
