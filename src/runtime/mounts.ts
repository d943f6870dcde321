// Mounts of a pod: the overlay of a container's image and the cleaning up of whatever is mounted below a folder of ours.
// Layers are named by short links, relative to the container's folder, so that many layers fit into the one page mount(2) takes.

import { readFileSync } from 'node:fs'
import { mkdir, readFile, rm, symlink } from 'node:fs/promises'
import { release } from 'node:os'
import { join } from 'node:path'
import type { Exec, ExecResult } from '../base/exec.ts'
import { COMMAND_TIMEOUT_MS, ERROR_TEXT_MAX, OVERLAY_LAYERS_MAX, REMOVE_RETRIES, REMOVE_RETRY_MS } from './limits.ts'
import { exists } from './record.ts'

/** Runs a program that must succeed. */
export const must = async (exec: Exec, what: string, command: string, args: readonly string[], cwd?: string): Promise<ExecResult> => {
  const result = await exec.run(command, args, { timeoutMs: COMMAND_TIMEOUT_MS, ...(cwd === undefined ? {} : { cwd }) })
  if (result.code !== 0)
    throw new Error(`${what}: ${(result.stderr || result.stdout).trim().slice(0, ERROR_TEXT_MAX) || `exit code ${result.code}`}`)
  return result
}

/** mountinfo writes blank, tab, newline and backslash as octal. */
const decode = (path: string): string => path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** Mount points at or below `dir`, innermost first. Read at once: Node 20.11's promised readFile ends at the first page of a file in /proc. */
export const mountsUnder = async (dir: string): Promise<readonly string[]> =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map(line => decode(line.split(' ')[4] ?? ''))
    .filter(path => path === dir || path.startsWith(`${dir}/`))
    .reverse()

/** Unmounts everything at or below `dir`, lazily where something still holds it. Refuses to return while anything is mounted. */
export const unmountUnder = async (exec: Exec, dir: string): Promise<void> => {
  const paths = await mountsUnder(dir)
  if (paths.length === 0) return
  const plain = await exec.run('umount', paths, { timeoutMs: COMMAND_TIMEOUT_MS })
  if (plain.code === 0) return
  const left = await mountsUnder(dir)
  if (left.length > 0) await must(exec, `unmount ${dir}`, 'umount', ['-l', ...left])
}

/** Unmounts below `dir`, then removes it; never deletes through a mount. */
export const removeFolder = async (exec: Exec, dir: string): Promise<void> => {
  await unmountUnder(exec, dir)
  // A monitor that is being killed may still put a file there while we clear.
  await rm(dir, { recursive: true, force: true, maxRetries: REMOVE_RETRIES, retryDelay: REMOVE_RETRY_MS })
}

/** 'volatile' skips the flush at unmount: what a container writes to its own layer is gone after a reboot anyway. Linux 5.10. */
const hasVolatile = (): boolean => {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 10)
}

/**
 * Has the kernel load overlay before the first mount. Mounts that come at the same time, as they do when a device boots, each have it
 * loaded, and all but the first can find it not there yet. Where it cannot be loaded, mounting says so.
 */
export const loadOverlay = async (exec: Exec): Promise<void> => {
  const modprobe = exec.find('modprobe')
  if (modprobe === undefined || /\toverlay$/m.test(await readFile('/proc/filesystems', 'utf8'))) return
  await exec.run(modprobe, ['overlay'], { timeoutMs: COMMAND_TIMEOUT_MS })
}

/** Mounts the layers, lowest first, with a writable one above; returns the root. `dir` is the container's own folder. */
export const mountOverlay = async (exec: Exec, dir: string, layers: readonly string[]): Promise<string> => {
  if (layers.length > OVERLAY_LAYERS_MAX)
    throw new Error(`mount image: ${layers.length} layers, at most ${OVERLAY_LAYERS_MAX} are possible`)
  const links = join(dir, 'l')
  const rootfs = join(dir, 'rootfs')
  await Promise.all([links, join(dir, 'upper'), join(dir, 'work'), rootfs].map(path => mkdir(path, { mode: 0o755 })))
  if (layers.length === 0) await mkdir(join(links, '0'))
  await Promise.all(layers.map((layer, i) => symlink(layer, join(links, i.toString(36)))))
  const lower = (layers.length === 0 ? ['l/0'] : layers.map((_, i) => `l/${i.toString(36)}`).reverse()).join(':')
  const options = `lowerdir=${lower},upperdir=upper,workdir=work${hasVolatile() ? ',volatile' : ''}`
  try {
    await must(exec, 'mount image', 'mount', ['-t', 'overlay', '-o', options, 'overlay', rootfs], dir)
  } catch (error) {
    // The kernel says only that something is not there.
    for (const layer of layers)
      if (!(await exists(layer))) throw new Error(`mount image: layer ${layer} is missing: import the image again`, { cause: error })
    throw error
  }
  return rootfs
}
