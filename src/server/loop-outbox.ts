// Events on their way out: the least urgent of all writes. Few at a time, a bounded number waiting, and no run waits for them.

import type { Log } from '../base/log.ts'
import type { Action, Controller } from '../controllers/controller.ts'
import { controllerOf } from '../kinds/meta.ts'
import type { Execute } from './loop-core.ts'
import { EVENTS_IN_FLIGHT_MAX, EVENTS_WAITING_MAX } from './loop-limits.ts'

export interface Outbox {
  readonly waiting: number
  /** Above the bound the Event is dropped; false then. */
  add(event: Action): boolean
  /** Drops what waits. */
  close(): void
}

export const createOutbox = (deps: { readonly execute: Execute; readonly log: Log }): Outbox => {
  const waiting: Action[] = []
  let inFlight = 0
  let isClosed = false
  const pump = (): void => {
    while (!isClosed && inFlight < EVENTS_IN_FLIGHT_MAX) {
      const event = waiting.shift()
      if (!event) return
      inFlight++
      deps.execute(event, outcome => {
        inFlight--
        if (!outcome.ok) deps.log.debug('event not recorded', { message: outcome.message })
        pump()
      })
    }
  }
  return {
    get waiting() {
      return waiting.length
    },
    add(event) {
      if (isClosed || waiting.length >= EVENTS_WAITING_MAX) return false
      waiting.push(event)
      pump()
      return true
    },
    close() {
      isClosed = true
      waiting.length = 0
    },
  }
}

/** What the owner of a refused child hears. */
export const refusedCreate = (controller: Controller, action: Action, message: string): Action | undefined => {
  const owner = action.do === 'create' ? controllerOf(action.object.metadata) : undefined
  if (action.do !== 'create' || !owner) return undefined
  const { apiVersion, kind, name, uid } = owner
  const namespace = action.object.metadata.namespace
  const regarding = { apiVersion, kind, name, uid, ...(namespace ? { namespace } : {}) }
  return { do: 'event', regarding, type: 'Warning', reason: 'FailedCreate', note: `Error creating: ${message}`, source: controller.name }
}
