// What the pure rooms may use of the platform beyond ECMAScript: nothing that does I/O, reads a clock or draws a random number.

interface AbortSignal {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** Streams are passed through pure types (the runtime's door) and never touched there. */
declare namespace NodeJS {
  interface ReadableStream {
    readable: boolean
  }
  interface WritableStream {
    writable: boolean
  }
}
