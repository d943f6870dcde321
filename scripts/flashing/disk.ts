// Block devices: what one is, why it may not be written, and writing an image to it. Nothing is written before its name was typed, or --yes
// given; a disk that is in use, or that this system runs from, is refused either way.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, constants, createReadStream, existsSync, openSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { run } from './program.ts'
import { Refusal } from './refusal.ts'

export interface Disk {
  readonly path: string
  readonly name: string
  readonly sizeBytes: number
  readonly model: string
  readonly isRemovable: boolean
  /** Its partitions' names. */
  readonly partitions: readonly string[]
  /** What stands in the way of writing to it; undefined when nothing does. */
  readonly obstacle: string | undefined
}

const SECTOR_BYTES = 512
const CHUNK_BYTES = 4 * 1024 * 1024

export const isBlockDevice = (path: string): boolean => existsSync(path) && statSync(path).isBlockDevice()

const sysText = (name: string, file: string): string => {
  const path = `/sys/class/block/${name}/${file}`
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
}

/** `8:0`, as the kernel numbers devices. */
const numberOf = (name: string): string => sysText(name, 'dev')

/** Mount points by device number, over all namespaces we can see from here. */
const mountsOf = (numbers: ReadonlySet<string>): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map(line => line.split(' '))
    .filter(fields => numbers.has(fields[2] ?? ''))
    .map(fields => fields[4] ?? '')

const swapsOn = (names: readonly string[]): boolean =>
  readFileSync('/proc/swaps', 'utf8')
    .split('\n')
    .some(line => names.some(name => line.startsWith(`/dev/${name} `)))

const holdersOf = (name: string): readonly string[] => {
  const dir = `/sys/class/block/${name}/holders`
  return existsSync(dir) ? readdirSync(dir) : []
}

const obstacleOf = (name: string, partitions: readonly string[]): string | undefined => {
  const names = [name, ...partitions]
  const mounts = mountsOf(new Set(names.map(numberOf)))
  if (mounts.includes('/')) return 'this system runs from it'
  if (mounts.length > 0) return `it is mounted on ${[...new Set(mounts)].join(', ')}`
  if (swapsOn(names)) return 'this system swaps to it'
  const holders = names.flatMap(holdersOf)
  if (holders.length > 0) return `${holders.join(', ')} uses it (LVM, RAID, encryption)`
  if (existsSync(`/sys/class/block/${name}/partition`)) return 'it is a partition, not a disk'
  return sysText(name, 'ro') === '1' ? 'it is write-protected' : undefined
}

/** What is known of a disk without reading it. */
export const lookAtDisk = (path: string): Disk => {
  const real = realpathSync(path)
  const name = basename(real)
  const dir = `/sys/class/block/${name}`
  if (!existsSync(dir)) throw new Refusal(`look at ${path}: the kernel does not know it`)
  const partitions = readdirSync(dir).filter(entry => existsSync(`${dir}/${entry}/partition`))
  const model = [sysText(name, 'device/vendor'), sysText(name, 'device/model') || sysText(name, 'device/name')].filter(Boolean).join(' ')
  const backing = sysText(name, 'loop/backing_file')
  return {
    path: real,
    name,
    sizeBytes: Number(sysText(name, 'size')) * SECTOR_BYTES,
    model: model || (backing ? `loop device of ${backing}` : 'unknown model'),
    isRemovable: sysText(name, 'removable') === '1',
    partitions,
    obstacle: obstacleOf(name, partitions),
  }
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`

/** A line for people. */
export const diskText = ({ path, model, sizeBytes, isRemovable, partitions }: Disk): string => {
  const parts =
    partitions.length === 0
      ? 'no partitions'
      : `partitions ${partitions.map(name => `${name} ${gigabytes(Number(sysText(name, 'size')) * SECTOR_BYTES)}`).join(', ')}`
  return `${path}: ${model}, ${gigabytes(sizeBytes)}, ${isRemovable ? 'removable' : 'not removable'}, ${parts}`
}

/** Names the disk and waits for its name; throws when something else is said, or when it may not be written at all. */
export const confirmDisk = async (
  disk: Disk,
  what: string,
  { yes, dryRun }: { readonly yes: boolean; readonly dryRun: boolean },
): Promise<void> => {
  process.stdout.write(`${diskText(disk)}\n`)
  if (disk.obstacle !== undefined) throw new Refusal(`write to ${disk.path}: ${disk.obstacle}`, 'unmount it, or take another disk')
  if (yes || dryRun) return
  const reader = createInterface({ input: process.stdin, output: process.stdout })
  try {
    const answer = await Promise.race([reader.question(`${what} Type ${disk.path} to go on: `), once(reader, 'close').then(() => '')])
    if (String(answer).trim() !== disk.path)
      throw new Refusal(`write to ${disk.path}: its name was not typed`, 'nothing was written; --yes is for scripts')
  } finally {
    reader.close()
  }
}

const NO_PROGRESS = (): void => undefined

/** `written 120 of 2000 MB, 34 MB/s`, in place, on a terminal; nothing elsewhere but the end. */
const progressOf = (word: string, totalBytes: number): ((bytes: number) => void) & { end?: () => void } => {
  if (!process.stderr.isTTY) return NO_PROGRESS
  const started = performance.now()
  return bytes => {
    const seconds = Math.max(0.001, (performance.now() - started) / 1000)
    process.stderr.write(
      `\r${word} ${Math.round(bytes / 1e6)} of ${Math.round(totalBytes / 1e6)} MB, ${(bytes / 1e6 / seconds).toFixed(1)} MB/s   `,
    )
    if (bytes >= totalBytes) process.stderr.write('\n')
  }
}

/** Settles with the digest of everything that passes from `source` to the program's input. */
const feed = async (
  source: NodeJS.ReadableStream,
  words: readonly string[],
  { onBytes, signal }: { readonly onBytes: (done: number) => void; readonly signal: AbortSignal },
): Promise<string> => {
  const [program = '', ...args] = words
  const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'] })
  const hash = createHash('sha256')
  const said: Buffer[] = []
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk))
  const ended = once(child, 'close')
  const broken = once(child.stdin, 'error')
  let done = 0
  for await (const chunk of source as AsyncIterable<Buffer>) {
    hash.update(chunk)
    done += chunk.length
    if (!child.stdin.write(chunk)) await Promise.race([once(child.stdin, 'drain'), broken])
    onBytes(done)
    if (child.stdin.destroyed || signal.aborted) break
  }
  if (signal.aborted) child.kill('SIGKILL')
  child.stdin.end()
  const [code] = (await ended) as [number | null]
  signal.throwIfAborted()
  if (code !== 0)
    throw new Refusal(
      `write: ${Buffer.concat(said).toString().trim().split('\n').at(-1) ?? `dd ended with ${code}`}`,
      'is the medium damaged or pulled?',
    )
  return hash.digest('hex')
}

/** Digest of the first bytes of a disk as it has them, past every cache. */
const digestOfDisk = async (disk: Disk, sizeBytes: number, onBytes: (done: number) => void): Promise<string> => {
  const child = spawn('dd', [`if=${disk.path}`, `bs=${CHUNK_BYTES}`, 'iflag=direct', 'status=none'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const hash = createHash('sha256')
  let done = 0
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    const part = chunk.subarray(0, Math.max(0, sizeBytes - done))
    hash.update(part)
    done += part.length
    onBytes(done)
    if (done >= sizeBytes) break
  }
  child.kill('SIGKILL')
  if (done < sizeBytes)
    throw new Refusal(`verify ${disk.path}: it ends after ${done} of ${sizeBytes} bytes`, 'the medium has less room than it says')
  return hash.digest('hex')
}

/** Holds the disk so that nobody, in any mount namespace, uses it or begins to; throws when somebody does. Close it afterwards. */
const claimDisk = ({ path }: Disk): number => {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_EXCL)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EBUSY')) throw error
    throw new Refusal(`write to ${path}: it is in use`, 'unmount it, or take another disk', { cause: error })
  }
}

/** Writes the image past the cache and reads all of it back past the cache. */
export const writeDisk = async (
  image: string,
  disk: Disk,
  signal: AbortSignal,
): Promise<{ readonly sha256: string; readonly seconds: number }> => {
  const sizeBytes = statSync(image).size
  if (sizeBytes > disk.sizeBytes)
    throw new Refusal(`write to ${disk.path}: the image has ${gigabytes(sizeBytes)}, the disk ${gigabytes(disk.sizeBytes)}`)
  const started = performance.now()
  const claim = claimDisk(disk)
  try {
    const source = createReadStream(image, { highWaterMark: CHUNK_BYTES })
    // The last chunk of an image may be odd; direct writes cannot be. dd falls back for that one by itself.
    const words = ['dd', `of=${disk.path}`, `bs=${CHUNK_BYTES}`, 'iflag=fullblock', 'oflag=direct', 'conv=fsync,nocreat', 'status=none']
    const wanted = await feed(source, words, { onBytes: progressOf('written', sizeBytes), signal })
    run('blockdev', '--flushbufs', disk.path)
    const found = await digestOfDisk(disk, sizeBytes, progressOf('read back', sizeBytes))
    if (found !== wanted)
      throw new Refusal(`verify ${disk.path}: it does not read as it was written`, 'the medium is damaged: take another one')
    return { sha256: found, seconds: (performance.now() - started) / 1000 }
  } catch (error) {
    process.stderr.write(`what is on ${disk.path} now is incomplete: do not boot from it\n`)
    throw error
  } finally {
    closeSync(claim)
  }
}
