// Callbacks of one device, one after the other, however many connections it comes by; bounded, so that a callback that hangs costs its
// device its reports and nobody memory.

import { REPORTS_WAITING_MAX } from './limits.ts'

export interface Turns {
  /** Runs `work` after the device's earlier work. Rejects at once when REPORTS_WAITING_MAX wait already. */
  take(device: string, work: () => Promise<void>): Promise<void>
  /** Settles when all work has. */
  settled(): Promise<void>
}

export const createTurns = (): Turns => {
  const devices = new Map<string, { last: Promise<void>; waiting: number }>()
  return {
    take(device, work) {
      const turn = devices.get(device) ?? { last: Promise.resolve(), waiting: 0 }
      if (turn.waiting >= REPORTS_WAITING_MAX) return Promise.reject(new Error('take report: earlier ones of the device have not ended'))
      turn.waiting++
      devices.set(device, turn)
      const result = turn.last.then(work)
      const over = (): void => {
        if (--turn.waiting === 0) devices.delete(device)
      }
      // The next one's turn comes whether this one succeeded or not; the failure itself goes to whoever asked.
      turn.last = result.then(over, over)
      return result
    },
    async settled() {
      while (devices.size > 0) await Promise.allSettled([...devices.values()].map(turn => turn.last))
    },
  }
}
