// Keeps the clock's floor over a power cut: what was certain when the agent was last here, and what servers signed since. Only what is
// certain is written, never the wall clock. Four small writes a day at most, besides one for each contact. DESIGN section 7.

import { type Cancel, parseTimestamp, timestamp } from '../base/clock.ts'
import type { FlooredClock } from '../base/clock-floor.ts'
import { messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { Log } from '../base/log.ts'
import { CLOCK_KEEP_EVERY_MS } from './limits.ts'
import type { AgentMemory } from './memory.ts'

export interface ClockKeeper {
  /** Signed server time arrived. */
  told(time: string): void
  /** Settles when the floor is on disk. */
  close(): Promise<void>
}

export interface ClockKeeperDeps {
  readonly clock: FlooredClock
  readonly log: Log
  readonly memory: Pick<AgentMemory, 'fact' | 'saveFact'>
}

/** From here on the clock is no earlier than it was when this device last knew. */
export const keepClock = ({ clock, log, memory }: ClockKeeperDeps): ClockKeeper => {
  const kept = memory.fact('clock')
  const keptMs = isObject(kept) ? parseTimestamp(String(kept['floor'])) : Number.NaN
  if (!Number.isNaN(keptMs)) clock.raise(keptMs)
  const first = clock.complaint()
  if (first !== undefined) log.error(first, { used: timestamp(clock.now()) })
  const save = (): Promise<void> =>
    memory
      .saveFact('clock', { floor: timestamp(clock.floor()) })
      .catch((error: unknown) => log.error('keep the time', { error: messageOf(error) }))
  const alarm: { cancel: Cancel } = { cancel: () => undefined }
  const tick = (): void => {
    alarm.cancel = clock.after(CLOCK_KEEP_EVERY_MS, () => {
      void save()
      tick()
    })
  }
  tick()
  return {
    told(time) {
      const atMs = parseTimestamp(time)
      if (Number.isNaN(atMs)) return
      clock.told(atMs)
      void save()
    },
    close() {
      alarm.cancel()
      return save()
    },
  }
}
