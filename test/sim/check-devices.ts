// Checks of devices as they act: no uid runs in two places, heads never go back, nothing is done for a document that is not on disk, and
// what the held document wants to run is never stopped or removed, whoever is silent.

import type { Action } from '../../src/agent/action.ts'
import { deepEqual } from '../../src/base/json.ts'
import type { HeldHead } from '../../src/link/link.ts'
import type { DeviceWatcher, SimDevice } from './device.ts'
import type { World } from './world.ts'

/** The device's document wants this pod, and it has not reached its end. */
const isWanted = (device: SimDevice, uid: string): boolean => {
  const pod = device.held?.document.pods.find(one => one.metadata.uid === uid)
  return pod !== undefined && pod.metadata.deletionTimestamp === undefined && device.state?.pods.get(uid)?.terminal === undefined
}

/** An attempt before the newest: left over by an agent that died between two steps. */
const isStale = (device: SimDevice, action: Extract<Action, { do: 'stopContainer' }>): boolean => {
  const mine = device.runtime.inspect().containers.filter(one => one.podUid === action.uid && one.name === action.name)
  const newest = Math.max(...mine.map(one => one.attempt))
  return mine.some(one => one.id === action.id && one.attempt < newest)
}

export const createDeviceChecks = (world: World, onStop: (uid: string) => void): DeviceWatcher => {
  const homes = new Map<string, string>()
  const heads = new Map<string, HeldHead>()
  /** Actions between a save and the crash that may follow, to see whether crashes fall there. */
  const started = (device: SimDevice, uid: string): void => {
    const home = homes.get(uid) ?? device.name
    homes.set(uid, home)
    if (home !== device.name) world.fail('one uid runs in one place', `${uid} ran on ${home} and is started on ${device.name}`)
    const pod = device.held?.document.pods.find(one => one.metadata.uid === uid)
    if (!pod) world.fail('a device acts on what it has saved', `${device.name} starts ${uid}, which its document on disk does not have`)
  }
  return {
    action(device, action) {
      if (action.do === 'startContainer') started(device, action.uid)
      const ends =
        action.do === 'removeSandbox' || action.do === 'removeVolumes' || (action.do === 'stopContainer' && !isStale(device, action))
      if (!ends) return
      if (isWanted(device, action.uid))
        world.fail('a device keeps its pods', `${device.name} does ${action.do} for ${action.uid}, which its document wants to run`)
      if (action.do !== 'removeVolumes') onStop(action.uid)
    },
    saved(device, head) {
      const before = heads.get(device.name)
      if (before && before.epoch === head.epoch && head.generation < before.generation)
        world.fail('heads never go back', `${device.name} saved generation ${head.generation} over ${before.generation}`)
      if (before && head.leftEpochs?.includes(head.epoch))
        world.fail('heads never go back', `${device.name} went back to epoch ${head.epoch}`)
      heads.set(device.name, head)
    },
    document(device, document) {
      if (!deepEqual(device.held?.document, document))
        world.fail('a device acts on what it has saved', `${device.name} is given a document that is not on its disk`)
    },
  }
}
