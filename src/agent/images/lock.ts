// One importer at a time over all processes, and nobody is locked out by one that was killed. Files `lock.<n>` are made by link(2), which
// is atomic; the highest n counts, and it is never removed, only surpassed: so two who see the same dead owner cannot both take over.

import { linkSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { LOCK_POLL_MS, LOCK_WAIT_MS_MAX } from './limits.ts'

export interface Lock {
  release(): void
}

const FREE = 'free'
const LOCK_NAME = /^lock\.(\d+)$/

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

const readOr = (path: string, missing: string): string => {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return missing
    throw error
  }
}

/** A process for good: pid, its start time in ticks, and the boot; a reused pid does not match. */
const identityOf = (pid: number): string | undefined => {
  const stat = readOr(`/proc/${pid}/stat`, '')
  if (stat === '') return undefined
  const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  return `${pid} ${ticks} ${readOr('/proc/sys/kernel/random/boot_id', '-')}`
}

const highest = (dir: string): { n: number; owner: string } => {
  const numbers = readdirSync(dir).flatMap(name => LOCK_NAME.exec(name)?.[1] ?? [])
  const n = Math.max(0, ...numbers.map(Number))
  return { n, owner: n === 0 ? FREE : readOr(join(dir, `lock.${n}`), FREE) }
}

const isAlive = (owner: string): boolean => {
  const pid = Number(owner.split(' ')[0])
  return Number.isInteger(pid) && pid > 0 && identityOf(pid) === owner
}

const removeOlder = (dir: string, n: number): void => {
  for (const name of readdirSync(dir)) {
    const match = LOCK_NAME.exec(name)
    if (match && Number(match[1]) < n - 1) rmSync(join(dir, name), { force: true })
  }
}

/** The lock, or the pid of who holds it. Never waits. */
export const tryLock = (dir: string): Lock | { readonly heldBy: string } => {
  const mine = identityOf(process.pid) ?? `${process.pid} - -`
  const draft = join(dir, `draft.${process.pid}`)
  for (;;) {
    const { n, owner } = highest(dir)
    if (isAlive(owner)) return { heldBy: owner.split(' ')[0] ?? '?' }
    const path = join(dir, `lock.${n + 1}`)
    writeFileSync(draft, mine)
    try {
      linkSync(draft, path)
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
      continue
    } finally {
      unlinkSync(draft)
    }
    if (highest(dir).n !== n + 1) {
      unlinkSync(path)
      continue
    }
    removeOlder(dir, n + 1)
    return { release: () => writeFileSync(path, FREE) }
  }
}

/** Waits for the lock, for LOCK_WAIT_MS_MAX at most. */
export const takeLock = async (dir: string, clock: Pick<Clock, 'mono' | 'sleep'>, signal?: AbortSignal): Promise<Lock> => {
  const since = clock.mono()
  for (;;) {
    const lock = tryLock(dir)
    if ('release' in lock) return lock
    signal?.throwIfAborted()
    if (clock.mono() - since > LOCK_WAIT_MS_MAX) throw new Error(`lock image store: process ${lock.heldBy} has held it for too long`)
    await clock.sleep(LOCK_POLL_MS, signal)
  }
}
