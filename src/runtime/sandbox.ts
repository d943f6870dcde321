// A pod's sandbox without a process: network, IPC and UTS namespaces pinned by bind mounts, and a shared /dev/shm. Survives the agent,
// not a reboot. Source: unshare(1), namespaces(7); runtime facts, "Pods and network".

import { spawn } from 'node:child_process'
import { mkdir, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Exec } from '../base/exec.ts'
import { SHM_BYTES } from './limits.ts'
import { must, removeFolder } from './mounts.ts'
import { isAlive, parseStat, signal } from './process-table.ts'
import { exists, isMissing, readText } from './record.ts'
import type { SandboxInfo, SandboxSpec } from './runtime.ts'

const NSFS_MAGIC = 0x6e736673

/** The namespaces this pod has of its own and that can be pinned. A pod on the host's network has the host's name too. */
const pinned = (spec: SandboxSpec): readonly ('net' | 'ipc' | 'uts')[] => [
  ...(spec.hostNetwork ? [] : (['net', 'uts'] as const)),
  ...(spec.hostIPC ? [] : (['ipc'] as const)),
]

export const namespacePath = (dir: string, name: 'net' | 'ipc' | 'uts'): string => join(dir, 'ns', name)
export const shmPath = (dir: string): string => join(dir, 'shm')

/** $1 is the host name ('' leaves it), then pairs of a path below /proc/sys and a value. */
const SETTLE = `
[ -z "$1" ] || printf %s "$1" > /proc/sys/kernel/hostname || exit
shift
while [ $# -gt 1 ]; do printf '%s\\n' "$2" > "/proc/sys/$1" || exit; shift 2; done`

/** `net.ipv4.tcp_syncookies` → `net/ipv4/tcp_syncookies`; only what a namespace of the pod's own holds is let through. */
const sysctlPath = (spec: SandboxSpec, name: string): string => {
  const path = name.replaceAll('.', '/')
  const ok =
    (/^net\/[a-z0-9_/-]+$/i.test(path) && !spec.hostNetwork) ||
    (/^(kernel\/(shm|msg|sem)[a-z_]*|fs\/mqueue\/[a-z_]+)$/.test(path) && !spec.hostIPC)
  if (!ok) throw new Error(`create sandbox: sysctl ${name} does not belong to a namespace of the pod`)
  return path
}

/** Makes what the spec asks for in `dir`, which must be fresh. */
export const buildSandbox = async (exec: Exec, dir: string, spec: SandboxSpec): Promise<void> => {
  const kinds = pinned(spec)
  await mkdir(join(dir, 'ns'), { recursive: true, mode: 0o700 })
  await mkdir(shmPath(dir))
  await Promise.all(kinds.map(kind => writeFile(namespacePath(dir, kind), '')))
  const sysctls = Object.entries(spec.sysctls).flatMap(([name, value]) => [sysctlPath(spec, name), value])
  const flags = kinds.map(kind => `--${kind}=${namespacePath(dir, kind)}`)
  const hostname = kinds.includes('uts') ? spec.hostname : ''
  await Promise.all([
    kinds.length > 0 ? must(exec, 'create sandbox', 'unshare', [...flags, 'sh', '-c', SETTLE, 'sh', hostname, ...sysctls]) : undefined,
    spec.hostIPC
      ? undefined
      : must(exec, 'create sandbox', 'mount', [
          '-t',
          'tmpfs',
          '-o',
          `nosuid,nodev,noexec,mode=1777,size=${SHM_BYTES}`,
          'shm',
          shmPath(dir),
        ]),
    sharesProcesses(spec) ? startHolder(dir) : undefined,
  ])
}

const sharesProcesses = (spec: SandboxSpec): boolean => spec.shareProcessNamespace && !spec.hostPID

/**
 * A process namespace cannot be pinned: it lives as long as its first process. This one writes down who it is (proc's stat line, $1) and
 * says so, then waits and buries orphans.
 */
const HOLDER = `
read -r stat < /proc/self/stat
echo "$stat" > "$1" && echo ready
exec > /dev/null
trap "exit 0" TERM
while :; do sleep 2147483647 & wait; done`

const holderPath = (dir: string): string => join(dir, 'holder')

const startHolder = async (dir: string): Promise<void> => {
  const words = ['--pid', '--fork', '--kill-child', 'sh', '-c', HOLDER, 'sh', holderPath(dir)]
  const child = spawn('unshare', words, { detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
  await new Promise<void>((resolve, reject) => {
    child.on('error', error => reject(new Error(`share process namespace: ${error.message}`, { cause: error })))
    child.stdout.once('data', () => resolve())
    child.stdout.once('end', () => reject(new Error('share process namespace: its first process ended')))
  })
  child.stdout.destroy()
  child.unref()
}

const holder = async (dir: string): Promise<number | undefined> => {
  const line = await readText(holderPath(dir))
  const known = line === undefined ? undefined : parseStat(line)
  return known !== undefined && isAlive(known.pid, known.pidStart) ? known.pid : undefined
}

const isNamespace = async (path: string): Promise<boolean> => {
  try {
    return (await statfs(path)).type === NSFS_MAGIC
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** True when everything the spec asks for is there: false after a reboot and for a half-made sandbox. */
export const isWhole = async (dir: string, spec: SandboxSpec): Promise<boolean> => {
  const pins = await Promise.all(pinned(spec).map(kind => isNamespace(namespacePath(dir, kind))))
  return pins.every(Boolean) && (await exists(shmPath(dir))) && (!sharesProcesses(spec) || (await holder(dir)) !== undefined)
}

/** Paths of the namespaces a container of this pod joins. */
export const sandboxNamespaces = async (dir: string, spec: SandboxSpec) => {
  const kinds = pinned(spec)
  const pid = sharesProcesses(spec) ? await holder(dir) : undefined
  return {
    ...(kinds.includes('net') ? { network: namespacePath(dir, 'net') } : {}),
    ...(kinds.includes('ipc') ? { ipc: namespacePath(dir, 'ipc') } : {}),
    ...(kinds.includes('uts') ? { uts: namespacePath(dir, 'uts') } : {}),
    ...(pid === undefined ? {} : { pid: `/proc/${pid}/ns/pid` }),
  }
}

/** Removes a sandbox, whole or half made; `thisBoot` says whether its processes can still be alive. */
export const destroySandbox = async (exec: Exec, dir: string, thisBoot: boolean): Promise<void> => {
  const pid = thisBoot ? await holder(dir) : undefined
  if (pid !== undefined) signal(pid, 'SIGKILL')
  await removeFolder(exec, dir)
}

export const describeSandbox = (dir: string, spec: SandboxSpec): SandboxInfo => ({
  uid: spec.uid,
  ...(spec.hostNetwork ? {} : { netns: namespacePath(dir, 'net') }),
})
