// What a world costs when nothing happens in it any more: nobody writes, outboxes are empty, and the bytes of each device stay under what
// its profile may cost, counted by the world's own links and by the product, which have to agree.

import { durationOf, STOP_AFTER } from '../../src/kinds/disconnection.ts'
import { OPEN_RECEIVED_BYTES, OPEN_SENT_BYTES, PRIORITIES } from '../../src/link/limits.ts'
import type { ProfileName } from '../../src/link/link.ts'
import type { SimDevice } from './device.ts'
import type { Fleet } from './fleet.ts'
import type { Profile } from './profile.ts'
import type { ServerProcess } from './server.ts'
import type { World } from './world.ts'

const DAY_MS = 86_400_000
/** `lan`: a ping and a pong every 20 s; every 5 s for hours after half-open connections. The others: 10 MB and 1 MB in 30 days, all told. */
const WIRE_BYTES_PER_DAY_MAX: Readonly<Record<ProfileName, number>> = { lan: 1_200_000, normal: 10_000_000 / 30, metered: 1_000_000 / 30 }
const WARY_TIMES = 4
/** One report of what the link cost, a ping more than the share of a short time: not to be multiplied up to a day. */
const SLACK_BYTES = 3000
/** Writes of a whole quiet world in a minute, besides those that clean up Events by their age. */
const WRITES_PER_MINUTE_MAX = 2
/** A call makes a node Online and, later, Offline again: two conditions and what a pod stopped meanwhile says. */
const WRITES_PER_CALL = 4

interface Meter {
  readonly wireBytes: number
  readonly countedBytes: number
  readonly dials: number
  readonly day: number
  readonly agent: SimDevice['agent']
}

const read = (device: SimDevice): Meter => {
  const { agent, link } = device
  const usage = agent?.link.usage()
  const countedBytes = PRIORITIES.reduce((sum, priority) => {
    const of = usage?.perPriority[priority]
    return sum + (of ? of.sentBytes + of.receivedBytes : 0)
  }, 0)
  return { wireBytes: link.wireBytes, countedBytes, dials: agent?.link.line.dials ?? 0, day: usage?.day ?? 0, agent }
}

const isStoppedBySilence = ({ files }: SimDevice): boolean =>
  files.held?.document.pods.some(pod => durationOf(pod, STOP_AFTER) !== undefined) ?? false

const checkBytes = (world: World, device: SimDevice, before: Meter, sinceMs: number, isWary: boolean): void => {
  const now = read(device)
  const spanMs = world.nowMs - sinceMs
  if (!now.agent || now.agent !== before.agent) return
  const { profile } = now.agent.link.uplink
  const dials = now.dials - before.dials
  const wire = now.wireBytes - before.wireBytes + dials * (OPEN_SENT_BYTES + OPEN_RECEIVED_BYTES)
  const isCaller = device.files.uplink.contactIntervalMs !== undefined
  const perDayMax = WIRE_BYTES_PER_DAY_MAX[profile] * (isWary && profile !== 'metered' ? WARY_TIMES : 1)
  // Whoever calls by interval says how often, and pays for it.
  if (!isCaller && !isWaryMetered(isWary, profile) && wire > (perDayMax * spanMs) / DAY_MS + SLACK_BYTES)
    world.fail('an idle node is cheap', `${device.name} (${profile}) needs ${Math.round((wire * DAY_MS) / spanMs)} bytes a day`)
  if (spanMs >= DAY_MS / 2 && profile === 'metered') world.mark('a metered device was idle for a day')
  const counted = now.countedBytes - before.countedBytes
  if (now.day === before.day && dials === 0 && device.version === 'same' && Math.abs(counted - wire) > SLACK_BYTES / 3)
    world.fail('the product counts its bytes', `${device.name} counted ${counted}, ${wire} went over the wire`)
  if (counted > 0) world.mark(`bytes were counted on a link that is ${profile}`)
}

/** After half-open connections a metered link asks more often for hours: what it may cost then is bounded by its budget alone. */
const isWaryMetered = (isWary: boolean, profile: ProfileName): boolean => isWary && profile === 'metered'

const checkQueues = (world: World, device: SimDevice): void => {
  const { name, agent } = device
  // Between two calls there is news: a pod that was stopped for silence.
  if (!agent || (device.files.uplink.contactIntervalMs !== undefined && isStoppedBySilence(device))) return
  const { perPriority } = agent.link.usage()
  for (const priority of ['status', 'events', 'telemetry'] as const) {
    const { waiting, sentBytes, receivedBytes, budgetBytes } = perPriority[priority]
    if (budgetBytes !== null && sentBytes + receivedBytes >= budgetBytes) world.mark(`${priority} waited for the budget of the next day`)
    else if (waiting > 0) world.fail('a quiet world has empty queues', `${name}: ${waiting} of ${priority} wait`)
  }
}

/** Taken at the start of the quiet time, compared at its end. */
export const measureQuiet = (world: World, process: ServerProcess, fleet: Fleet, { faults }: Profile) => {
  const isWary = faults.halfOpen + faults.massCut > 0
  const meters = new Map([...fleet.devices.values()].map(device => [device, read(device)]))
  const seen = { writes: 0 }
  const watch = process.store.watch({
    prefix: '',
    fromRevision: process.store.revision,
    onEvents(events) {
      seen.writes += events.filter(({ type, key }) => type !== 'DELETED' || !key.startsWith('//events/')).length
    },
    onClose: reason => world.fail('every limit holds', `the quiet watcher was closed: ${reason}`),
  })
  const sinceMs = world.nowMs
  const writesMax = (): number => {
    const minutes = (world.nowMs - sinceMs) / 60_000
    let most = WRITES_PER_MINUTE_MAX * minutes
    for (const device of fleet.devices.values()) {
      const { contactIntervalMs } = device.files.uplink
      if (contactIntervalMs === undefined) continue
      most += isStoppedBySilence(device) ? Number.POSITIVE_INFINITY : WRITES_PER_CALL * (1 + (minutes * 60_000) / contactIntervalMs)
    }
    return most
  }
  return {
    finish(): void {
      watch.close()
      if (seen.writes > writesMax()) world.fail('a quiet world writes nothing', `${seen.writes} writes in ${world.nowMs - sinceMs} ms`)
      // A device that was removed dials in vain.
      for (const [device, before] of meters)
        if (process.view.get('Node', '', device.name)) checkBytes(world, device, before, sinceMs, isWary)
      for (const device of fleet.devices.values()) if (process.view.get('Node', '', device.name)) checkQueues(world, device)
    },
  }
}
