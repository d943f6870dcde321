// The kernel of the test image: one that is installed here, else Debian's cloud kernel, fetched as a package and unpacked without
// installing it. Only what a board's kernel has as well is used: modules are loaded by the kernel's own requests.

import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'

export interface Kernel {
  readonly release: string
  /** The bootable file. */
  readonly image: string
  /** `lib/modules/<release>`. */
  readonly modules: string
}

const PACKAGE = { x64: 'linux-image-cloud-amd64', arm64: 'linux-image-cloud-arm64' }[process.arch as string]

const kernelIn = (root: string): Kernel | undefined => {
  const boot = join(root, 'boot')
  for (const name of existsSync(boot) ? readdirSync(boot) : []) {
    const release = name.startsWith('vmlinuz-') ? name.slice('vmlinuz-'.length) : ''
    const modules = join(root, 'lib/modules', release)
    if (release !== '' && existsSync(join(modules, 'kernel'))) return { release, image: join(boot, name), modules }
  }
  return undefined
}

const output = (command: string, args: readonly string[], cwd = '/'): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/** The kernel kept in `cache`, fetched into it when it is not there; rejects with apt's words when it cannot be had. */
export const findKernel = (cache: string): Kernel => {
  const known = kernelIn('/') ?? kernelIn(cache)
  if (known !== undefined) return known
  if (PACKAGE === undefined) throw new Error(`no kernel package is known for ${process.arch}`)
  const work = join(cache, 'fetch')
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  if (!/Candidate: \d/.test(output('apt-cache', ['policy', PACKAGE]))) output('apt-get', ['update', '-qq'])
  const real = /^\s*Depends: (linux-image-\S+)$/m.exec(output('apt-cache', ['depends', PACKAGE]))?.[1]
  if (real === undefined) throw new Error(`${PACKAGE} names no kernel`)
  output('apt-get', ['download', '-qq', real], work)
  const file = readdirSync(work).find(name => name.endsWith('.deb'))
  if (file === undefined) throw new Error(`apt-get download ${real} left no file`)
  output('dpkg-deb', ['-x', join(work, file), work])
  cpSync(join(work, 'boot'), join(cache, 'boot'), { recursive: true })
  cpSync(join(work, 'lib'), join(cache, 'lib'), { recursive: true })
  rmSync(work, { recursive: true })
  const fetched = kernelIn(cache)
  if (fetched === undefined) throw new Error(`${real} holds no kernel`)
  return fetched
}

/** Paths below `modules` of all module files by name. */
const moduleFiles = (modules: string): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(join(modules, 'kernel'), { recursive: true, encoding: 'utf8' })
      .filter(path => /\.ko(\.[xg]z|\.zst)?$/.test(path))
      .map(path => [
        basename(path)
          .replace(/\.ko.*$/, '')
          .replaceAll('-', '_'),
        join(modules, 'kernel', path),
      ]),
  )

/** What a module says it depends on, from its own information section. */
const dependsOn = (file: string): readonly string[] => {
  const names = /(?:^|\0)depends=([^\0]*)\0/.exec(readFileSync(file, 'latin1'))?.[1] ?? ''
  return names.split(',').filter(Boolean)
}

/** Files of the named modules and all they need, in an order they can be inserted in. Names built into the kernel have no file. */
export const moduleClosure = (kernel: Kernel, wanted: readonly string[]): readonly string[] => {
  const files = moduleFiles(kernel.modules)
  const order = new Set<string>()
  const add = (name: string): void => {
    const file = files.get(name.replaceAll('-', '_'))
    if (file === undefined || order.has(file)) return
    if (!file.endsWith('.ko')) throw new Error(`${basename(file)} is compressed: this test reads plain modules only`)
    for (const other of dependsOn(file)) add(other)
    order.add(file)
  }
  for (const name of wanted) add(name)
  return [...order]
}
