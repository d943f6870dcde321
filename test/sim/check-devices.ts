// Checks of devices as they act: no uid runs in two places, heads never go back, nothing is done for a document that is not on disk, what
// is held does not start, and what the held document wants to run is stopped for three reasons only: a hold, a restart that somebody on
// the device asked for, and a silence for which the pod itself asks to be stopped.

import type { Action } from '../../src/agent/action.ts'
import { SILENCE_PATIENCE_MS } from '../../src/agent/limits.ts'
import { timestamp } from '../../src/base/clock.ts'
import { deepEqual } from '../../src/base/json.ts'
import { durationOf, STOP_AFTER } from '../../src/kinds/disconnection.ts'
import { HOLD_LIFTED } from '../../src/kinds/hold.ts'
import type { Pod } from '../../src/kinds/pod.ts'
import type { HeldHead } from '../../src/link/link.ts'
import { headText } from '../../src/link/messages.ts'
import type { DeviceWatcher, SimDevice } from './device.ts'
import { simSign } from './server.ts'
import type { World } from './world.ts'

export interface DeviceChecks extends DeviceWatcher {
  /** Somebody on the device was told that this pod is held. */
  held(device: SimDevice, uid: string, id: string): void
  /** Somebody on the device asked for the end of its hold. */
  resumed(uid: string): void
  /** An operator decided that this device shall follow a restored server. */
  decided(device: SimDevice): void
  /** Somebody on the device measures something: a number one higher than the last. */
  measured(device: SimDevice): void
  /** The last number each device gave to its agent, and how often it was lost with an agent. */
  readonly measurements: ReadonlyMap<string, number>
  /** Looks at what runs: to be called now and then. */
  look(devices: Iterable<SimDevice>): void
  /** Events the devices' machines made, by pod. */
  readonly told: ReadonlyMap<string, number>
}

/** Name of what devices measure. */
export const MEASUREMENT = 'number'
/** Stopping takes the pod's grace, at most this here, and a start that was on its way ends first. */
const STOP_MS_MAX = 45_000

const podOf = (device: SimDevice, uid: string): Pod | undefined => device.files.held?.document.pods.find(one => one.metadata.uid === uid)

/** The device's document wants this pod, and it has not reached its end. */
const isWanted = (device: SimDevice, uid: string): boolean => {
  const pod = podOf(device, uid)
  return pod !== undefined && pod.metadata.deletionTimestamp === undefined && device.agent?.state.pods.get(uid)?.terminal === undefined
}

/** An attempt before the newest: left over by an agent that died between two steps. */
const isStale = (device: SimDevice, action: Extract<Action, { do: 'stopContainer' }>): boolean => {
  const mine = device.runtime.inspect().containers.filter(one => one.podUid === action.uid && one.name === action.name)
  const newest = Math.max(...mine.map(one => one.attempt))
  return mine.some(one => one.id === action.id && one.attempt < newest)
}

/** True when the server has been silent, by true time, for as long as the pod bears; what an agent cannot know it grants a little. */
const mayStopForSilence = (world: World, device: SimDevice, uid: string): boolean => {
  const afterMs = durationOf(podOf(device, uid), STOP_AFTER)
  const { agent, link, files, bootedAtMs } = device
  if (afterMs === undefined || agent?.link.connected === true) return false
  const silentMs = world.nowMs - link.heardAtMs.client
  // Undefined while it is starting.
  const startedAtMs = agent?.startedAtMs ?? world.nowMs
  const agentMs = world.nowMs - startedAtMs
  const isNewcomer = link.heardAtMs.client < startedAtMs
  // A newcomer knows what the disk knows: a contact just before a crash may not be on it. The disk counts in seconds.
  const kept = files.facts.get('contact') as { readonly connected: boolean; readonly atSeconds: number } | undefined
  const keptMs = kept?.connected === false ? world.nowMs - bootedAtMs - kept.atSeconds * 1000 : 0
  return (
    silentMs >= afterMs - 1000 ||
    (isNewcomer && keptMs >= afterMs - 1000) ||
    (isNewcomer && agentMs >= Math.min(afterMs, SILENCE_PATIENCE_MS) - 1)
  )
}

/** `onStop`: a device was asked to end this pod; `own`: for a reason that lies on the device. */
export const createDeviceChecks = (world: World, onStop: (uid: string, own: boolean) => void): DeviceChecks => {
  const homes = new Map<string, string>()
  const heads = new Map<string, HeldHead>()
  const decisions = new Set<SimDevice>()
  const holds = new Map<string, { readonly device: SimDevice; readonly id: string; readonly sinceMs: number }>()
  const told = new Map<string, number>()
  const measurements = new Map<string, number>()
  const started = (device: SimDevice, uid: string): void => {
    const home = homes.get(uid) ?? device.name
    homes.set(uid, home)
    if (home !== device.name) world.fail('one uid runs in one place', `${uid} ran on ${home} and is started on ${device.name}`)
    const pod = podOf(device, uid)
    if (!pod) world.fail('a device acts on what it has saved', `${device.name} starts ${uid}, which its document on disk does not have`)
    if (holds.has(uid)) world.fail('what is held does not start', `${device.name} starts ${uid}`)
    const isUnheard = device.link.heardAtMs.client < device.bootedAtMs && device.agent?.link.connected === false
    if (
      isUnheard &&
      durationOf(pod, STOP_AFTER) !== undefined &&
      device.bootedAtMs > 0 &&
      homes.has(uid) &&
      device.files.facts.has('contact')
    )
      world.fail('stop-after holds over a reboot', `${device.name} starts ${uid} before it has heard the server`)
  }
  /** True when the reason lies on the device. */
  const stopped = (device: SimDevice, action: Extract<Action, { do: 'stopContainer' | 'removeSandbox' | 'removeVolumes' }>): boolean => {
    const { uid } = action
    if (!isWanted(device, uid)) return false
    const record = device.agent?.state.pods.get(uid)
    const isHeld = device.files.holds.some(hold => hold.uid === uid)
    const isAsked = action.do === 'stopContainer' && record?.containers.get(action.name)?.asked !== undefined
    const isSilent = mayStopForSilence(world, device, uid)
    if (action.do !== 'stopContainer' || !(isHeld || isAsked || isSilent))
      world.fail(
        'a device keeps its pods',
        `${device.name} does ${action.do} for ${uid}, which its document wants to run, after ${world.nowMs - device.link.heardAtMs.client} ms of silence`,
      )
    else if (isHeld) world.mark('a held pod was stopped')
    else if (isAsked) world.mark('a pod was restarted from its device')
    else world.mark('a pod was stopped for silence')
    return true
  }
  /** What must not run any more: held pods, and those that asked to be stopped by a silence as long as this. */
  const lookAt = (device: SimDevice): void => {
    const { agent } = device
    if (!agent || agent.startedAtMs > world.nowMs - STOP_MS_MAX) return
    const { silentSinceMs } = agent
    for (const { podUid, state } of device.runtime.inspect().containers) {
      if (state !== 'running') continue
      const hold = holds.get(podUid)
      if (hold && world.nowMs - Math.max(hold.sinceMs, agent.startedAtMs) > STOP_MS_MAX)
        world.fail('what is held does not run', `${podUid} on ${device.name}, held for ${world.nowMs - hold.sinceMs} ms`)
      const afterMs = durationOf(podOf(device, podUid), STOP_AFTER)
      const dueMs = afterMs === undefined || silentSinceMs === undefined ? Number.POSITIVE_INFINITY : silentSinceMs + afterMs + STOP_MS_MAX
      if (world.nowMs > dueMs)
        world.fail(
          'stop-after stops',
          `${podUid} runs on ${device.name}, silent for ${world.nowMs - (silentSinceMs ?? 0)} ms, stop-after ${afterMs}`,
        )
    }
  }
  return {
    told,
    measurements,
    action(device, action) {
      if (action.do === 'startContainer') started(device, action.uid)
      const ends =
        action.do === 'removeSandbox' || action.do === 'removeVolumes' || (action.do === 'stopContainer' && !isStale(device, action))
      if (!ends) return
      const own = stopped(device, action)
      if (action.do !== 'removeVolumes') onStop(action.uid, own)
    },
    saved(device, head) {
      const before = heads.get(device.name)
      if (before && before.epoch === head.epoch && head.generation < before.generation)
        world.fail('heads never go back', `${device.name} saved generation ${head.generation} over ${before.generation}`)
      if (before && head.leftEpochs?.includes(head.epoch))
        world.fail('heads never go back', `${device.name} went back to epoch ${head.epoch}`)
      if (head.sig !== simSign(headText(device.name, head)))
        world.fail('a device believes only what is signed', `${device.name} saved generation ${head.generation} of ${head.epoch}`)
      const isLower = before && before.epoch !== head.epoch && (head.base ?? 0) < before.generation && before.sha256 !== head.sha256
      if (isLower && !head.replaces && !decisions.has(device))
        world.fail('a restored server decides nothing', `${device.name} followed ${head.epoch} from generation ${before.generation}`)
      if (before?.epoch !== head.epoch) decisions.delete(device)
      heads.set(device.name, head)
    },
    document(device, document) {
      if (!deepEqual(device.files.held?.document, document))
        world.fail('a device acts on what it has saved', `${device.name} is given a document that is not on its disk`)
      for (const { metadata } of document.pods) {
        const uid = metadata.uid ?? ''
        if (holds.get(uid)?.id !== metadata.annotations?.[HOLD_LIFTED] || !holds.delete(uid)) continue
        world.mark('the server lifted a hold')
      }
      const uids = new Set(document.pods.map(({ metadata }) => metadata.uid ?? ''))
      for (const [uid, hold] of holds) if (hold.device === device && !uids.has(uid)) holds.delete(uid)
    },
    event: (_device, uid) => void told.set(uid, (told.get(uid) ?? 0) + 1),
    held(device, uid, id) {
      holds.set(uid, { device, id, sinceMs: world.nowMs })
      world.mark('a pod was held at its device')
    },
    decided: device => void decisions.add(device),
    resumed(uid) {
      holds.delete(uid)
    },
    measured(device) {
      const value = (measurements.get(device.name) ?? 0) + 1
      measurements.set(device.name, value)
      device.agent?.link.addTelemetry({ name: MEASUREMENT, value, time: timestamp(world.nowMs) })
    },
    look(devices) {
      for (const device of devices) lookAt(device)
    },
  }
}
