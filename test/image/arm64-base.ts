// A Debian for arm64 as a base image: debootstrap on this machine, its second half under qemu-user in a user namespace of its own (where
// binfmt_misc is private, so this machine's is left alone), then a disk with a GPT, a FAT boot partition and an ext4 root. Made once.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`
const SUITE = 'bookworm'
const MIRROR = process.env['HELIO_DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian'
const PACKAGES =
  'systemd-sysv,udev,dbus,kmod,crun,conmon,nftables,iproute2,busybox-static,ca-certificates,initramfs-tools,linux-image-cloud-arm64'
const MB = 1024 * 1024
const BOOT_BYTES = 64 * MB
/** Size of its root file system. */
export const ROOT_BYTES = 1600 * MB
const EMULATOR = '/usr/bin/qemu-aarch64-static'

/** ELF, 64 bit, little endian, aarch64; interpreter opened at once (F), so it is found from within another root. */
const BINFMT =
  ':qemu-aarch64:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:' +
  `\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:${EMULATOR}:F`

const call = (program: string, args: readonly string[], input = ''): void => {
  execFileSync(program, args, { input, stdio: ['pipe', 'ignore', 'inherit'], env: { ...process.env, PATH } })
}

/** Runs a shell script as root of a user namespace with the same ids, able to run arm64 programs. */
const runForeign = async (script: string): Promise<void> => {
  const prepare = `read -r go; mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && printf '%s' '${BINFMT}' > /proc/sys/fs/binfmt_misc/register && ${script}`
  const child = spawn('nice', ['unshare', '--user', '--mount', '--pid', '--fork', 'sh', '-ec', prepare], {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: { ...process.env, PATH, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive', container: 'lxc' },
  })
  const ended = once(child, 'exit')
  // Its ids are mapped from outside; it waits for that.
  const mapped = (): boolean => {
    try {
      for (const name of ['uid_map', 'gid_map']) writeFileSync(`/proc/${child.pid}/${name}`, '0 0 65536')
      return true
    } catch (error) {
      if (error instanceof Error && child.exitCode === null) return false
      throw error
    }
  }
  while (!mapped()) await new Promise(resolve => setImmediate(resolve))
  child.stdin.end('go\n')
  const [code] = (await ended) as [number | null]
  if (code !== 0) throw new Error(`debootstrap: its second half ended with ${code}`)
}

/** What a person would set up on a board of theirs: a network that asks for an address, a boot partition, a console. And the test's witness. */
export const settle = (root: string): void => {
  writeFileSync(join(root, 'etc/hostname'), 'board\n')
  writeFileSync(join(root, 'etc/hosts'), '127.0.0.1 localhost board\n')
  writeFileSync(join(root, 'etc/fstab'), '/dev/vda2 / ext4 defaults 0 1\n/dev/vda1 /boot/firmware vfat defaults,nofail 0 2\n')
  writeFileSync(join(root, 'etc/systemd/network/10-wired.network'), '[Match]\nType=ether\n[Network]\nDHCP=ipv4\n')
  mkdirSync(join(root, 'boot/firmware'), { recursive: true })
  mkdirSync(join(root, 'etc/systemd/system/multi-user.target.wants'), { recursive: true })
  const want = (unit: string, from: string): void =>
    symlinkSync(`${from}/${unit}`, join(root, 'etc/systemd/system/multi-user.target.wants', unit))
  want('systemd-networkd.service', '/lib/systemd/system')
  // A marked file that a pod writes is told on the console; and what the agent says.
  writeFileSync(
    join(root, 'etc/systemd/system/witness.service'),
    `[Service]
ExecStart=/bin/sh -c 'boot=$(cat /proc/sys/kernel/random/boot_id); until grep -qs "$boot" /var/lib/marks/ran; do sleep 1; done; echo "WITNESS $(grep "$boot" /var/lib/marks/ran | tail -n 1)" > /dev/console; sync'
`,
  )
  want('witness.service', '/etc/systemd/system')
  writeFileSync(
    join(root, 'etc/systemd/system/journal-console.service'),
    `[Service]\nExecStart=/bin/sh -c 'exec journalctl -b -f -n 400 -o cat -u heliopause-agent > /dev/console'\n`,
  )
  want('journal-console.service', '/etc/systemd/system')
}

const makeRoot = async (cache: string): Promise<string> => {
  const root = join(cache, `arm64-${SUITE}`)
  if (existsSync(root)) return root
  const draft = mkdtempSync(join(cache, '.arm64-'))
  try {
    const tree = join(draft, 'root')
    console.log(`  debootstrap ${SUITE} for arm64: a quarter of an hour, once`)
    call('nice', ['debootstrap', '--foreign', '--arch=arm64', '--variant=minbase', `--include=${PACKAGES}`, SUITE, tree, MIRROR])
    await runForeign(`exec chroot ${tree} /debootstrap/debootstrap --second-stage`)
    rmSync(join(tree, 'var/cache/apt/archives'), { recursive: true, force: true })
    settle(tree)
    renameSync(tree, root)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  return root
}

const put = (disk: string, part: string, offset: number): void =>
  call('dd', [`if=${part}`, `of=${disk}`, 'bs=1M', `seek=${offset / MB}`, 'conv=notrunc,sparse', 'status=none'])

export interface Arm64Base {
  /** A disk image nobody has booted. */
  readonly disk: string
  /** The tree it was made of. */
  readonly root: string
  readonly kernel: string
  readonly initrd: string
}

/** Where in the disk its root file system lies. */
export const ROOT_OFFSET = MB + BOOT_BYTES

/** The base image, from `cache` if it is there. */
export const makeBase = async (cache: string): Promise<Arm64Base> => {
  mkdirSync(cache, { recursive: true })
  const root = await makeRoot(cache)
  const disk = join(cache, `arm64-${SUITE}.img`)
  if (!existsSync(disk)) {
    const [draft, boot, ext4] = [`${disk}.part`, `${disk}.boot`, `${disk}.root`]
    for (const [path, size] of [
      [draft, MB + BOOT_BYTES + ROOT_BYTES + MB],
      [boot, BOOT_BYTES],
      [ext4, ROOT_BYTES],
    ] as const) {
      writeFileSync(path, '')
      truncateSync(path, size)
    }
    const guid = 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7'
    call('sfdisk', ['-q', draft], `label: gpt\nstart=1MiB, size=${BOOT_BYTES / MB}MiB, type=${guid}\nsize=${ROOT_BYTES / MB}MiB, type=L\n`)
    call('mkfs.vfat', ['-F', '32', boot])
    call('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', root, '-E', 'root_owner=0:0', ext4])
    put(draft, boot, MB)
    put(draft, ext4, ROOT_OFFSET)
    for (const part of [boot, ext4]) rmSync(part)
    renameSync(draft, disk)
  }
  const named = (prefix: string): string => {
    const name = readdirSync(join(root, 'boot')).find(each => each.startsWith(prefix))
    if (name === undefined) throw new Error(`make base image: there is no ${prefix} in it`)
    return join(root, 'boot', name)
  }
  return { disk, root, kernel: named('vmlinuz-'), initrd: named('initrd.img-') }
}
