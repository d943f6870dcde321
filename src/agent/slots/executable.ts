// What the first bytes of a file say of a program: an ELF executable and for which machine, or a script. Source: ELF gABI, elf.h.

import { closeSync, openSync, readSync } from 'node:fs'

/** Enough for the file header and as many program headers as linkers write. */
const HEADER_BYTES = 4096

const MACHINES: Readonly<Record<number, string>> = { 62: 'x64', 183: 'arm64', 40: 'arm' }

/** Words of process.arch for people and file names. */
const TARGETS: Readonly<Record<string, string>> = { arm: 'armv7' }

export type Executable =
  /** `arch` as process.arch; `endBytes`: what the segments need the file to have. */
  | { readonly form: 'elf'; readonly arch: string; readonly endBytes: number }
  | { readonly form: 'script' }
  | { readonly form: 'unknown'; readonly why: string }

const OTHER = 'neither an ELF executable nor a script'

const elfOf = (bytes: Buffer): Executable => {
  const wide = bytes[4] === 2
  if (bytes.length < (wide ? 64 : 52)) return { form: 'unknown', why: 'it is cut short within its header' }
  if (bytes[5] !== 1) return { form: 'unknown', why: 'it is for a big-endian machine' }
  const machine = bytes.readUInt16LE(18)
  const arch = MACHINES[machine] ?? `machine ${machine}`
  const number = (at: number): number => (wide ? Number(bytes.readBigUInt64LE(at)) : bytes.readUInt32LE(at))
  const first = number(wide ? 32 : 28)
  const [size, count] = [bytes.readUInt16LE(wide ? 54 : 42), bytes.readUInt16LE(wide ? 56 : 44)]
  let endBytes = 0
  for (let at = first, n = 0; n < count && size >= (wide ? 56 : 32) && at + size <= bytes.length; n++, at += size)
    endBytes = Math.max(endBytes, number(at + (wide ? 8 : 4)) + number(at + (wide ? 32 : 16)))
  return { form: 'elf', arch, endBytes }
}

/** From the first bytes of a file. */
export const executableOf = (bytes: Buffer): Executable => {
  if (bytes.length >= 2 && bytes.toString('latin1', 0, 2) === '#!') return { form: 'script' }
  if (bytes.length >= 5 && bytes.toString('latin1', 0, 4) === '\x7fELF') return elfOf(bytes)
  return { form: 'unknown', why: OTHER }
}

/** The first bytes of a file; fewer where it is shorter. */
export const readHeader = (path: string): Buffer => {
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(HEADER_BYTES)
    return bytes.subarray(0, readSync(file, bytes, 0, HEADER_BYTES, 0))
  } finally {
    closeSync(file)
  }
}

/** `linux-arm64` */
export const targetOf = (arch: string): string => `linux-${TARGETS[arch] ?? arch}`

/** Machines that run programs for another one beside their own: a 64-bit kernel for arm runs 32-bit programs as a rule. */
const ALSO: Readonly<Record<string, string>> = { arm64: 'arm' }

/** What keeps this machine from executing the file, as a cause; undefined when nothing is seen. */
export const whyNot = (header: Buffer, sizeBytes: number, arch: string = process.arch): string | undefined => {
  const found = executableOf(header)
  if (found.form === 'script') return undefined
  if (found.form === 'unknown') return found.why
  if (found.arch !== arch && found.arch !== ALSO[arch]) return `it is for ${targetOf(found.arch)}, this device is ${targetOf(arch)}`
  return found.endBytes > sizeBytes ? `it is cut short: ${sizeBytes} of at least ${found.endBytes} bytes` : undefined
}

/** As the launcher sees it before a role is started: first bytes for this machine, and as long as it is said to be. */
export const isFit = (header: Buffer, sizeBytes: number, saidBytes: number | undefined): boolean => {
  const found = executableOf(header)
  if (found.form === 'unknown' || (saidBytes !== undefined && saidBytes !== sizeBytes)) return false
  return found.form === 'script' || found.arch === process.arch || found.arch === ALSO[process.arch]
}
