// A pod that an operator holds: what runs is stopped as at its end, and nothing starts; sandbox, address and volumes stay as they are. Pure.

import { isSidecar } from './device.ts'
import type { At } from './draft.ts'
import { type Hold, holdText } from './holds.ts'
import { planStale } from './plan-container.ts'
import { planStops } from './plan-teardown.ts'
import { isRunning } from './pod-record.ts'
import { allContainers } from './stop.ts'

/** Fills the draft. */
export const planHeld = (at: At, hold: Hold): void => {
  const { pod, record, world, now, draft } = at
  planStops(record, world.device, now, draft, { restart: true, why: 'Stopping container of a held pod' })
  for (const container of allContainers(pod)) {
    const state = record.containers.get(container.name)
    const finished = state?.ended !== undefined && !isSidecar(container) && !hold.containers.includes(container.name)
    if (!isRunning(state) && !finished) draft.waiting.set(container.name, { reason: 'Held', message: holdText(hold) })
  }
  planStale(at)
}
