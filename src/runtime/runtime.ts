// The door of the runtimes: how a pod runs. Everything a runtime creates outlives the agent; what it knows it can find again on disk
// and in the kernel. Calls are idempotent: doing again what is already so is not an error. DESIGN section 7.

import type { Clock } from '../base/clock.ts'
import type { Exec } from '../base/exec.ts'
import type { Log } from '../base/log.ts'

/** One pod's sandbox: the namespaces, the cgroup and the shared mounts its containers join. */
export interface SandboxSpec {
  /** Pod uid; the sandbox's identity. [0-9a-f-]+ */
  readonly uid: string
  readonly namespace: string
  readonly name: string
  readonly hostname: string
  readonly hostNetwork: boolean
  readonly hostPID: boolean
  readonly hostIPC: boolean
  readonly shareProcessNamespace: boolean
  readonly sysctls: Readonly<Record<string, string>>
}

export interface SandboxInfo {
  readonly uid: string
  /** Path of the pinned network namespace; undefined when the pod uses the host's network. */
  readonly netns?: string
}

export interface Mount {
  readonly source: string
  readonly destination: string
  readonly readOnly: boolean
  /** 'bind' of a file or directory (default), or a tmpfs with `sizeBytes`. */
  readonly type?: 'bind' | 'tmpfs'
  readonly sizeBytes?: number
}

export interface ContainerSpec {
  readonly podUid: string
  readonly namespace: string
  readonly podName: string
  /** Container name within the pod. */
  readonly name: string
  /** How many times it was started before: the restart count. Part of its identity. */
  readonly attempt: number
  readonly init: boolean
  /** Reference as written in the manifest, and the digest of the resolved image's config. */
  readonly image: string
  readonly imageID: string
  /** Unpacked layer directories, lowest first; empty for the process runtime when the image is a host directory. */
  readonly layers: readonly string[]
  readonly args: readonly string[]
  /** `NAME=value`, in order. */
  readonly env: readonly string[]
  readonly cwd: string
  readonly uid: number
  readonly gid: number
  readonly supplementalGroups: readonly number[]
  readonly mounts: readonly Mount[]
  readonly readOnlyRootfs: boolean
  readonly privileged: boolean
  readonly allowPrivilegeEscalation: boolean
  /** Names without CAP_, upper case. The complete set. */
  readonly capabilities: readonly string[]
  /** 'RuntimeDefault' compiles the built-in profile, 'Unconfined' none. */
  readonly seccomp: 'RuntimeDefault' | 'Unconfined'
  readonly resources: {
    readonly memoryBytes?: number
    /** CPU limit and request in thousandths of a core. */
    readonly cpuLimitMillis?: number
    readonly cpuRequestMillis?: number
    readonly pids?: number
    /** -1000 … 1000; raised to the lowest value this process may give. 0 when absent. */
    readonly oomScoreAdj?: number
  }
  readonly tty: boolean
  /** The signal that asks it to end, `SIGTERM` when absent; a name with or without SIG, or a number. */
  readonly stopSignal?: string
  /** Absolute path of the log file in the k8s-file (CRI) format. */
  readonly logPath: string
  readonly hostname: string
}

export interface ContainerExit {
  readonly exitCode: number
  /** The kernel killed it for memory. */
  readonly oomKilled: boolean
  /** Wall time in ms when it ended, as far as known. */
  readonly finishedAtMs: number
  /** True when the exit code could not be learnt (the monitor died): report Unknown, never success. */
  readonly unknown?: boolean
}

/** The identity of a container: unique on this device and over time, a valid file name. Pure. */
export const containerId = (spec: Pick<ContainerSpec, 'podUid' | 'name' | 'attempt'>): string =>
  `${spec.podUid}_${spec.name}_${spec.attempt}`

export interface ContainerInfo {
  /** Unique on this device and over time: derived from pod uid, name and attempt. */
  readonly id: string
  readonly podUid: string
  readonly name: string
  readonly attempt: number
  readonly init: boolean
  readonly image: string
  readonly imageID: string
  readonly state: 'created' | 'running' | 'exited'
  readonly pid?: number
  /** Wall time in ms. */
  readonly startedAtMs?: number
  readonly exit?: ContainerExit
  readonly logPath: string
}

export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** A command that runs in a container. Output that is not read holds the command back, and its end. */
export interface ExecSession {
  /** Settles once the command has ended and its output has been read. */
  readonly exitCode: Promise<number>
  readonly stdin: NodeJS.WritableStream | undefined
  readonly stdout: NodeJS.ReadableStream
  /** Undefined on a terminal: all of it is `stdout`. */
  readonly stderr: NodeJS.ReadableStream | undefined
  /** Of the terminal; nothing without one. */
  resize(size: TerminalSize): void
  /** Ends the command and what it started. */
  kill(): void
}

/** What a runtime is built from. */
export interface RuntimeDeps {
  readonly exec: Exec
  readonly clock: Clock
  readonly log: Log
  /** Absolute folder that belongs to this runtime alone; on disk, since its records must outlive a reboot. */
  readonly dir: string
  /** Control group that all containers are below; `/helio` when absent. */
  readonly cgroupRoot?: string
}

export interface Runtime {
  readonly name: 'crun' | 'process' | 'cri' | 'wasm' | 'fake'
  /** As NodeSystemInfo.containerRuntimeVersion: `crun://1.8.1`. */
  readonly version: string
  /** True when pods get a network namespace of their own. */
  readonly isolatesNetwork: boolean
  /** What pods ask for and this machine cannot keep, one line each, for the operator. */
  readonly losses?: () => readonly string[]
  /** Everything there is, from disk and kernel: the truth after an agent restart or a reboot. */
  inspect(): Promise<{ sandboxes: readonly SandboxInfo[]; containers: readonly ContainerInfo[] }>
  createSandbox(spec: SandboxSpec): Promise<SandboxInfo>
  /** Kills what still runs in it, unmounts and removes everything of the pod. */
  removeSandbox(uid: string): Promise<void>
  /** Creates and starts; one that exists already, running or exited, is returned as it is. Rejects with ApiError-free Error whose message is fit for `state.waiting.message`. */
  startContainer(spec: ContainerSpec): Promise<ContainerInfo>
  /** SIGTERM (or the image's stop signal), then SIGKILL after `graceMs`; settles when it has exited. 0 kills at once. */
  stopContainer(id: string, graceMs: number): Promise<void>
  /** Removes an exited container's bundle and writable layer; its log file stays. */
  removeContainer(id: string): Promise<void>
  /** Runs a command inside a running container. */
  exec(id: string, command: readonly string[], options: { tty: boolean; stdin: boolean }): Promise<ExecSession>
  /** Resident bytes and CPU nanoseconds of a container, from its cgroup. */
  usage(id: string): Promise<{ memoryBytes: number; cpuNanos: number } | undefined>
  /** Calls `fn` for each container that exits while this runtime is open (inotify, no polling). Exits that happened before are seen by inspect(). */
  onExit(fn: (container: ContainerInfo) => void): void
  /** Makes the writer of a running container's log open `logPath` anew: rotation is rename, then this. Not an error when it does not run. */
  reopenLog(id: string): Promise<void>
  /** Stops watching; everything goes on running. */
  close(): Promise<void>
}
