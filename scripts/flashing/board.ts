// What is to be flashed: a folder with a root tree, a bare ext4 image, or a disk (image or device) with a partition for root and maybe one
// for booting. Which partition is the root is told by what is in it, never by its number.

import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { SEED_FILE } from '../../src/agent/seed.ts'
import { executableOf, readHeader } from '../../src/agent/slots/executable.ts'
import { type Mounted, mountExt4 } from './mount.ts'
import { fileSystemAt, type Partition, readPartitions } from './partitions.ts'
import { Refusal } from './refusal.ts'
import { findInRoot } from './root-path.ts'

/** A part of a file or device. */
export interface Extent {
  readonly startBytes: number
  readonly sizeBytes: number
}

export interface Board {
  readonly form: 'folder' | 'ext4' | 'disk'
  /** Where the root file system lies; the whole of it unless a disk. Unused for a folder. */
  readonly root: Extent
  /** The FAT partition that the board mounts on /boot or /boot/firmware, with its mount point. */
  readonly boot?: Extent & { readonly mountPoint: string }
  /** process.arch of its programs. */
  readonly arch: string
  /** Free for root, and the free inodes; unbounded (undefined) for a folder. */
  readonly free?: { readonly bytes: number; readonly inodes: number }
}

const WITNESSES = ['/usr/lib/systemd/systemd', '/bin/dash', '/bin/bash', '/bin/busybox', '/usr/bin/env', '/bin/sh', '/sbin/init']

const isRoot = (dir: string): boolean => ['etc', 'usr'].every(name => existsSync(join(dir, name)))

/** The architecture of a root tree's own programs. */
export const architectureOf = (dir: string): string => {
  for (const witness of WITNESSES) {
    const path = findInRoot(dir, witness)
    if (path === undefined) continue
    const program = executableOf(readHeader(path))
    if (program.form === 'elf') return program.arch
  }
  throw new Refusal('look at the root tree: there is no program in it to tell the architecture by', 'is it a Debian-like system?')
}

/** The mount point of the first FAT partition the board's fstab mounts where seeds are looked for. */
const bootMountPoint = (dir: string): string | undefined => {
  const path = findInRoot(dir, '/etc/fstab')
  if (path === undefined) return undefined
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [source = '', mountPoint = '', type = ''] = line.trim().split(/\s+/)
    if (source.startsWith('#') || type !== 'vfat') continue
    if (mountPoint === '/boot/firmware' || mountPoint === '/boot') return mountPoint
  }
  return undefined
}

const describe = (dir: string) => ({ arch: architectureOf(dir), mountPoint: bootMountPoint(dir) })

/** Looks at a root extent, mounted read-only meanwhile; undefined when it is no root. */
const lookInto = (path: string, extent: Extent): (ReturnType<typeof describe> & { free: NonNullable<Board['free']> }) | undefined => {
  const mounted: Mounted = mountExt4(path, extent, 'read-only')
  try {
    return isRoot(mounted.dir) ? { ...describe(mounted.dir), free: mounted.free() } : undefined
  } finally {
    mounted.close()
  }
}

const diskBoard = (path: string, fd: number, partitions: readonly Partition[]): Board => {
  const ext4 = partitions.filter(each => fileSystemAt(fd, each.startBytes) === 'ext4')
  const fat = partitions.filter(each => fileSystemAt(fd, each.startBytes) === 'fat')
  const roots = ext4.flatMap(extent => {
    const found = lookInto(path, extent)
    return found ? [{ extent, found }] : []
  })
  const [root, another] = roots
  if (root === undefined)
    throw new Refusal(`open ${path}: none of its ${partitions.length} partitions is an ext4 root`, 'btrfs, LVM and LUKS are not supported')
  if (another !== undefined)
    throw new Refusal(
      `open ${path}: partitions ${roots.map(each => each.extent.number).join(' and ')} are both a root`,
      'images with two systems are not supported',
    )
  const { mountPoint, arch, free } = root.found
  const [boot, ...more] = fat
  return {
    form: 'disk',
    root: root.extent,
    arch,
    free,
    ...(boot !== undefined && more.length === 0 && mountPoint !== undefined ? { boot: { ...boot, mountPoint } } : {}),
  }
}

/** Bytes of a file or block device. */
const sizeOf = (fd: number, path: string): number => {
  const stat = statSync(path)
  if (!stat.isBlockDevice()) return stat.size
  const name = path.slice(path.lastIndexOf('/') + 1)
  const sectors = [`/sys/class/block/${name}/size`].filter(existsSync).map(file => Number(readFileSync(file, 'utf8')))[0]
  if (sectors === undefined) throw new Refusal(`open ${path}: its size is unknown`)
  const probe = Buffer.alloc(512)
  readSync(fd, probe, 0, probe.length, 0)
  return sectors * 512
}

/** Finds root and boot, changing nothing. Throws a Refusal of one line. */
export const openBoard = (path: string): Board => {
  if (!existsSync(path)) throw new Refusal(`open ${path}: there is no such file`)
  if (statSync(path).isDirectory()) {
    if (!isRoot(path)) throw new Refusal(`open ${path}: it has no etc and usr`, 'give the root tree of a Debian-like system')
    return { form: 'folder', root: { startBytes: 0, sizeBytes: 0 }, arch: architectureOf(path) }
  }
  const fd = openSync(path, 'r')
  try {
    const sizeBytes = sizeOf(fd, path)
    const whole = { startBytes: 0, sizeBytes }
    if (fileSystemAt(fd, 0) === 'ext4') {
      const found = lookInto(path, whole)
      if (!found) throw new Refusal(`open ${path}: its ext4 file system has no etc and usr`, 'give the root image of a Debian-like system')
      return { form: 'ext4', root: whole, arch: found.arch, free: found.free }
    }
    const partitions = readPartitions(fd, sizeBytes)
    if (partitions === undefined)
      throw new Refusal(`open ${path}: neither a partition table nor an ext4 file system`, 'unpack the image first: xz -d, unzip')
    return diskBoard(path, fd, partitions)
  } finally {
    closeSync(fd)
  }
}

/** Where the board will look for its seed: a path in the root tree, or on the boot partition. */
export const seedPlaceOf = (board: Board): { readonly on: 'boot' | 'root'; readonly path: string } =>
  board.boot === undefined
    ? { on: 'root', path: `/etc/heliopause/${SEED_FILE}` }
    : { on: 'boot', path: `${board.boot.mountPoint}/${SEED_FILE}` }
