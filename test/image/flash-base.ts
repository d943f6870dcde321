// Small base images for the tests of scripts/flash: a root tree that is just enough of a Debian to be taken for one, bare, or on a disk with
// an MBR or a GPT and a FAT boot partition. Made of this machine's own busybox and mkfs.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, symlinkSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const project = join(import.meta.dirname, '../..')
const FLASH = join(project, 'scripts/flash')
const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`
const MB = 1024 * 1024
const BUSYBOX = '/bin/busybox'

export const have = (program: string): boolean => spawnSync('which', [program], { env: { ...process.env, PATH } }).status === 0

/** Standard output of a program that must succeed. */
export const call = (program: string, args: readonly string[], input = ''): string =>
  execFileSync(program, args, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, PATH } })

export interface Flashed {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs scripts/flash to its end; `stopAt`: words on standard output at which it gets the signal. */
export const flash = (
  args: readonly string[],
  options: { readonly input?: string; readonly stopAt?: string; readonly signal?: NodeJS.Signals } = {},
): Promise<Flashed> =>
  new Promise((resolve, reject) => {
    const child = spawn('env', ['-u', 'NODE_OPTIONS', FLASH, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, PATH } })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', chunk => {
      stdout += chunk
      if (options.stopAt !== undefined && stdout.includes(options.stopAt)) child.kill(options.signal ?? 'SIGTERM')
    })
    child.stderr.on('data', chunk => {
      stderr += chunk
    })
    child.on('error', reject)
    child.on('close', code => resolve({ code, stdout, stderr }))
    child.stdin.on('error', () => child.stdin.destroy())
    child.stdin.end(options.input ?? '')
  })

/** busybox as an executable of `machine` (e_machine); it only has to look like one. */
export const fakeProgram = (path: string, machine?: number): string => {
  const bytes = readFileSync(BUSYBOX)
  if (machine !== undefined) bytes.writeUInt16LE(machine, 18)
  writeFileSync(path, bytes, { mode: 0o755 })
  return path
}

/** A root tree; with `boot` its fstab mounts a FAT partition on /boot/firmware. */
export const makeRoot = (dir: string, { boot = false }: { readonly boot?: boolean } = {}): string => {
  for (const each of ['etc', 'usr/bin', 'usr/lib/systemd', 'boot/firmware', 'var/lib', 'usr/local/bin'])
    mkdirSync(join(dir, each), { recursive: true })
  symlinkSync('usr/bin', join(dir, 'bin'))
  symlinkSync('usr/lib', join(dir, 'lib'))
  copyFileSync(BUSYBOX, join(dir, 'usr/bin/busybox'))
  copyFileSync(BUSYBOX, join(dir, 'usr/lib/systemd/systemd'))
  writeFileSync(
    join(dir, 'etc/fstab'),
    boot ? '# boot\n/dev/mmcblk0p1\t/boot/firmware vfat defaults 0 2\n' : '/dev/vda / ext4 defaults 0 1\n',
  )
  return dir
}

export const makeExt4 = (path: string, root: string, sizeBytes = 160 * MB): string => {
  writeFileSync(path, '')
  truncateSync(path, sizeBytes)
  call('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', root, '-E', 'root_owner=0:0', path])
  return path
}

const put = (disk: string, part: string, offset: number): void => {
  call('dd', [`if=${part}`, `of=${disk}`, 'bs=1M', `seek=${offset / MB}`, 'conv=notrunc,sparse', 'status=none'])
}

/** A FAT boot partition of 64 MB and an ext4 root behind it. */
export const makeDisk = (path: string, root: string, label: 'dos' | 'gpt'): string => {
  const sizes = { boot: 64 * MB, root: 160 * MB }
  writeFileSync(path, '')
  truncateSync(path, MB + sizes.boot + sizes.root + MB)
  const [fat, linux] = label === 'dos' ? ['c', '83'] : ['EBD0A0A2-B9E5-4433-87C0-68B6B72699C7', 'L']
  call('sfdisk', ['-q', path], `label: ${label}\nstart=1MiB, size=64MiB, type=${fat}\nstart=65MiB, size=160MiB, type=${linux}\n`)
  const [boot, ext4] = [`${path}.boot`, `${path}.root`]
  writeFileSync(boot, '')
  truncateSync(boot, sizes.boot)
  call('mkfs.vfat', ['-F', '32', boot])
  put(path, boot, MB)
  put(path, makeExt4(ext4, root, sizes.root), MB + sizes.boot)
  for (const part of [boot, ext4]) call('rm', [part])
  return path
}

export const ROOT_OFFSET = 65 * MB
export const BOOT_OFFSET = MB

/** A file's text inside an ext4 file system, by debugfs. */
export const readExt4 = (image: string, path: string, offset = 0): string =>
  call('debugfs', ['-R', `cat ${path}`, offset === 0 ? image : `${image}?offset=${offset}`])

export const damage = (path: string, at: number): void => {
  const fd = openSync(path, 'r+')
  writeSync(fd, Buffer.from([0x5a, 0xa5]), 0, 2, at)
  closeSync(fd)
}

/** Mounts and loop devices of this machine, to be compared before and after. */
export const leftBehind = (): string =>
  [
    readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter(line => line.includes('helio-flash'))
      .join('\n'),
    call('losetup', ['-a'])
      .split('\n')
      .filter(line => line.includes('helio-'))
      .join('\n'),
  ].join('\n')
