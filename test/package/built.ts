// What npm run package left under build/, or in the folder that PACKAGE_DIR names, and who runs each file: this machine, or qemu-user.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Test } from 'tap'
import { TARGETS, type Target } from '../../scripts/package/targets.ts'
import { type Actor, temporaryDir, wipe } from '../e2e/cluster.ts'

export const ROOT = join(import.meta.dirname, '../..')
export const PACKAGE_DIR = resolve(ROOT, process.env['PACKAGE_DIR'] ?? 'build')

export const fileOf = ({ name }: Target): string => join(PACKAGE_DIR, `helio-${name}`)
export const built: readonly Target[] = TARGETS.filter(target => existsSync(fileOf(target)))
/** The one this machine runs by itself. */
export const native = built.find(target => target.emulator.length === 0)

export const actorOf = (target: Target, file = fileOf(target)): Actor => {
  const [command = '', ...args] = [...target.emulator, file]
  return { command, args }
}

/** A folder for the length of a test. */
export const folderFor = (t: Test): string => {
  const dir = temporaryDir()
  t.teardown(() => wipe(dir))
  return dir
}
