// The door of the command line: what main.ts hands in and what it calls. Verbs speak HTTPS to the server or HTTP to the device's socket;
// only images and a broker's files go to the disk, through functions main.ts provides.

import type { Readable, Writable } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import type { CheckRequest, CheckRow, InstallRequest, InstallResult, Tell, UninstallRequest, UninstallResult } from './install-shapes.ts'
import type { UpgradeDesk } from './upgrade-shapes.ts'

export { runCli } from './run.ts'

export interface CliStream extends Writable {
  readonly isTTY?: boolean
  readonly columns?: number
}

/** An image of the device's store, as `helio image` shows it. */
export interface CliImage {
  readonly id: string
  readonly names: readonly string[]
  readonly sizeBytes: number
  readonly importedAt: string
}

export interface CliVersion {
  readonly gitVersion: string
  readonly gitCommit: string
  readonly buildDate: string
  readonly platform: string
}

/** This program, as it says of itself. */
export interface ProgramFacts {
  readonly version: string
  readonly commit: string
  /** `linux-x64`, `linux-arm64`, `linux-armv7` */
  readonly target: string
  /** Whether it is one self-contained executable. */
  readonly packaged: boolean
  readonly node: string
  readonly sqlite: string
}

/** An executable whose signature is good. */
export interface ProgramCheck {
  readonly file: string
  readonly sizeBytes: number
  readonly sha256: string
  readonly target: string
  readonly version: string
  readonly keyId: string
  /** Where the key that is trusted came from. */
  readonly trust: string
}

/** Where an MQTT broker is reached, and where its files will lie (`folder`; else where they are written). */
export interface BrokerFilesOptions {
  readonly host: string
  readonly port: number
  readonly bind: string | undefined
  readonly folder: string | undefined
}

export interface CliDeps {
  readonly stdout: CliStream
  readonly stderr: CliStream
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  /** Aborts on SIGINT and SIGTERM: the command ends at once with code 130. */
  readonly signal: AbortSignal
  readonly version: CliVersion
  program(): Promise<ProgramFacts>
  /** Rejects with one line and a hint when the executable that runs is not what was signed, or cannot be checked. */
  verifyProgram(options: {
    /** Undefined: the executable that runs. */
    readonly file: string | undefined
    readonly signature: string | undefined
    readonly publicKey: string | undefined
  }): Promise<ProgramCheck>
  /** `/var/lib/heliopause`, unless --data-dir or $HELIO_DATA_DIR say otherwise. */
  readonly dataDirDefault: string
  /** Takes an archive or layout folder into the image store of the data dir, and tells a running agent of it. */
  importImages(
    dataDir: string,
    path: string,
    options: { readonly name?: string; readonly onProgress: (done: number, total: number) => void; readonly signal: AbortSignal },
  ): Promise<readonly CliImage[]>
  listImages(dataDir: string): Promise<readonly CliImage[]>
  /** Makes the files an MQTT broker needs to serve the cluster of this data dir; answers their names. Rejects with one line and a hint. */
  writeBrokerFiles(dataDir: string, out: string, options: BrokerFilesOptions): Promise<readonly string[]>
  /** The slots of this machine's program; see upgrade-shapes.ts. */
  upgrades(): Promise<UpgradeDesk>
  /** Installs this program on this machine or below another root. Rejects with one line and a hint; run again it goes on. */
  install(request: InstallRequest, hooks: { readonly signal: AbortSignal; readonly tell: Tell }): Promise<InstallResult>
  uninstall(request: UninstallRequest, hooks: { readonly tell: Tell }): Promise<UninstallResult>
  /** Looks whether this machine can do what a role needs; changes nothing that stays. */
  checkMachine(request: CheckRequest, hooks: { readonly tell: Tell }): Promise<readonly CheckRow[]>
}
