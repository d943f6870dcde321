// The NodeStatus of this device, from what the host says. Pure; values that wander are left out or judged, so that an idle device has
// nothing new to say. Source: kubelet nodestatus setters; k8s core/v1 NodeStatus.

import { timestamp } from '../base/clock.ts'
import type { HostFacts } from '../base/host-facts.ts'
import type { Condition } from '../kinds/meta.ts'
import type { NodeStatus } from '../kinds/node.ts'
import type { Image } from './images/images.ts'
import { DISK_PRESSURE_SHARE, MEMORY_PRESSURE_SHARE, NODE_IMAGES_MAX, PODS_MAX } from './limits.ts'

export interface NodeFacts {
  readonly nodeName: string
  readonly host: HostFacts
  readonly runtimeVersion: string
  /** As kubeletVersion: `v1.36.0+helio0.1.0`. */
  readonly version: string
  readonly images: readonly Image[]
  /** Why the pod network does not work, if it does not. */
  readonly networkError: string | undefined
}

interface Verdict {
  readonly type: string
  readonly isTrue: boolean
  readonly reason: string
  readonly message: string
}

const isLowMemory = (host: HostFacts): boolean =>
  host.memoryAvailableBytes !== undefined && host.memoryAvailableBytes < host.memoryBytes * MEMORY_PRESSURE_SHARE
const isLowDisk = (host: HostFacts): boolean => host.diskBytes > 0 && host.diskFreeBytes < host.diskBytes * DISK_PRESSURE_SHARE

const mib = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`

/** What the machine is short of, with figures, for people. */
export const shortages = (host: HostFacts): readonly string[] => [
  ...(isLowDisk(host) ? [`the disk is nearly full: ${mib(host.diskFreeBytes)} of ${mib(host.diskBytes)} are free`] : []),
  ...(isLowMemory(host) ? [`memory is short: ${mib(host.memoryAvailableBytes ?? 0)} of ${mib(host.memoryBytes)} are available`] : []),
]

const verdicts = ({ host, networkError }: NodeFacts): readonly Verdict[] => {
  const lowMemory = isLowMemory(host)
  const lowDisk = isLowDisk(host)
  return [
    {
      type: 'MemoryPressure',
      isTrue: lowMemory,
      reason: lowMemory ? 'KubeletHasInsufficientMemory' : 'KubeletHasSufficientMemory',
      message: lowMemory ? 'device has insufficient memory available' : 'device has sufficient memory available',
    },
    {
      type: 'DiskPressure',
      isTrue: lowDisk,
      reason: lowDisk ? 'KubeletHasDiskPressure' : 'KubeletHasNoDiskPressure',
      message: lowDisk ? 'device has disk pressure' : 'device has no disk pressure',
    },
    { type: 'PIDPressure', isTrue: false, reason: 'KubeletHasSufficientPID', message: 'device has sufficient PID available' },
    networkError === undefined
      ? { type: 'Ready', isTrue: true, reason: 'KubeletReady', message: 'agent is posting ready status' }
      : { type: 'Ready', isTrue: false, reason: 'NetworkNotReady', message: networkError },
  ]
}

/** `previous` gives the times of conditions that stayed as they were. */
export const nodeStatus = (facts: NodeFacts, previous: NodeStatus | undefined, nowWallMs: number): NodeStatus => {
  const { host } = facts
  const condition = ({ type, isTrue, reason, message }: Verdict): Condition => {
    const status = isTrue ? 'True' : 'False'
    const before = previous?.conditions?.find(c => c.type === type)
    const since = (before?.status === status ? before.lastTransitionTime : undefined) ?? timestamp(nowWallMs)
    return { type, status, reason, message, lastHeartbeatTime: since, lastTransitionTime: since }
  }
  const amounts = {
    cpu: String(host.cpus),
    memory: `${Math.floor(host.memoryBytes / 1024)}Ki`,
    'ephemeral-storage': `${Math.floor(host.diskBytes / 1024)}Ki`,
    pods: String(PODS_MAX),
  }
  return {
    capacity: amounts,
    allocatable: amounts,
    conditions: verdicts(facts).map(condition),
    addresses: [...host.addresses.map(address => ({ type: 'InternalIP', address })), { type: 'Hostname', address: facts.nodeName }],
    nodeInfo: {
      machineID: host.machineID,
      systemUUID: host.machineID,
      bootID: host.bootID,
      kernelVersion: host.kernelVersion,
      osImage: host.osImage,
      containerRuntimeVersion: facts.runtimeVersion,
      kubeletVersion: facts.version,
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: host.architecture,
    },
    images: facts.images.slice(0, NODE_IMAGES_MAX).map(image => ({ names: [...image.names], sizeBytes: image.sizeBytes })),
  }
}
