// What `helio install` and `helio uninstall` ask of the program around them, and what they are told. Paths are those of the installed
// machine; a foreign root is put before them.

export interface InstallRequest {
  /** Left out: the one that is installed already, or an agent when a server to join is named. */
  readonly role: 'server' | 'agent' | undefined
  /** `/` is this machine. */
  readonly root: string
  readonly init: 'systemd' | 'openrc' | 'sysv' | undefined
  /** A configuration manifest to begin from; else the installed one, else a new one. */
  readonly config: string | undefined
  /** Flags of the role as given, by name without dashes. */
  readonly flags: Readonly<Record<string, string | boolean>>
  readonly start: boolean
  readonly dryRun: boolean
  /** Another packaged program than the one that runs: the tree is a machine of another kind. Who gives it has checked it. */
  readonly program?: { readonly file: string; readonly version: string; readonly target: string }
}

export interface InstallStep {
  readonly do: 'folder' | 'program' | 'file' | 'link' | 'run' | 'remove' | 'keep'
  /** The path, or the command. */
  readonly what: string
  /** 'changed' has a difference; 'kept' is somebody's own work. */
  readonly state: 'new' | 'changed' | 'unchanged' | 'done' | 'removed' | 'kept'
  /** Permissions in octal, target of a link, size: what a reader wants to know beside the path. */
  readonly note?: string
  /** Lines that begin with `-`, `+` or a blank. */
  readonly diff?: readonly string[]
}

export interface InstallResult {
  readonly role: 'server' | 'agent'
  readonly root: string
  readonly dataDir: string
  readonly init: 'systemd' | 'openrc' | 'sysv'
  readonly dryRun: boolean
  readonly changed: boolean
  readonly steps: readonly InstallStep[]
  /** How far it came: `ready` runs, `joined` has its server too. */
  readonly service: 'not started' | 'ready' | 'joined'
  /** What to do next, a line each. */
  readonly next: readonly string[]
}

export interface UninstallRequest {
  readonly root: string
  readonly dataDir: string
  /** Removes the data folder too. */
  readonly purge: boolean
  /** Ends the pods, which otherwise go on running. */
  readonly stopPods: boolean
  readonly dryRun: boolean
}

export interface UninstallResult {
  readonly root: string
  readonly dataDir: string
  readonly dryRun: boolean
  readonly steps: readonly InstallStep[]
  /** Pods that go on running. */
  readonly pods: number
  /** What is still there and why, a line each. */
  readonly left: readonly string[]
}

/** Tells how far a long command has come. */
export type Tell = (text: string) => void

export interface CheckRequest {
  readonly role: 'server' | 'agent'
  readonly dataDir: string
  /** `https://host:port` that is to be reached. */
  readonly server: string | undefined
  /** Of the API; only a server's are checked. */
  readonly port: number
  readonly mqttPort: number | undefined
  readonly clusterCIDR: string
}

/** One finding. `fail` keeps the role from working, `warn` will be felt some day. */
export interface CheckRow {
  readonly check: string
  readonly status: 'ok' | 'warn' | 'fail'
  /** What was found, in plain words. */
  readonly found: string
  /** What a technician does about it; absent when it is ok. */
  readonly fix?: string
}
