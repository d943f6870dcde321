// Starting other programs, as a seam: only runtimes, networks and host checks use it. Arguments are arrays, never a shell line.

export interface ExecResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface ExecOptions {
  readonly input?: string | Uint8Array
  readonly timeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export interface Exec {
  /** Runs a program to its end; a non-zero code is a result, not an error. Rejects when it cannot be started or times out. Output is cut at 1 MiB. */
  run(command: string, args: readonly string[], options?: ExecOptions): Promise<ExecResult>
  /** Absolute path of a program on PATH, or undefined. */
  find(command: string): string | undefined
}
