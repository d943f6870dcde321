// The device as the pure half of the agent sees it: constants of this machine, and look-ups that answer from memory.

import type { ConfigMap, Secret } from '../kinds/config-map.ts'
import type { Container, Pod } from '../kinds/pod.ts'
import type { Image } from './images/images.ts'

/** The texts of an image's /etc/passwd and /etc/group; '' when it has none. */
export interface Accounts {
  readonly passwd: string
  readonly group: string
}

export interface Device {
  readonly nodeName: string
  /** This device's addresses, the one to be known by first. Empty while it has none. */
  readonly hostIPs: readonly string[]
  readonly runtimeName: string
  /** Pods get a network namespace of their own. */
  readonly isolatesNetwork: boolean
  /** Volumes with Secrets are kept in memory and never touch the disk: the runtime sees mounts made by the agent, and it may make them. */
  readonly secretsInMemory?: boolean
  /** Plain processes see the device's own /dev, where no file of ours has a place. */
  readonly sharesDev?: boolean
  /** Absolute: `…/pods/<uid>/…`, `…/logs/<ns>_<pod>_<uid>/…`. */
  readonly podsDir: string
  readonly logsDir: string
  /** The host's own files, for pods that use the host's network or resolver. */
  readonly resolvConf: string
  readonly hostsFile: string
  readonly cpuMillis: number
  readonly memoryBytes: number
  readonly resolveImage: (reference: string) => Image | undefined
  readonly accounts: (image: Image) => Accounts
  readonly allocateAddress: (podCIDR: string, used: ReadonlySet<string>) => string | undefined
}

/** What a document says besides its pods. */
export interface Surroundings {
  readonly podCIDR: string
  readonly clusterCIDR: string
  readonly configMap: (namespace: string, name: string) => ConfigMap | undefined
  readonly secret: (namespace: string, name: string) => Secret | undefined
}

export const podDir = (device: Pick<Device, 'podsDir'>, uid: string): string => `${device.podsDir}/${uid}`
export const volumeDir = (device: Pick<Device, 'podsDir'>, uid: string, volume: string): string =>
  `${device.podsDir}/${uid}/volumes/${volume}`
export const etcDir = (device: Pick<Device, 'podsDir'>, uid: string): string => `${device.podsDir}/${uid}/etc`

/** Folder of a pod's logs: `<ns>_<pod>_<uid>`; names of namespaces and pods hold no underscore. */
export const podLogDir = (logsDir: string, namespace: string, pod: string, uid: string): string => `${logsDir}/${namespace}_${pod}_${uid}`
export const containerLogPath = (
  device: Pick<Device, 'logsDir'>,
  pod: { namespace: string; name: string; uid: string },
  container: string,
  attempt: number,
): string => `${podLogDir(device.logsDir, pod.namespace, pod.name, pod.uid)}/${container}/${attempt}.log`

/** A pod that shares the device's network, asked for or for want of namespaces. */
export const usesHostNetwork = (pod: Pod, device: Pick<Device, 'isolatesNetwork'>): boolean =>
  pod.spec.hostNetwork === true || !device.isolatesNetwork

export const namespaceOf = (pod: Pod): string => pod.metadata.namespace ?? 'default'
export const nameOf = (pod: Pod): string => pod.metadata.name ?? ''

/** `name_namespace(uid)`, as upstream's messages name a pod. */
export const podText = (pod: Pod): string => `${nameOf(pod)}_${namespaceOf(pod)}(${pod.metadata.uid ?? ''})`

/** The host name inside the pod: spec.hostname or the pod's name, cut to what the kernel takes. */
export const hostnameOf = (pod: Pod): string => (pod.spec.hostname ?? nameOf(pod)).slice(0, 63).replace(/[-.]+$/, '')

/** An init container that keeps running beside the others. */
export const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always'
