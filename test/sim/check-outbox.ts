// Checks of what devices tell: Events reach the server once each, measurements arrive as the last one was, what waits on a device stays
// within its bounds, and the server never takes an older report for a newer one.

import type { KubeObject } from '../../src/base/object.ts'
import type { Pod } from '../../src/kinds/pod.ts'
import { EVENTS, OUTBOX_WRITE_BYTES, STATUS_KEYS_MAX, TELEMETRY } from '../../src/link/limits.ts'
import { type DeviceChecks, MEASUREMENT } from './check-devices.ts'
import type { SimDevice } from './device.ts'
import type { Fleet } from './fleet.ts'
import type { Profile } from './profile.ts'
import type { SimServer } from './server.ts'
import type { World } from './world.ts'

export interface OutboxChecks {
  /** Looks at the bounds: to be called now and then. */
  look(devices: Iterable<SimDevice>): void
  /** When all is quiet. */
  finish(fleet: Fleet): void
}

type Counted = KubeObject & {
  readonly count?: number
  readonly source?: { component?: string }
  readonly involvedObject?: { uid?: string }
}

/** Above this the server's own limit on the Events of one object may have taken some. */
const TOLD_MAX = 20
/** One frame and its answer: a class at its bound has sent its last. */
const FRAME_COST_MAX = 24 * 1024
const ONCE = 'an event comes once'

const countOf = (object: KubeObject | undefined): number => {
  const event = object as Counted | undefined
  return event?.source?.component === 'helio-agent' ? (event.count ?? 1) : 0
}

/** Nothing that could lose or double an event happens in worlds like this: neither a process dies nor a server forgets. */
const isLossless = ({ faults }: Profile): boolean => faults.agentCrash + faults.reboot + faults.serverCrash + faults.serverSwap === 0
const isSingle = ({ faults }: Profile): boolean => faults.serverCrash + faults.serverSwap === 0

export const startOutboxChecks = (world: World, server: SimServer, profile: Profile, devices: DeviceChecks): OutboxChecks => {
  const taken = new Map<string, number>()
  const attempts = new Map<string, number>()

  const takeEvent = (object: KubeObject, old: KubeObject | undefined, exists: boolean): void => {
    const more = exists ? countOf(object) - countOf(old) : 0
    const uid = (object as Counted).involvedObject?.uid
    if (more <= 0 || uid === undefined) return
    const sum = (taken.get(uid) ?? 0) + more
    taken.set(uid, sum)
    if (isSingle(profile) && sum > (devices.told.get(uid) ?? 0) && devices.told.has(uid))
      world.fail(ONCE, `of pod ${uid} ${sum} events were taken, ${devices.told.get(uid)} were told`)
  }
  /** Each attempt of a container has a higher number than the one before: a report of an earlier one is an older report. */
  const takePod = (pod: Pod): void => {
    // A pod that came back with a backup may have gone on its device meanwhile: it begins anew there.
    if (server.restores > 0) return
    for (const { name, containerID } of pod.status?.containerStatuses ?? []) {
      const attempt = Number(containerID?.slice(containerID.lastIndexOf('_') + 1))
      if (Number.isNaN(attempt)) continue
      const key = `${pod.metadata.uid}/${name}`
      if (attempt < (attempts.get(key) ?? 0))
        world.fail('no older status is accepted', `${pod.metadata.name} went from attempt ${attempts.get(key)} of ${name} to ${attempt}`)
      attempts.set(key, attempt)
    }
  }
  server.onStart(process => {
    // Statuses are written lazily: a crash may take the newest, which devices tell again.
    attempts.clear()
    for (const pod of process.view.list<Pod>('Pod')) takePod(pod)
    process.view.subscribe(changes => {
      if (!process.clock.isAlive) return
      for (const { kind, object, old } of changes) {
        if (kind === 'Event') takeEvent(object, old, process.view.exists(object.metadata.uid ?? ''))
        if (kind === 'Pod') takePod(object as unknown as Pod)
      }
    })
  })

  const checkMeasurement = (device: SimDevice): void => {
    const { process } = server
    const value = process?.devices.hub.telemetry(device.name).get(MEASUREMENT)?.value
    const last = devices.measurements.get(device.name)
    if (value === undefined || last === undefined) {
      if (last !== undefined && isLossless(profile)) world.fail('measurements arrive', `${device.name}: none of ${last} did`)
      return
    }
    world.mark('a measurement arrived')
    if (value > last || (isLossless(profile) && value !== last))
      world.fail('measurements arrive', `${device.name}: ${value} is the last there, ${last} was the last made`)
  }
  return {
    look(all) {
      for (const { name, agent, files } of all) {
        if (files.outbox.length > EVENTS.itemsMax + TELEMETRY.itemsMax + OUTBOX_WRITE_BYTES / 32)
          world.fail('every limit holds', `${name} keeps ${files.outbox.length} items on disk`)
        if (files.outbox.length > 0) world.mark('an outbox went to disk')
        const of = agent?.link.usage().perPriority
        if (!of) continue
        if (of.events.dropped + of.telemetry.dropped > 0) world.mark('an outbox dropped something')
        for (const lane of ['status', 'events', 'telemetry'] as const) {
          const { sentBytes, receivedBytes, budgetBytes } = of[lane]
          if (budgetBytes !== null && sentBytes + receivedBytes > budgetBytes + FRAME_COST_MAX)
            world.fail('every limit holds', `${name} spent ${sentBytes + receivedBytes} bytes on ${lane}, ${budgetBytes} are allowed a day`)
        }
        if (of.events.waiting > EVENTS.itemsMax || of.telemetry.waiting > TELEMETRY.itemsMax || of.status.waiting > STATUS_KEYS_MAX)
          world.fail('every limit holds', `${name}: ${of.events.waiting} events and ${of.telemetry.waiting} measurements wait`)
      }
    },
    finish({ devices: fleet }) {
      const { process } = server
      if (!process) return
      for (const device of fleet.values()) if (process.view.get('Node', '', device.name)) checkMeasurement(device)
      if (!isLossless(profile)) return
      for (const { metadata, spec } of process.view.list<Pod>('Pod')) {
        const uid = metadata.uid ?? ''
        const told = devices.told.get(uid) ?? 0
        const isAway = fleet.get(spec.nodeName ?? '')?.agent?.link.connected !== true
        if (told > TOLD_MAX || isAway) continue
        if (told !== (taken.get(uid) ?? 0))
          world.fail('no event is lost', `${metadata.name}: ${told} were told, ${taken.get(uid) ?? 0} taken`)
        if (told > 0) world.mark('all events of a pod arrived, once each')
      }
    },
  }
}
