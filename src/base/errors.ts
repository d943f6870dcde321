// One error type from the deepest room to the wire: the wire error is the internal error. Source: CONVENTIONS 12,
// k8s apimachinery pkg/apis/meta/v1 StatusReason.

/** The closed list of Kubernetes reasons with the HTTP code each one carries. */
export const REASONS = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  ServerTimeout: 500,
  Timeout: 504,
} as const

export type Reason = keyof typeof REASONS

/** One offending field, spelled as upstream's field.Error: `field` is a path such as `spec.containers[0].image`. */
export interface Cause {
  readonly field: string
  /** metav1.CauseType: FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, FieldValueForbidden, FieldValueDuplicate … */
  readonly type: string
  /** The message without the field, as in `Required value`, `Invalid value: "x": must be …`. */
  readonly detail: string
}

export interface ErrorDetails {
  readonly group?: string
  readonly kind?: string
  readonly name?: string
  readonly uid?: string
  readonly causes?: readonly Cause[]
  readonly retryAfterSeconds?: number
}

/** metav1.Status as it goes over the wire. */
export interface Status {
  readonly kind: 'Status'
  readonly apiVersion: 'v1'
  readonly metadata: Record<string, never>
  readonly status: 'Success' | 'Failure'
  readonly message?: string
  readonly reason?: Reason
  readonly details?: {
    group?: string
    kind?: string
    name?: string
    uid?: string
    causes?: { reason: string; message: string; field: string }[]
    retryAfterSeconds?: number
  }
  readonly code?: number
}

/** Stands for errors that carry no details at all; an empty object given on purpose is sent, since clients look into it unasked. */
const NO_DETAILS: ErrorDetails = {}

export class ApiError extends Error {
  readonly code: number
  readonly reason: Reason
  readonly details: ErrorDetails
  /** What the operator can do about it; printed after the message on the command line. */
  readonly hint: string | undefined

  constructor(reason: Reason, message: string, options: { details?: ErrorDetails; cause?: unknown; hint?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ApiError'
    this.reason = reason
    this.code = REASONS[reason]
    this.details = options.details ?? NO_DETAILS
    this.hint = options.hint
  }
}

export const isReason = (error: unknown, reason: Reason): boolean => error instanceof ApiError && error.reason === reason

/** The text of any thrown value, for messages and logs. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** The Status of an error; unknown errors become InternalError without leaking their text to the caller. */
export const toStatus = (error: unknown): Status => {
  const known = error instanceof ApiError ? error : new ApiError('InternalError', 'Internal error occurred', { cause: error })
  const { causes, ...rest } = known.details
  const details = { ...rest, ...(causes ? { causes: causes.map(c => ({ reason: c.type, message: c.detail, field: c.field })) } : {}) }
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: known.message,
    reason: known.reason,
    ...(known.details === NO_DETAILS ? {} : { details }),
    code: known.code,
  }
}
