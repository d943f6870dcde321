// What cannot happen. A failed assert is a programmer's error: the process dies and is started again. Source: CONVENTIONS 13.

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}

/** For the default branch of a switch over a closed union. */
export const unreachable = (value: never): never => {
  throw new Error(`assertion failed: unreachable value ${JSON.stringify(value)}`)
}
