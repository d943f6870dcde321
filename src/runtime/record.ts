// What a runtime remembers of a sandbox or a container: one small JSON file each, replaced as a whole. Durable writes survive a power
// cut; plain ones survive the agent only, which is enough for facts that a reboot makes untrue anyway.

import { open, readdir, readFile, rename, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isObject } from '../base/json.ts'
import { RECORD_BYTES_MAX } from './limits.ts'
import type { ContainerExit, ContainerInfo, ContainerSpec, SandboxSpec } from './runtime.ts'

export interface SandboxRecord {
  readonly spec: SandboxSpec
  readonly bootId: string
  readonly createdAtMs: number
}

export interface ContainerRecord {
  readonly id: string
  readonly spec: ContainerSpec
  readonly bootId: string
  readonly createdAtMs: number
  /** 'creating' until the program has been started and its pid is known. */
  readonly phase: 'creating' | 'started'
  readonly startedAtMs?: number
  readonly pid?: number
  /** Start time of `pid` in clock ticks since boot: with the boot id it tells the process from a later one of the same number. */
  readonly pidStart?: string
  /** Parent that will write the exit down, where the runtime has no other way to find it. */
  readonly monitorPid?: number
  readonly exit?: ContainerExit
}

export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')

/** The file's text, or undefined when there is none. */
export const readText = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

export const exists = async (path: string): Promise<boolean> => {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** The names in a folder; none when there is no such folder. */
export const names = async (dir: string): Promise<readonly string[]> => {
  try {
    return (await readdir(dir)).sort()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** The record, or undefined when there is none or it is not whole (then whatever it was about counts as half made). */
export const readRecord = async <T extends SandboxRecord | ContainerRecord>(path: string): Promise<T | undefined> => {
  const text = await readText(path)
  if (text === undefined || text.length > RECORD_BYTES_MAX) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) && isObject(value['spec']) && typeof value['bootId'] === 'string' ? (value as unknown as T) : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

const syncFolder = async (dir: string): Promise<void> => {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Two writers of one file, also in two processes, never share the file beside it. */
const writes = { next: 0 }

/** Replaces a file as a whole. With `durable` it is on disk, name and content, when this settles. Mode 0600: records hold environments. */
export const writeWhole = async (path: string, text: string, options: { durable: boolean }): Promise<void> => {
  const beside = `${path}.${process.pid}-${writes.next++}.tmp`
  const handle = await open(beside, 'w', 0o600)
  try {
    await handle.writeFile(text)
    if (options.durable) await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(beside, path)
  if (options.durable) await syncFolder(dirname(path))
}

export const writeRecord = (path: string, record: SandboxRecord | ContainerRecord, options: { durable: boolean }): Promise<void> =>
  writeWhole(path, `${JSON.stringify(record)}\n`, options)

export const recordPath = (dir: string): string => join(dir, 'record.json')

/** What the door shows of a record. */
export const describe = (record: ContainerRecord, state: ContainerInfo['state']): ContainerInfo => ({
  id: record.id,
  podUid: record.spec.podUid,
  name: record.spec.name,
  attempt: record.spec.attempt,
  init: record.spec.init,
  image: record.spec.image,
  imageID: record.spec.imageID,
  state,
  logPath: record.spec.logPath,
  ...(state === 'running' && record.pid !== undefined ? { pid: record.pid } : {}),
  ...(record.startedAtMs === undefined ? {} : { startedAtMs: record.startedAtMs }),
  ...(record.exit === undefined ? {} : { exit: record.exit }),
})
