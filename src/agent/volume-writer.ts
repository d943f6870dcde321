// Makes the volumes of a pod as its layout says. Files of ConfigMaps, Secrets and the downward API change all at once: they live in a
// timestamp-free folder of their own, `..data` points to it, and the swap is one rename, as with kubelet. What is already so is not
// written again. Source: kubelet atomic_writer, hostPath types.

import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { Exec } from '../base/exec.ts'
import { SECRET_VOLUME_BYTES_MAX } from './limits.ts'
import type { PodLayout, VolumeFile, VolumeLayout } from './volumes.ts'

const bytesOf = (file: VolumeFile): Buffer =>
  file.base64 === undefined ? Buffer.from(file.text ?? '') : Buffer.from(file.base64, 'base64')

const linkOf = (path: string): string | undefined => {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat?.isSymbolicLink() ? readlinkSync(path) : undefined
}

const own = (path: string, gid: number | undefined): void => {
  if (gid !== undefined && process.getuid?.() === 0) chownSync(path, 0, gid)
}

/** Every file below a folder, relative, sorted. */
const filesBelow = (dir: string, prefix = ''): string[] =>
  readdirSync(join(dir, prefix), { withFileTypes: true })
    .flatMap(entry => (entry.isDirectory() ? filesBelow(dir, join(prefix, entry.name)) : [join(prefix, entry.name)]))
    .sort()

/** Files of a volume readable by its group: fsGroup adds the group's read bit, as kubelet does. */
const modeOf = (file: VolumeFile, fsGroup: number | undefined): number => (fsGroup === undefined ? file.mode : file.mode | 0o040)

const isSame = (dir: string, files: readonly VolumeFile[], fsGroup: number | undefined): boolean => {
  if (!existsSync(dir)) return false
  const wanted = files.map(file => file.path).sort()
  if (filesBelow(dir).join('\0') !== wanted.join('\0')) return false
  return files.every(file => {
    const path = join(dir, file.path)
    const stat = lstatSync(path)
    return stat.isFile() && (stat.mode & 0o777) === modeOf(file, fsGroup) && readFileSync(path).equals(bytesOf(file))
  })
}

/** First parts of the paths: what the volume shows, each a link into ..data. */
const topNames = (files: readonly VolumeFile[]): Set<string> => new Set(files.map(file => file.path.split('/')[0] ?? ''))

const swapLink = (target: string, path: string): void => {
  if (linkOf(path) === target) return
  rmSync(`${path}.new`, { recursive: true, force: true })
  symlinkSync(target, `${path}.new`)
  if (linkOf(path) === undefined) rmSync(path, { recursive: true, force: true })
  renameSync(`${path}.new`, path)
}

/** Writes a set of files into a volume folder, all at once. */
export const writeFiles = (dir: string, files: readonly VolumeFile[], fsGroup: number | undefined): void => {
  mkdirSync(dir, { recursive: true, mode: 0o755 })
  const data = join(dir, '..data')
  const now = linkOf(data)
  if (now === undefined || !isSame(join(dir, now), files, fsGroup)) {
    const next = `..${Number(/^\.\.(\d+)$/.exec(now ?? '')?.[1] ?? 0) + 1}`
    rmSync(join(dir, next), { recursive: true, force: true })
    mkdirSync(join(dir, next), { mode: 0o755 })
    own(join(dir, next), fsGroup)
    for (const file of files) writeOne(join(dir, next, file.path), file, fsGroup)
    swapLink(next, data)
  }
  const names = topNames(files)
  for (const name of names) swapLink(`..data/${name}`, join(dir, name))
  const keep = linkOf(data)
  for (const name of readdirSync(dir))
    if (name !== '..data' && name !== keep && !names.has(name)) rmSync(join(dir, name), { recursive: true, force: true })
}

const writeOne = (path: string, file: VolumeFile, fsGroup: number | undefined): void => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  writeFileSync(path, bytesOf(file), { mode: 0o600 })
  chmodSync(path, modeOf(file, fsGroup))
  own(path, fsGroup)
}

/** Files bound one by one into containers keep their inode: they are written in place, and only when they differ. */
const writeEtc = ({ dir, files }: PodLayout['etc']): void => {
  mkdirSync(dir, { recursive: true, mode: 0o755 })
  for (const file of files) {
    const path = join(dir, file.path)
    if (!existsSync(path) || !readFileSync(path).equals(bytesOf(file))) writeFileSync(path, bytesOf(file))
    chmodSync(path, file.mode)
  }
}

const emptyFolder = (dir: string, fsGroup: number | undefined): void => {
  if (existsSync(dir)) return
  mkdirSync(dir, { recursive: true, mode: 0o755 })
  own(dir, fsGroup)
  chmodSync(dir, fsGroup === undefined ? 0o777 : 0o2777)
}

/** Mount points at or below a folder, deepest last, from the kernel's own list. */
export const mountsBelow = (dir: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap(line => line.split(' ')[4] ?? [])
    .map(path => path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))))
    .filter(path => path === dir || path.startsWith(`${dir}/`))
    .sort()

const memoryFolder = async (layout: Extract<VolumeLayout, { holds: 'memory' }>, exec: Exec): Promise<void> => {
  emptyFolder(layout.dir, layout.fsGroup)
  if (mountsBelow(layout.dir).includes(layout.dir)) return
  const options = ['nosuid', 'nodev', layout.fsGroup === undefined ? 'mode=1777' : `mode=2777,gid=${layout.fsGroup}`]
  if (layout.sizeBytes > 0) options.push(`size=${layout.sizeBytes}`)
  const { code, stderr } = await exec.run('mount', ['-t', 'tmpfs', '-o', options.join(','), 'tmpfs', layout.dir])
  if (code !== 0) throw new Error(`mount emptyDir in memory: ${stderr.trim()}`)
}

const KINDS: Readonly<Record<string, (stat: ReturnType<typeof statSync>) => boolean>> = {
  Directory: stat => stat?.isDirectory() === true,
  DirectoryOrCreate: stat => stat?.isDirectory() === true,
  File: stat => stat?.isFile() === true,
  FileOrCreate: stat => stat?.isFile() === true,
  Socket: stat => stat?.isSocket() === true,
  CharDevice: stat => stat?.isCharacterDevice() === true,
  BlockDevice: stat => stat?.isBlockDevice() === true,
}

/** One after the other: Node's own `recursive` never ends below /proc, and a manifest may name any path. */
const makeFolders = (path: string): void => {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return
  if (dirname(path) !== path) makeFolders(dirname(path))
  mkdirSync(path, { mode: 0o755 })
}

const hostFolder = ({ path, type }: Extract<VolumeLayout, { holds: 'host' }>): void => {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat && (type === 'DirectoryOrCreate' || type === '')) makeFolders(path)
  else if (!stat && type === 'FileOrCreate') writeFileSync(path, '', { mode: 0o644, flag: 'a' })
  else if (type !== '' && !KINDS[type]?.(stat))
    throw new Error(`hostPath type check failed: ${path} is not a ${type.replace('OrCreate', '').toLowerCase()}`)
}

/**
 * A file system in memory for a volume of Secrets, as upstream has it. Files that are there without one are of an earlier version or boot:
 * they give way when nothing of the pod runs; a pod that runs keeps the folder its containers see.
 */
const secretFolder = async (dir: string, exec: Exec, fresh: boolean): Promise<void> => {
  if (mountsBelow(dir).includes(dir)) return
  if (existsSync(dir) && readdirSync(dir).length > 0 && !fresh) return
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true, mode: 0o755 })
  const options = `nosuid,nodev,mode=0755,size=${SECRET_VOLUME_BYTES_MAX}`
  const { code, stderr } = await exec.run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', dir])
  if (code !== 0) throw new Error(`mount Secrets in memory: ${stderr.trim()}`)
}

/** Makes everything of a layout so. May run again at any time. `fresh`: nothing of the pod runs. */
export const writeLayout = async (layout: PodLayout, exec: Exec, fresh = false): Promise<void> => {
  for (const volume of layout.volumes) {
    if (volume.holds === 'files') {
      if (volume.inMemory) await secretFolder(volume.dir, exec, fresh)
      writeFiles(volume.dir, volume.files, volume.fsGroup)
    } else if (volume.holds === 'empty') emptyFolder(volume.dir, volume.fsGroup)
    else if (volume.holds === 'memory') await memoryFolder(volume, exec)
    else hostFolder(volume)
  }
  writeEtc(layout.etc)
}

/** Removes a pod's folder, after whatever is mounted below it: nothing outside is ever reached through a mount. */
export const removeFolder = async (dir: string, exec: Exec): Promise<void> => {
  for (const mount of mountsBelow(dir).reverse()) {
    const { code, stderr } = await exec.run('umount', [mount])
    if (code !== 0) throw new Error(`unmount ${mount}: ${stderr.trim()}`)
  }
  rmSync(dir, { recursive: true, force: true })
}

/** Names of the folders in a folder that may be missing. */
export const foldersIn = (dir: string): string[] =>
  existsSync(dir) ? readdirSync(dir, { withFileTypes: true }).flatMap(entry => (entry.isDirectory() ? [entry.name] : [])) : []
