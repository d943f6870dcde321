// Writes what is worth remembering of pods, coalesced: at most one transaction every few seconds, none when nothing changes.
// DESIGN invariants 5 and 7.

import type { Cancel, Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Hold } from './holds.ts'
import { REMEMBER_DELAY_MS } from './limits.ts'
import type { AgentMemory } from './memory.ts'
import type { PodMemory } from './pod-record.ts'

export interface Remembering {
  pod(uid: string, memory: PodMemory | null): void
  /** Written at once. */
  holds(holds: readonly Hold[]): void
  /** Writes what is left. */
  close(): Promise<void>
}

export const createRemembering = (deps: {
  readonly clock: Pick<Clock, 'after'>
  readonly log: Log
  readonly memory: Pick<AgentMemory, 'savePods' | 'saveHolds'>
}): Remembering => {
  const pending = new Map<string, PodMemory | null>()
  const timer: { cancel: Cancel | undefined; writing: Promise<void>; holding: Promise<void>; closed: boolean } = {
    cancel: undefined,
    writing: Promise.resolve(),
    holding: Promise.resolve(),
    closed: false,
  }
  const flush = async (): Promise<void> => {
    timer.cancel?.()
    timer.cancel = undefined
    if (pending.size === 0) return
    const changes = new Map(pending)
    pending.clear()
    try {
      await deps.memory.savePods(changes)
    } catch (error) {
      deps.log.error('remember pods', { error: messageOf(error) })
      // Newer values win over those that could not be written; the next change or a delay tries again.
      for (const [uid, memory] of changes) if (!pending.has(uid)) pending.set(uid, memory)
      if (!timer.closed) timer.cancel = deps.clock.after(REMEMBER_DELAY_MS * 12, start)
    }
  }
  const start = (): void => {
    timer.writing = flush()
  }
  return {
    pod(uid, memory) {
      pending.set(uid, memory)
      timer.cancel ??= deps.clock.after(REMEMBER_DELAY_MS, start)
    },
    holds(holds) {
      const saved = deps.memory.saveHolds(holds).catch((error: unknown) => deps.log.error('remember holds', { error: messageOf(error) }))
      timer.holding = timer.holding.then(() => saved)
    },
    async close() {
      timer.closed = true
      await timer.holding
      await timer.writing
      await flush()
      timer.cancel?.()
    },
  }
}
