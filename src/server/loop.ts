// The only runner of controllers: the loop's core with promises around it. Actions go through the API's verbs, changes come from the view.

import type { Verbs } from '../api/api.ts'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Controller } from '../controllers/controller.ts'
import type { Kind } from '../kinds/kind.ts'
import type { Store } from '../store/store.ts'
import { createExecutor } from './actions.ts'
import type { LoopStats } from './loop-core.ts'
import { createLoopCore } from './loop-core.ts'
import { createEventRecorder } from './loop-events.ts'
import type { LiveView } from './view.ts'

export interface LoopDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly store: Pick<Store, 'revision'>
  readonly view: LiveView
  readonly verbs: Verbs
  readonly kinds: readonly Kind[]
  readonly controllers: readonly Controller[]
}

export interface Loop {
  /** A device connected or fell silent; controllers that judge nodes look again. */
  contacted(node: string): void
  readonly isIdle: boolean
  readonly stats: Readonly<LoopStats>
  /** Settles when everything the loop started has ended. What was not started is found again by the next loop. */
  stop(): Promise<void>
}

/** Starts all controllers on what exists and keeps them running until stopped. */
export const startLoop = (deps: LoopDeps): Loop => {
  const executor = createExecutor({
    verbs: deps.verbs,
    kinds: deps.kinds,
    events: createEventRecorder({ clock: deps.clock }),
    revision: () => deps.store.revision,
  })
  const core = createLoopCore({
    clock: deps.clock,
    random: deps.random,
    log: deps.log,
    view: deps.view,
    controllers: deps.controllers,
    execute: (action, done) => void executor(action).then(done),
  })
  const unsubscribe = deps.view.subscribe(changes => core.changed(changes))
  core.start()
  return {
    contacted: node => core.contacted(node),
    get isIdle() {
      return core.isIdle
    },
    stats: core.stats,
    stop() {
      unsubscribe()
      return new Promise(resolve => core.stop(resolve))
    },
  }
}
