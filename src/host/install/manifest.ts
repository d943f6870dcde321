// What installing has written on a machine: DATA_DIR/install.json, with digests, so that uninstalling removes what is ours and names what
// people have changed. Written before the first file (what is intended) and after the last (what is). Pure.

import { isObject } from '../../base/json.ts'
import type { Role } from '../../base/role-options.ts'
import { DIGESTS_MAX } from './limits.ts'

export type InitSystem = 'systemd' | 'openrc' | 'sysv'
export const INIT_SYSTEMS: readonly InitSystem[] = ['systemd', 'openrc', 'sysv']

export interface InstalledFile {
  readonly path: string
  /** SHA-256 of what was written, newest first; empty: the program itself changes this file, and it goes whatever it holds. */
  readonly sha256: readonly string[]
}

export interface InstalledLink {
  readonly path: string
  readonly target: string
}

export interface Installation {
  readonly version: string
  readonly init: InitSystem
  readonly roles: readonly Role[]
  /** In the order of writing. */
  readonly files: readonly InstalledFile[]
  readonly links: readonly InstalledLink[]
  /** Folders that were made, outermost first. */
  readonly folders: readonly string[]
}

export const NOTHING_INSTALLED: Omit<Installation, 'version' | 'init'> = { roles: [], files: [], links: [], folders: [] }

export const manifestPath = (dataDir: string): string => `${dataDir === '/' ? '' : dataDir}/install.json`

const isPath = (value: unknown): value is string => typeof value === 'string' && value.startsWith('/') && !value.split('/').includes('..')
const isTexts = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every(each => typeof each === 'string')

const isFile = (value: unknown): value is InstalledFile => isObject(value) && isPath(value['path']) && isTexts(value['sha256'])
const isLink = (value: unknown): value is InstalledLink => isObject(value) && isPath(value['path']) && typeof value['target'] === 'string'

/** Undefined for a text that is no manifest. */
export const parseManifest = (text: string): Installation | undefined => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  if (!isObject(value) || value['kind'] !== 'Installation') return undefined
  const { version, init, roles, files, links, folders } = value
  if (typeof version !== 'string' || !INIT_SYSTEMS.some(each => each === init) || !isTexts(roles)) return undefined
  if (!Array.isArray(files) || !files.every(isFile) || !Array.isArray(links) || !links.every(isLink)) return undefined
  if (!Array.isArray(folders) || !folders.every(isPath)) return undefined
  return {
    version,
    init: init as InitSystem,
    roles: (['server', 'agent'] as const).filter(role => roles.includes(role)),
    files: files.map(({ path, sha256 }) => ({ path, sha256 })),
    links: links.map(({ path, target }) => ({ path, target })),
    folders,
  }
}

export const manifestText = (installation: Installation): string =>
  `${JSON.stringify({ apiVersion: 'heliopause.io/v1', kind: 'Installation', ...installation }, null, 2)}\n`

const merged = <T extends { readonly path: string }>(before: readonly T[], now: readonly T[]): readonly T[] => [
  ...before.filter(old => !now.some(each => each.path === old.path)),
  ...now,
]

/** What is intended: the digests of before are kept beside the new ones, since a cut may leave either. */
export const intended = (before: Installation | undefined, now: Installation): Installation => {
  const old = before ?? NOTHING_INSTALLED
  const known = (path: string): readonly string[] => old.files.find(file => file.path === path)?.sha256 ?? []
  const files = now.files.map(({ path, sha256 }) => ({
    path,
    sha256: sha256.length === 0 ? [] : [...new Set([...sha256, ...known(path)])].slice(0, DIGESTS_MAX),
  }))
  return {
    version: now.version,
    init: now.init,
    roles: [...new Set([...old.roles, ...now.roles])].sort(),
    files: merged(old.files, files),
    links: merged(old.links, now.links),
    folders: [...new Set([...old.folders, ...now.folders])],
  }
}

/** What is: digests of `now` alone for the files of `now`. */
export const settled = (before: Installation | undefined, now: Installation): Installation => {
  const both = intended(before, now)
  return { ...both, files: both.files.map(file => now.files.find(each => each.path === file.path) ?? file) }
}
