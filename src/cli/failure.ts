// How a command fails: a line for people, a hint where they can act, an exit code for scripts (1 refused or failed, 2 usage, a
// remote command's own).
// Answers of the server are worded as kubectl words them.

import type { Status } from '../base/errors.ts'
import { isObject } from '../base/json.ts'

export class Failure extends Error {
  readonly hint: string | undefined
  readonly exitCode: number

  constructor(message: string, options: { hint?: string | undefined; exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'Failure'
    this.hint = options.hint
    this.exitCode = options.exitCode ?? 1
  }
}

/** A command that ran somewhere else ended with this code: it is this command's own, and said by itself. */
export class ExitCode extends Error {
  readonly code: number

  constructor(code: number) {
    super(`exit code ${code}`)
    this.name = 'ExitCode'
    this.code = code
  }
}

/** No answer came: the next request will fare no better, so a command that goes through many objects ends here. */
export class Unreachable extends Failure {}

/** The server refused: its Status, whole. */
export class Refused extends Error {
  readonly status: Status
  readonly code: number
  readonly hint: string | undefined

  constructor(status: Status, code: number, hint?: string) {
    super(status.message ?? `the server answered ${code}`)
    this.name = 'Refused'
    this.status = status
    this.code = code
    this.hint = hint
  }
}

/** The command line is wrong: exit code 2. */
export const usage = (message: string, hint?: string): Failure => new Failure(message, { hint, exitCode: 2 })

export const isNotFound = (error: unknown): boolean => error instanceof Refused && error.status.reason === 'NotFound'
export const isConflict = (error: unknown): boolean => error instanceof Refused && error.status.reason === 'Conflict'

const isStatus = (value: unknown): value is Status => isObject(value) && value['kind'] === 'Status'

/** The Status in an answer's body; text that is none becomes the message of one. */
export const statusOf = (text: string, code: number): Status => {
  try {
    const value: unknown = JSON.parse(text)
    if (isStatus(value)) return value
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  const message = text.trim().slice(0, 500) || `the server answered with code ${code}`
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, code }
}

/** `* a` per line when there are several, as kubectl does. */
const causesText = (prefix: string, causes: readonly string[]): string =>
  causes.length === 1 ? `${prefix}: ${causes[0]}` : `${prefix}: \n${causes.map(cause => `* ${cause}`).join('\n')}`

/** The text of a refusal. Source: kubectl's cmd/util CheckErr and StandardErrorMessage. */
export const refusalText = (status: Status): string => {
  const { details, message = '', reason } = status
  if (reason === 'Invalid' && details) {
    const what =
      details.kind || details.name ? `The ${details.kind ?? ''} ${JSON.stringify(details.name ?? '')} is invalid` : 'The request is invalid'
    const causes = [...new Set((details.causes ?? []).map(cause => (cause.field ? `${cause.field}: ${cause.message}` : cause.message)))]
    return causes.length > 0 ? causesText(what, causes) : `${what}: ${message}`
  }
  if (reason === 'Unauthorized') return `You must be logged in to the server (${message || 'Unauthorized'})`
  return reason ? `Error from server (${reason}): ${message}` : `Error from server: ${message}`
}
