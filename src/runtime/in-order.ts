// One thing at a time per key: what is started on a container while something else is under way waits for it.

export interface InOrder {
  /** Runs `fn` after everything given before under the same key has settled. */
  run<T>(key: string, fn: () => Promise<T>): Promise<T>
  /** Settles when nothing is under way. */
  idle(): Promise<void>
  /** What is given from now on is refused; settles when nothing is under way. */
  close(): Promise<void>
}

export const createInOrder = (): InOrder => {
  const tails = new Map<string, Promise<unknown>>()
  let closed = false
  const idle = async (): Promise<void> => {
    while (tails.size > 0) await Promise.all(tails.values())
  }
  return {
    run(key, fn) {
      if (closed) return Promise.reject(new Error('the runtime is closed'))
      const before = tails.get(key) ?? Promise.resolve()
      const result = before.then(fn, fn)
      const tail = result.then(
        () => undefined,
        () => undefined,
      )
      tails.set(key, tail)
      return result.finally(() => {
        if (tails.get(key) === tail) tails.delete(key)
      })
    },
    idle,
    close() {
      closed = true
      return idle()
    },
  }
}
