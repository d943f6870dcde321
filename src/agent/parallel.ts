// A bound on work going on at the same time: the rest waits in order. Source: CONVENTIONS 19.

export interface Parallel {
  /** Runs `work` as soon as there is room; settles as it does. */
  run<T>(work: () => Promise<T>): Promise<T>
}

export const createParallel = (max: number): Parallel => {
  const waiting: (() => void)[] = []
  const state = { running: 0 }
  const next = (): void => {
    state.running--
    waiting.shift()?.()
  }
  return {
    async run(work) {
      if (state.running >= max) await new Promise<void>(resolve => waiting.push(resolve))
      state.running++
      try {
        return await work()
      } finally {
        next()
      }
    },
  }
}
