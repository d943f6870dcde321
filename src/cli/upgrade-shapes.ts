// What `helio upgrade` asks of main-upgrade.ts, and what it is answered.

export interface UpgradeOptions {
  readonly dataDir: string
  readonly file: string
  /** FILE.sig when left out. */
  readonly signature: string | undefined
  /** Trusted instead of the device's own keys. */
  readonly publicKey: string | undefined
  readonly dryRun: boolean
  readonly restart: boolean
  /** Waits for the end of the trial. */
  readonly wait: boolean
  readonly allowDowngrade: boolean
  readonly allowUnsigned: boolean
  /** Takes a program that is remembered as bad, and one that runs already. */
  readonly force: boolean
  readonly steadySeconds: number
  readonly deadlineSeconds: number
}

/** Where people are kept up to date: `progress` is replaced by what follows, `note` stays. */
export interface UpgradeTeller {
  progress(text: string): void
  note(text: string): void
}

export type UpgradeOutcome =
  /** Dry run: it would be taken. */
  | 'checked'
  /** It is the program that runs. */
  | 'unchanged'
  /** It is in use from the next start on; nobody waited. */
  | 'switched'
  /** Its trial ended well. */
  | 'committed'
  /** The one before runs again. */
  | 'rolledBack'
  /** Its trial had not ended when waiting was given up. */
  | 'onTrial'

export interface UpgradeResult {
  readonly outcome: UpgradeOutcome
  readonly slot: 'a' | 'b'
  readonly version: string
  readonly sha256: string
  readonly target: string
  /** Version of the program in use before. */
  readonly from: string
  /** Id of the key that signed it; null: unsigned. */
  readonly signedBy: string | null
  /** Units that were told to restart. */
  readonly restarted: readonly string[]
  /** Why it was rolled back. */
  readonly reason?: string
}

export interface UpgradeSlot {
  readonly slot: 'a' | 'b'
  readonly state: 'current' | 'on trial' | 'previous' | 'bad' | 'empty'
  /** '' where nothing is known. */
  readonly version: string
  readonly sha256: string
  readonly target: string
  readonly sizeBytes: number
}

export interface UpgradeStatus {
  readonly dataDir: string
  readonly slots: readonly UpgradeSlot[]
  readonly trial: {
    readonly slot: 'a' | 'b'
    readonly version: string
    readonly starts: { readonly server: number | 'ok'; readonly agent: number | 'ok' }
    readonly startsMax: number
    readonly steadySeconds: number
    readonly deadlineSeconds: number
  } | null
  readonly bad: readonly { readonly sha256: string; readonly version: string; readonly reason: string }[]
}

/** Changes of the slots of this machine. Everything rejects with one line and a hint. */
export interface UpgradeDesk {
  status(dataDir: string): UpgradeStatus
  upgrade(options: UpgradeOptions, tell: UpgradeTeller, signal: AbortSignal): Promise<UpgradeResult>
  rollback(
    options: Pick<UpgradeOptions, 'dataDir' | 'restart' | 'wait' | 'steadySeconds' | 'deadlineSeconds'>,
    tell: UpgradeTeller,
    signal: AbortSignal,
  ): Promise<UpgradeResult>
}
