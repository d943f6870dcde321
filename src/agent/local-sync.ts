// `helio device sync`: dials now, waits for what comes of it, and says it. Looks at the link while somebody waits, never otherwise.

import type { Clock } from '../base/clock.ts'
import { ApiError } from '../base/errors.ts'
import type { DeviceSync } from '../kinds/device-shapes.ts'
import type { Contact } from './contact.ts'
import { SYNC_ANSWER_MS, SYNC_LOOK_MS, SYNC_WAIT_MS_MAX } from './limits.ts'
import type { AgentMemory } from './memory.ts'

export interface SyncDeps {
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly memory: Pick<AgentMemory, 'held' | 'identity'>
  readonly contact: () => Contact | undefined
}

/** Settles when `isDone` says so, the time is over, or the caller is gone. */
const waitUntil = (clock: SyncDeps['clock'], forMs: number, signal: AbortSignal, isDone: () => boolean): Promise<void> =>
  new Promise(resolve => {
    const endMs = clock.mono() + forMs
    const look = (): void => {
      if (isDone() || signal.aborted || clock.mono() >= endMs) resolve()
      else clock.after(SYNC_LOOK_MS, look)
    }
    look()
  })

/** Throws Conflict on a device that has no server to dial. */
export const syncNow = async ({ clock, memory, contact }: SyncDeps, signal: AbortSignal): Promise<DeviceSync> => {
  const link = contact()?.link
  if (!link)
    throw new ApiError('Conflict', `sync: ${contact()?.lastError ?? 'this device has no server yet'}`, {
      hint: 'start the agent once with --server https://HOST:6443 and --token TOKEN',
    })
  const before = memory.held
  const { connected: wasConnected, lastContactMs: heardMs } = link
  const dialsBefore = link.line.is === 'dialing' || link.line.is === 'greeting' ? link.line.dials - 1 : link.line.dials
  link.sync()
  const failed = (): boolean => link.line.is === 'waiting' && link.line.dials > dialsBefore
  await waitUntil(clock, SYNC_WAIT_MS_MAX, signal, () => link.connected || failed())
  // A line that stood already is proven by its next word; what is newer is told with the greeting, or was told before.
  if (wasConnected) await waitUntil(clock, SYNC_ANSWER_MS, signal, () => link.lastContactMs !== heardMs || !link.connected)
  await waitUntil(clock, SYNC_WAIT_MS_MAX, signal, () => !link.line.fetching || !link.connected)
  const after = memory.held
  return {
    connected: link.connected,
    wasConnected,
    error: link.connected ? null : (link.lastError ?? `no answer within ${SYNC_WAIT_MS_MAX / 1000} s`),
    conflict: link.conflict ?? null,
    before: before?.head.generation ?? null,
    after: after?.head.generation ?? null,
    podsBefore: before?.document.pods.length ?? 0,
    podsAfter: after?.document.pods.length ?? 0,
  }
}
