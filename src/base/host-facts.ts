// What a machine is, read when asked: host/facts.ts fills it in, the agent reports it.

export interface HostFacts {
  readonly hostname: string
  readonly cpus: number
  readonly memoryBytes: number
  /** What programs could still get, MemAvailable of the kernel; absent on kernels that do not say. */
  readonly memoryAvailableBytes?: number
  /** Size and free bytes of the file system that holds `dir`. */
  readonly diskBytes: number
  readonly diskFreeBytes: number
  /** IPv4 first, loopback left out unless there is nothing else. */
  readonly addresses: readonly string[]
  readonly machineID: string
  readonly bootID: string
  /** Since this boot, by the kernel. */
  readonly uptimeSeconds: number
  readonly kernelVersion: string
  readonly osImage: string
  /** As Go spells it: amd64, arm64, arm. */
  readonly architecture: string
}
