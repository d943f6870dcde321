// Node: the types (k8s.io/api/core/v1). A Node is the server's record of a device.

import type { Condition, ObjectMeta } from './meta.ts'

export interface Taint {
  key: string
  value?: string
  effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute'
  timeAdded?: string
}

export interface NodeSpec {
  podCIDR?: string
  podCIDRs?: string[]
  providerID?: string
  unschedulable?: boolean
  taints?: Taint[]
}

export interface NodeSystemInfo {
  machineID: string
  systemUUID: string
  bootID: string
  kernelVersion: string
  osImage: string
  containerRuntimeVersion: string
  kubeletVersion: string
  kubeProxyVersion: string
  operatingSystem: string
  architecture: string
}

export interface NodeStatus {
  capacity?: Record<string, string>
  allocatable?: Record<string, string>
  conditions?: Condition[]
  addresses?: { type: string; address: string }[]
  nodeInfo?: NodeSystemInfo
  images?: { names?: string[]; sizeBytes?: number }[]
  daemonEndpoints?: { kubeletEndpoint?: { Port: number } }
}

export interface Node {
  apiVersion: 'v1'
  kind: 'Node'
  metadata: ObjectMeta
  spec?: NodeSpec
  status?: NodeStatus
  [field: string]: unknown
}
