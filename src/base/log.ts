// Structured log: constant words, fields named as Kubernetes names them. Only shells log. Source: CONVENTIONS 14.

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Log {
  error(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
}

/** A log that goes nowhere, for pure tests. */
export const silentLog: Log = { error: () => {}, info: () => {}, debug: () => {} }
