// What the pure rooms may use of the platform beyond ECMAScript: nothing that does I/O, reads a clock or draws a random number.

interface AbortSignal {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}
