// Carrying out the actions of one run: objects first, many at a time; then statuses; Events are handed back, those of failed actions left
// out. The first refusal that is not a mere conflict stops the rest of its kind: the next run
// sees more.

import type { Action } from '../controllers/controller.ts'
import type { Execute, Outcome } from './loop-core.ts'
import { RUN_IN_FLIGHT_MAX } from './loop-limits.ts'

export interface RunReport {
  /** The store is at least this new after the run's writes; 0 when it wrote nothing. */
  readonly revision: number
  readonly conflicts: number
  readonly failed: readonly { readonly action: Action; readonly message: string }[]
  /** Events to record. */
  readonly events: readonly Action[]
}

interface RunDeps {
  readonly execute: Execute
  readonly isStopping: () => boolean
}

export const carryOut = (actions: readonly Action[], deps: RunDeps, done: (report: RunReport) => void): void => {
  const positions = [...actions.keys()]
  const phases = [
    positions.filter(index => actions[index]!.do !== 'patchStatus' && actions[index]!.do !== 'event'),
    positions.filter(index => actions[index]!.do === 'patchStatus'),
  ]
  const succeeded = new Set<number>()
  const failed: { action: Action; message: string }[] = []
  let conflicts = 0
  let revision = 0

  const note = (index: number, outcome: Outcome): void => {
    revision = Math.max(revision, outcome.revision)
    if (outcome.ok) succeeded.add(index)
    else if (outcome.quiet) conflicts++
    else failed.push({ action: actions[index]!, message: outcome.message })
  }
  const finish = (): void => {
    const events = actions.filter(action => action.do === 'event' && (action.after === undefined || succeeded.has(action.after)))
    done({ revision, conflicts, failed, events })
  }
  const runPhase = (phase: number): void => {
    const waiting = phases[phase]
    if (!waiting) {
      finish()
      return
    }
    const failedBefore = failed.length
    let next = 0
    let inFlight = 0
    let isPumping = false
    const pump = (): void => {
      // An action may end at once: the loop below carries on, without recursion.
      if (isPumping) return
      isPumping = true
      while (inFlight < RUN_IN_FLIGHT_MAX && next < waiting.length && failed.length === failedBefore && !deps.isStopping()) {
        const index = waiting[next++]!
        inFlight++
        deps.execute(actions[index]!, outcome => {
          inFlight--
          note(index, outcome)
          pump()
        })
      }
      isPumping = false
      if (inFlight === 0) runPhase(phase + 1)
    }
    pump()
  }
  runPhase(0)
}
