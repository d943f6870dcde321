// What must be true when all faults have healed and everyone had time: every device runs exactly what it should, every Deployment is
// complete or says why not, nothing is left over, and nobody writes any more.

import { deepEqual } from '../../src/base/json.ts'
import type { Deployment } from '../../src/kinds/deployment.ts'
import { isSuperseded, STOP_AFTER } from '../../src/kinds/disconnection.ts'
import { HELD, isHeld } from '../../src/kinds/hold.ts'
import { KINDS } from '../../src/kinds/index.ts'
import { type KubeObject, keyOf } from '../../src/kinds/meta.ts'
import { isPodReady, isPodTerminal, type Pod } from '../../src/kinds/pod.ts'
import { QUEUE_BYTES_MAX } from '../../src/link/limits.ts'
import { renderDocument } from '../../src/server/render.ts'
import type { SimDevice } from './device.ts'
import type { Fleet } from './fleet.ts'
import { CLUSTER_CIDR, type ServerProcess } from './server.ts'
import type { World } from './world.ts'

const CONVERGED = 'observed = desired'

const stopAfterOf = (device: SimDevice, uid: string): string | undefined =>
  device.files.held?.document.pods.find(one => one.metadata.uid === uid)?.metadata.annotations?.[STOP_AFTER]

/** It calls so often and is away in between. */
const isCaller = ({ agent, files }: SimDevice): boolean => agent !== undefined && files.uplink.contactIntervalMs !== undefined

const checkDevice = (world: World, { view }: ServerProcess, device: SimDevice): void => {
  const { name } = device
  const wrong = (what: string): void => world.fail(CONVERGED, `${name}: ${what}`)
  if (!device.agent?.link.connected && !isCaller(device)) wrong(`it is not connected: its agent ${device.agent ? 'runs' : 'is down'}`)
  if (!deepEqual(renderDocument(view, name, CLUSTER_CIDR), device.files.held?.document)) wrong('its document is not the one it should have')
  const pods = view.list<Pod>('Pod', { node: name })
  const wanted = pods.filter(pod => pod.metadata.deletionTimestamp === undefined && !isPodTerminal(pod))
  const { sandboxes, containers } = device.runtime.inspect()
  const uids = new Set(wanted.map(pod => pod.metadata.uid))
  for (const { uid } of sandboxes) if (!uids.has(uid)) wrong(`the sandbox ${uid} is left over`)
  for (const { podUid, id, state } of containers) if (state === 'running' && !uids.has(podUid)) wrong(`the container ${id} still runs`)
  for (const pod of wanted) checkPod(world, device, pod, wrong)
}

/** Every container of the pod runs, and is reported as what runs. */
const checkPod = (world: World, device: SimDevice, pod: Pod, wrong: (what: string) => void): void => {
  const { uid, name } = pod.metadata
  const hold = device.agent?.holds.list().find(one => one.uid === uid)
  if ((hold !== undefined) !== isHeld(pod)) wrong(`${name} is ${hold ? 'held and not shown so' : 'shown as held and is not'}`)
  const { containers } = device.runtime.inspect()
  const isRunning = containers.some(one => one.podUid === uid && one.state === 'running')
  const isSilent = device.agent?.link.connected === false && stopAfterOf(device, uid ?? '') !== undefined
  if (hold || isSilent) {
    if (hold && isRunning) wrong(`${name} is held and runs`)
    world.mark(hold ? 'a pod ended held' : 'a pod ended stopped between two calls')
    return
  }
  for (const container of pod.spec.containers) {
    const real = containers.find(one => one.podUid === uid && one.name === container.name && one.state === 'running')
    const told = pod.status?.containerStatuses?.find(one => one.name === container.name)
    if (!real) wrong(`${container.name} of ${name} does not run: ${JSON.stringify(told?.state)}`)
    else if (told?.containerID !== `fake://${real.id}`) wrong(`${name} is reported as ${told?.containerID}, ${real.id} runs`)
    else if (real.image !== container.image) wrong(`${name} runs ${real.image}, not ${container.image}`)
  }
  if (!isPodReady(pod)) wrong(`${name} runs and is not Ready: ${JSON.stringify(pod.status?.conditions)}`)
}

/** Upstream's conditions say nothing of a few pods that wait; the pods do. */
const hasWaiting = ({ view }: ServerProcess, uid: string): boolean =>
  view
    .list('ReplicaSet', { owner: uid })
    .flatMap(set => view.list<Pod>('Pod', { owner: set.metadata.uid ?? '' }))
    .some(isExplained)

const isExplained = (pod: Pod): boolean =>
  pod.status?.conditions?.some(one => one.type === 'PodScheduled' && one.status === 'False' && one.message !== undefined) ?? false

const checkDeployment = (world: World, process: ServerProcess, deployment: Deployment): void => {
  const { spec, status, metadata } = deployment
  const replicas = spec.replicas ?? 1
  const isObserved = status?.observedGeneration === metadata.generation
  const isComplete =
    isObserved && ['replicas', 'updatedReplicas', 'availableReplicas'].every(at => (status?.[at as 'replicas'] ?? 0) === replicas)
  if (isComplete) return
  // Every pod that has a node runs and is Ready: that is checked apart. What is left are pods without one, and what a user holds back.
  const isHeldBack = status?.conditions?.some(({ type, status }) => type === HELD && status === 'True') ?? false
  const why = spec.paused
    ? 'it is paused'
    : isHeldBack
      ? 'pods are held'
      : hasWaiting(process, metadata.uid ?? '')
        ? 'pods wait for room'
        : undefined
  if (isObserved && why !== undefined) world.mark(`a deployment ended incomplete: ${why}`)
  else
    world.fail(
      'a deployment is complete or says why not',
      `${keyOf(metadata)}: ${JSON.stringify(status)}, generation ${metadata.generation}`,
    )
}

const checkLeftovers = (world: World, { view }: ServerProcess): void => {
  for (const { kind, storage } of KINDS) {
    if (storage) continue
    for (const object of view.list<KubeObject>(kind)) {
      const { metadata } = object
      const owners = metadata.ownerReferences ?? []
      if (owners.length > 0 && !owners.some(owner => view.exists(owner.uid)))
        world.fail('nothing outlives its owners', `${kind} ${keyOf(metadata)} belonged to ${owners.map(owner => owner.name).join(', ')}`)
      if (metadata.namespace && !view.get('Namespace', '', metadata.namespace))
        world.fail('nothing outlives its namespace', `${kind} ${keyOf(metadata)}`)
      if (metadata.deletionTimestamp !== undefined && !metadata.finalizers?.length)
        world.fail('what is deleted goes', `${kind} ${keyOf(metadata)} has been going since ${metadata.deletionTimestamp}`)
    }
  }
  for (const pod of view.list<Pod>('Pod', { node: '' })) {
    if (!isExplained(pod)) world.fail('a pod runs or says why not', `${keyOf(pod.metadata)} waits: ${JSON.stringify(pod.status)}`)
    else world.mark('a pod could not be placed and said why')
  }
}

/** All nodes are back: of an original and the pod in its place one is left. What is held stands still, and waits for its hold. */
const checkCopies = (world: World, { view }: ServerProcess, fleet: Fleet): void => {
  for (const pod of view.list<Pod>('Pod')) {
    const isBack = fleet.devices.get(pod.spec.nodeName ?? '')?.agent?.link.connected === true
    if (!isSuperseded(pod) || isPodTerminal(pod) || !isBack) continue
    if (isHeld(pod) || !isPodReady(pod)) world.mark('a replaced pod is held or not Ready, and both copies are there')
    else world.fail('exactly one of two copies stays', `${keyOf(pod.metadata)} is still replaced, though ${pod.spec.nodeName} is back`)
  }
}

/** Everything at the end but traffic. */
export const checkEnd = (world: World, process: ServerProcess, fleet: Fleet): void => {
  const nodes = process.view.list<KubeObject>('Node')
  for (const { metadata } of nodes) {
    const device = fleet.devices.get(metadata.name ?? '')
    if (device) checkDevice(world, process, device)
  }
  for (const deployment of process.view.list<Deployment>('Deployment')) checkDeployment(world, process, deployment)
  checkLeftovers(world, process)
  checkCopies(world, process, fleet)
  const { connections } = process.devices.hub
  if (connections > nodes.length) world.fail('every limit holds', `${connections} connections of ${nodes.length} nodes`)
  for (const { name, link } of fleet.devices.values())
    if (link.queuedMax > QUEUE_BYTES_MAX) world.fail('every limit holds', `${name} had ${link.queuedMax} bytes queued`)
}
