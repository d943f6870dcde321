// The test image, made of this machine's own files: programs with the libraries they name, the built product, the guest's own scripts.
// One ext4 disk as a board has it, and an initramfs that only finds the disk.

import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { systemExec } from '../../src/host/exec.ts'
import { type Kernel, moduleClosure } from './kernel.ts'

const project = join(import.meta.dirname, '../..')

/** What the product calls, and what a board's own start-up calls. */
export const PROGRAMS = ['crun', 'conmon', 'nft', 'ip', 'mount', 'umount', 'unshare', 'nsenter', 'script', 'env', 'sh', 'busybox']

/** Parts of the service manager; the boot under it is left out where they are not installed. */
const SYSTEMD = [
  '/lib/systemd/systemd',
  '/lib/systemd/systemd-executor',
  '/lib/systemd/systemd-shutdown',
  '/bin/systemctl',
  '/usr/bin/systemd-notify',
]
export const hasSystemd = (): boolean => existsSync('/lib/systemd/systemd') && existsSync('/bin/systemctl')

const APPLETS =
  'cat ls mkdir rm sleep ps hostname modprobe insmod poweroff reboot switch_root dmesg echo kill sync touch head tail grep ln date'

/** Enough to reach the disk; everything else the kernel asks for itself. */
const BOOT_MODULES = ['virtio_pci', 'virtio_blk', 'ext4', 'crc32c_generic', 'crc32c_intel']
const MODULES = [...BOOT_MODULES, 'overlay', 'veth', 'nf_tables', 'nft_chain_nat', 'nft_masq', 'nf_nat', 'virtio_rng', 'autofs4']

const DISK_BYTES = 1536 * 1024 * 1024

const run = (command: string, args: readonly string[], options: { cwd?: string; input?: string } = {}): Buffer =>
  execFileSync(command, args, { maxBuffer: 256 * 1024 * 1024, stdio: ['pipe', 'pipe', 'pipe'], ...options })

/** Copies a file to the same path below `root`, with all links on the way followed. */
const place = (root: string, path: string): void => {
  // Debian's /bin, /sbin and /lib are links into /usr.
  const target = join(root, path.replace(/^\/(s?bin|lib|lib64)\//, '/usr/$1/'))
  if (existsSync(target)) return
  mkdirSync(dirname(target), { recursive: true })
  cpSync(realpathSync(path), target)
}

/** A program or library with everything the loader would load for it. */
const placeLinked = (root: string, path: string, searchIn?: string): void => {
  place(root, path)
  let text: string
  try {
    text = execFileSync('ldd', [path], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...(searchIn === undefined ? {} : { LD_LIBRARY_PATH: searchIn }) },
    })
  } catch (error) {
    // A static program has nothing to load.
    if (error instanceof Error && /not a dynamic executable|statically linked/.test(String((error as { stderr?: unknown }).stderr))) return
    throw error
  }
  for (const match of text.matchAll(/(?:=> )?(\/\S+) \(0x/g)) place(root, match[1]!)
}

const found = (name: string): string => {
  const path = systemExec.find(name)
  if (path === undefined) throw new Error(`${name} is not installed`)
  return path
}

const link = (root: string, path: string, target: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  if (!existsSync(join(root, path))) symlinkSync(target, join(root, path))
}

const write = (root: string, path: string, text: string, mode = 0o644): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text, { mode })
}

const UNITS: Readonly<Record<string, string>> = {
  'check.service': `[Unit]
Description=The checks of this image
[Service]
Type=oneshot
ExecStart=/bin/sh /guest/stage.sh
StandardOutput=file:/dev/console
StandardError=file:/dev/console
TimeoutStartSec=infinity
ExecStopPost=/bin/sh -c '[ -e /run/goes-down-by-itself ] || /usr/bin/poweroff -f'
`,
  'boot.target': '[Unit]\nDescription=Checks\nWants=check.service multi-user.target\nAfter=basic.target\nAllowIsolate=yes\n',
}

const placeSystemd = (root: string): void => {
  for (const path of SYSTEMD.filter(existsSync)) placeLinked(root, path, '/lib/systemd:/usr/lib/x86_64-linux-gnu/systemd')
  for (const [name, text] of Object.entries(UNITS)) write(root, `etc/systemd/system/${name}`, text)
  link(root, 'etc/systemd/system/default.target', 'boot.target')
  for (const name of 'basic multi-user reboot sysinit local-fs swap sockets paths timers slices shutdown umount final emergency'.split(' '))
    if (existsSync(`/lib/systemd/system/${name}.target`)) place(root, `/lib/systemd/system/${name}.target`)
  place(root, '/lib/systemd/system/systemd-reboot.service')
}

/** Fills `root`: what stands on the board's disk before it is first switched on. */
export const buildRoot = (root: string, kernel: Kernel, image: string): void => {
  rmSync(root, { recursive: true, force: true })
  for (const dir of 'usr/bin usr/sbin usr/lib usr/lib64 proc sys dev run tmp root etc var/log var/lib'.split(' '))
    mkdirSync(join(root, dir), { recursive: true })
  for (const dir of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${dir}`, join(root, dir))
  for (const name of PROGRAMS) placeLinked(root, found(name))
  for (const applet of APPLETS.split(' ')) link(root, `usr/bin/${applet}`, '/bin/busybox')
  link(root, 'usr/sbin/modprobe', '/bin/busybox')
  const node = join(root, 'usr/bin/node')
  placeLinked(root, process.execPath)
  rmSync(join(root, process.execPath), { force: true })
  cpSync(process.execPath, node)
  cpSync(join(project, 'dist'), join(root, 'opt/helio'), { recursive: true })
  placeLinked(root, join(project, 'dist/node_sqlite3.node'))
  cpSync(join(project, 'edge-configs'), join(root, 'opt/edge-configs'), { recursive: true })
  cpSync(image, join(root, 'opt/hello.tar'))
  cpSync(join(import.meta.dirname, 'guest'), join(root, 'guest'), { recursive: true })
  write(root, 'guest/package.json', '{"type":"module"}\n')
  cpSync(join(import.meta.dirname, 'guest/init.sh'), join(root, 'usr/sbin/init'))
  chmodSync(join(root, 'usr/sbin/init'), 0o755)
  write(root, 'etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n')
  write(root, 'etc/group', 'root:x:0:\n')
  write(root, 'etc/hosts', '127.0.0.1 localhost\n')
  write(root, 'etc/hostname', 'board-1\n')
  write(root, 'etc/machine-id', '0123456789abcdef0123456789abcdef\n')
  write(root, 'etc/os-release', 'ID=board\nPRETTY_NAME="Test board"\n')
  for (const file of moduleClosure(kernel, MODULES)) {
    const target = join(root, 'usr/lib/modules', kernel.release, file.slice(kernel.modules.length + 1))
    mkdirSync(dirname(target), { recursive: true })
    cpSync(file, target)
  }
  const builtin = join(kernel.modules, 'modules.builtin')
  if (existsSync(builtin)) cpSync(builtin, join(root, 'usr/lib/modules', kernel.release, 'modules.builtin'))
  run(found('busybox'), ['depmod', '-b', root, kernel.release])
  if (hasSystemd()) placeSystemd(root)
}

/** An ext4 disk of what is in `root`, made without mounting it. */
export const writeDisk = (path: string, root: string): void => {
  rmSync(path, { force: true })
  run('mke2fs', ['-q', '-t', 'ext4', '-d', root, '-E', 'root_owner=0:0', path, `${DISK_BYTES / 1024}k`])
}

const FIND_DISK = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod "$module"; done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.05; done
/bin/busybox mount -t ext4 /dev/vda /root || exec /bin/busybox sh
init=/sbin/init
read -r line < /proc/cmdline
for word in $line; do case $word in next=*) init=\${word#next=};; esac; done
exec /bin/busybox switch_root /root $init
`

/** A cpio archive with the modules that lead to the disk, in the order they are inserted. */
export const writeInitramfs = (path: string, work: string, kernel: Kernel): void => {
  rmSync(work, { recursive: true, force: true })
  mkdirSync(join(work, 'bin'), { recursive: true })
  mkdirSync(join(work, 'modules'))
  cpSync(realpathSync(found('busybox')), join(work, 'bin/busybox'))
  writeFileSync(join(work, 'init'), FIND_DISK, { mode: 0o755 })
  moduleClosure(kernel, BOOT_MODULES).forEach((file, i) => {
    cpSync(file, join(work, 'modules', `${String(i).padStart(2, '0')}.ko`))
  })
  const names = run(found('busybox'), ['find', '.'], { cwd: work }).toString()
  writeFileSync(path, run(found('busybox'), ['cpio', '-o', '-H', 'newc'], { cwd: work, input: names }))
}

/** True when busybox can stand alone in the initramfs. */
export const isStatic = (path: string): boolean => !readFileSync(realpathSync(path)).includes('/ld-linux')
