// Waiting for what a program under test will show, by asking it again; gives up loudly.

import { setTimeout as pause } from 'node:timers/promises'

const EVERY_MS = 100
const PATIENCE_MS = 180_000

/** Settles when `is` answers true. */
export const waitUntil = async (what: string, is: () => Promise<boolean>, patienceMs: number = PATIENCE_MS): Promise<void> => {
  const startedAt = performance.now()
  while (!(await is())) {
    if (performance.now() - startedAt > patienceMs) throw new Error(`waited ${patienceMs} ms for: ${what}`)
    await pause(EVERY_MS)
  }
}
