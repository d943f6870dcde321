// The store's index: one JSON file, replaced whole and durably; the version before it is kept and used when the newest cannot be read.

import { closeSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { messageOf } from '../../base/errors.ts'
import { isObject } from '../../base/json.ts'
import type { Log } from '../../base/log.ts'
import type { Image } from './images.ts'

/** As on disk: layers are names under `layers/`, so the store may be moved. */
export type StoredImage = Image

const VERSION = 1

export const fsyncDirectory = (path: string): void => {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

const parse = (text: string): readonly StoredImage[] => {
  const value: unknown = JSON.parse(text)
  if (!isObject(value) || value['version'] !== VERSION || !Array.isArray(value['images']))
    throw new Error('not an image index of this version')
  return value['images'] as readonly StoredImage[]
}

const read = (path: string): readonly StoredImage[] | undefined => {
  try {
    return parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

export interface LoadedIndex {
  readonly images: readonly StoredImage[]
  /** False when neither version could be read: then nothing may be collected by it. */
  readonly trusted: boolean
}

export const loadIndex = (dir: string, log: Log): LoadedIndex => {
  const path = join(dir, 'index.json')
  try {
    return { images: read(path) ?? [], trusted: true }
  } catch (error) {
    log.error('image index damaged, using the one before it', { path, error: messageOf(error) })
  }
  try {
    return { images: read(join(dir, 'index.old.json')) ?? [], trusted: false }
  } catch (error) {
    log.error('image index lost', { path, error: messageOf(error) })
    return { images: [], trusted: false }
  }
}

const keepOld = (path: string, old: string): void => {
  rmSync(old, { force: true })
  try {
    linkSync(path, old)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** Durable when it returns. `keep` makes the present file the old version; a damaged one must not become that. */
export const saveIndex = (dir: string, images: readonly StoredImage[], keep: boolean): void => {
  const path = join(dir, 'index.json')
  const draft = join(dir, 'index.new.json')
  const fd = openSync(draft, 'w', 0o644)
  try {
    writeSync(fd, `${JSON.stringify({ version: VERSION, images })}\n`)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  if (keep) keepOld(path, join(dir, 'index.old.json'))
  else rmSync(join(dir, 'index.damaged.json'), { force: true })
  if (!keep) renameSync(path, join(dir, 'index.damaged.json'))
  renameSync(draft, path)
  fsyncDirectory(dirname(path))
}
