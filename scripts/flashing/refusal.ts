// What flash refuses or fails at: one line and what to do about it.

export class Refusal extends Error {
  readonly hint: string | undefined
  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(message, options)
    this.hint = hint
  }
}

/** Wrong use: exit code 2. */
export class Usage extends Refusal {}
