// An operator at the device: hold, resume and restart, one after the other. A hold or its end is on disk before the machine acts on it,
// and before the operator hears that it is done.

import { type Clock, timestamp } from '../base/clock.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import { type Random, uuid } from '../base/random.ts'
import type { DeviceHold, DeviceRestart } from '../kinds/device-shapes.ts'
import { HOLD_REASON_CHARS_MAX } from '../kinds/hold.ts'
import { type Hold, holdOf, holdText, unfinished } from './holds.ts'
import { type AskedPod, containerOf, findPod } from './local-pods.ts'
import type { DeviceState, Input } from './machine.ts'
import type { AgentMemory } from './memory.ts'
import { isRunning, type PodRecord } from './pod-record.ts'

export interface HoldsDeskDeps {
  readonly state: DeviceState
  readonly memory: Pick<AgentMemory, 'saveHolds'>
  readonly clock: Pick<Clock, 'now'>
  readonly random: Random
  readonly send: (input: Input) => void
}

export interface HoldsDesk {
  list(): DeviceHold[]
  /** Durable when it settles; a pod that is held stays held as it is. */
  hold(asked: AskedPod, reason: string | undefined, by: string): Promise<DeviceHold>
  resume(asked: AskedPod, by: string): Promise<DeviceHold>
  restart(asked: AskedPod, container: string | undefined, by: string): DeviceRestart
}

const shown = ({ namespace, name, uid, id, at, by, reason }: Hold): DeviceHold => ({
  namespace,
  name,
  uid,
  id,
  at,
  by,
  ...(reason === undefined ? {} : { reason }),
})

/** Throws Conflict for a pod that has ended or is leaving: nothing of it will run, held or not. */
const livingPod = (state: DeviceState, asked: AskedPod, verb: string): PodRecord => {
  const record = findPod(state, asked)
  const leaving = !record.desired || record.pod?.metadata.deletionTimestamp !== undefined
  if (leaving) throw new ApiError('Conflict', `${verb} pod ${record.name}: it is being removed from this device`)
  if (record.terminal) throw new ApiError('Conflict', `${verb} pod ${record.name}: it has ended (${record.terminal.phase})`)
  return record
}

const checkReason = (reason: string | undefined): void => {
  if (reason === undefined) return
  if (reason.length > HOLD_REASON_CHARS_MAX)
    throw new ApiError('BadRequest', `hold pod: the reason is longer than ${HOLD_REASON_CHARS_MAX} characters`)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is refused.
  if (/[\u0000-\u001f\u007f]/.test(reason)) throw new ApiError('BadRequest', 'hold pod: the reason must be one line of text')
}

export const createHoldsDesk = (deps: HoldsDeskDeps): HoldsDesk => {
  const { state, memory, send } = deps
  const turn = { last: Promise.resolve() as Promise<unknown> }
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.last.then(work, work)
    turn.last = mine
    return mine
  }
  /** On disk first, then the machine; what the machine made of it is on disk before the answer. */
  const change = async (holds: readonly Hold[], input: Input): Promise<void> => {
    await memory.saveHolds(holds).catch((error: unknown) => {
      throw new ApiError('ServiceUnavailable', `keep holds on disk: ${messageOf(error)}`, {
        cause: error,
        hint: 'nothing was changed; free space in the data folder, then try again (helio device doctor)',
      })
    })
    send(input)
    await memory.saveHolds([...state.holds.values()])
  }
  return {
    list: () => [...state.holds.values()].filter(hold => !hold.lifted).map(shown),
    hold: (asked, reason, by) =>
      inTurn(async () => {
        checkReason(reason)
        const record = livingPod(state, asked, 'hold')
        const { uid, namespace, name } = record
        const known = holdOf(state, uid)
        if (known) return shown(known)
        const hold: Hold = {
          uid,
          namespace,
          name,
          id: uuid(deps.random),
          at: timestamp(deps.clock.now()),
          by,
          ...(reason === undefined || reason === '' ? {} : { reason }),
          containers: unfinished(record),
        }
        await change([...[...state.holds.values()].filter(each => each.uid !== uid), hold], { on: 'hold', hold })
        if (holdOf(state, uid)?.id !== hold.id) throw new ApiError('Conflict', `hold pod ${name}: it was removed in the meantime`)
        return shown(hold)
      }),
    resume: (asked, by) =>
      inTurn(async () => {
        const { uid, name } = findPod(state, asked)
        const hold = holdOf(state, uid)
        if (!hold) throw new ApiError('Conflict', `resume pod ${name}: it is not held`, { hint: 'helio device status lists what is held' })
        const lifted = [...state.holds.values()].map(each => (each === hold ? { ...hold, lifted: true as const } : each))
        await change(lifted, { on: 'lift', uid, id: hold.id, by })
        return shown(hold)
      }),
    restart(asked, container, by) {
      const record = livingPod(state, asked, 'restart')
      const { uid, namespace, name } = record
      const hold = holdOf(state, uid)
      if (hold)
        throw new ApiError('Conflict', `restart pod ${name}: it is ${holdText(hold)}`, {
          hint: `helio device resume ${name} -n ${namespace}`,
        })
      const one = container === undefined || container === '' ? undefined : containerOf(record, container)
      const mains = new Set((record.pod?.spec.containers ?? []).map(c => c.name))
      // A finished step of the set-up is not done again.
      const containers = [...record.containers.values()].filter(each => mains.has(each.name) || isRunning(each)).map(each => each.name)
      const names = one === undefined ? containers : [one]
      send({ on: 'restart', uid, containers: names, why: `Restart asked by ${by}` })
      return { namespace, name, containers: names }
    },
  }
}
