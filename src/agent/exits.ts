// Exits on their way from the runtime to the machine: each gets its termination message, each is delivered once, in order, and whoever
// stopped a container can wait until its exit has been taken in. Source: k8s terminationMessagePath, terminationMessagePolicy.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import type { Clock } from '../base/clock.ts'
import type { Container } from '../kinds/pod.ts'
import type { ContainerInfo, Runtime } from '../runtime/runtime.ts'
import { EXIT_WAIT_MS, LOG_MESSAGE_BYTES_MAX, TERMINATION_MESSAGE_BYTES_MAX } from './limits.ts'
import { parseLine } from './log-lines.ts'

const tailBytes = (path: string, bytesMax: number): Buffer => {
  try {
    const fd = openSync(path, 'r')
    try {
      const { size } = fstatSync(fd)
      const bytes = Buffer.alloc(Math.min(size, bytesMax))
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, Math.max(0, size - bytesMax)))
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
}

const logTail = (path: string): string => {
  const lines = tailBytes(path, LOG_MESSAGE_BYTES_MAX * 2)
    .toString()
    .split('\n')
  const texts = lines.flatMap(line => {
    const bytes = Buffer.from(line)
    const parsed = parseLine(bytes)
    return parsed ? [bytes.toString('utf8', parsed.textAt) + (parsed.whole ? '\n' : '')] : []
  })
  return texts.join('').slice(-LOG_MESSAGE_BYTES_MAX)
}

/** What a container left as its last words. */
export const terminationMessage = (podsDir: string, info: ContainerInfo, container: Container | undefined): string => {
  const written = tailBytes(`${podsDir}/${info.podUid}/termination/${info.name}.${info.attempt}`, TERMINATION_MESSAGE_BYTES_MAX).toString()
  if (written !== '' || container?.terminationMessagePolicy !== 'FallbackToLogsOnError' || info.exit?.exitCode === 0) return written
  return logTail(info.logPath)
}

export interface Exits {
  /** From now on the machine hears of exits; those since the runtime was opened come first. */
  open(deliver: (container: ContainerInfo) => void): void
  /** Settles once the exit of a stopped container has been delivered; asks the runtime where nobody told. */
  taken(id: string): Promise<void>
  /** Calls back at each exit, after it was delivered. */
  onExit(fn: () => void): () => void
}

/** Subscribes at once, so that no exit falls between inspect() and the machine's first step. */
export const collectExits = (
  runtime: Pick<Runtime, 'onExit' | 'inspect'>,
  clock: Pick<Clock, 'sleep'>,
  isRunning: (id: string) => boolean,
): Exits => {
  const early: ContainerInfo[] = []
  const waiting = new Map<string, Set<() => void>>()
  const listeners = new Set<() => void>()
  const state: { deliver: ((container: ContainerInfo) => void) | undefined } = { deliver: undefined }
  const take = (info: ContainerInfo): void => {
    if (!state.deliver) return void early.push(info)
    state.deliver(info)
    for (const settle of waiting.get(info.id) ?? []) settle()
    waiting.delete(info.id)
    for (const fn of [...listeners]) fn()
  }
  runtime.onExit(take)
  return {
    open(deliver) {
      state.deliver = deliver
      for (const info of early.splice(0)) take(info)
    },
    async taken(id) {
      if (!isRunning(id)) return
      const stop = new AbortController()
      const told = new Promise<void>(resolve => {
        const set = waiting.get(id) ?? new Set()
        waiting.set(id, set.add(resolve))
      })
      await Promise.race([told, clock.sleep(EXIT_WAIT_MS, stop.signal)])
      stop.abort()
      waiting.delete(id)
      if (!isRunning(id)) return
      const found = (await runtime.inspect()).containers.find(container => container.id === id)
      if (found?.state === 'exited') take(found)
    },
    onExit(fn) {
      listeners.add(fn)
      return () => listeners.delete(fn)
    },
  }
}
