// What this machine is: capacity, addresses, names. Read when asked; nothing is watched.

import { readFileSync, statfsSync } from 'node:fs'
import { arch, availableParallelism, hostname, networkInterfaces, totalmem, uptime } from 'node:os'
import type { HostFacts } from '../base/host-facts.ts'

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386', riscv64: 'riscv64' }

const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error) return ''
    throw error
  }
}

const memoryAvailable = (): { memoryAvailableBytes?: number } => {
  const found = /^MemAvailable:\s+(\d+) kB$/m.exec(textOf('/proc/meminfo'))
  return found ? { memoryAvailableBytes: Number(found[1]) * 1024 } : {}
}

const osImage = (): string => /^PRETTY_NAME="?([^"\n]+)"?$/m.exec(textOf('/etc/os-release'))?.[1] ?? 'Linux'

/** Devices of ours (pod links) are not addresses of the machine. */
const OWN_LINKS = /^(he[0-9a-f]{4}|veth|docker|cni)/

const addresses = (): string[] => {
  const all = Object.entries(networkInterfaces()).flatMap(([name, entries]) => (OWN_LINKS.test(name) ? [] : (entries ?? [])))
  const outside = all.filter(entry => !entry.internal && !entry.address.startsWith('fe80:') && !entry.address.startsWith('169.254.'))
  const found = [...outside.filter(entry => entry.family === 'IPv4'), ...outside.filter(entry => entry.family === 'IPv6')].map(
    entry => entry.address,
  )
  return found.length > 0 ? found : ['127.0.0.1']
}

export const hostFacts = (dir: string): HostFacts => {
  const disk = statfsSync(dir)
  return {
    hostname: hostname(),
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    ...memoryAvailable(),
    diskBytes: disk.blocks * disk.bsize,
    diskFreeBytes: disk.bavail * disk.bsize,
    addresses: addresses(),
    machineID: textOf('/etc/machine-id'),
    bootID: textOf('/proc/sys/kernel/random/boot_id'),
    uptimeSeconds: uptime(),
    kernelVersion: textOf('/proc/sys/kernel/osrelease'),
    osImage: osImage(),
    architecture: ARCHITECTURES[arch()] ?? arch(),
  }
}
