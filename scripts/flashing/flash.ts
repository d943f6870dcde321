// Flashing one image: look, check, copy, write, verify, and only then give it its name. The base image is never written to; what is cut off
// leaves at most OUT.part. A disk that is flashed in place is the exception, and is asked about.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, fsyncSync, mkdtempSync, openSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { SEED_FILE } from '../../src/agent/seed.ts'
import { type Board, openBoard, seedPlaceOf } from './board.ts'
import { confirmDisk, isBlockDevice, lookAtDisk, writeDisk } from './disk.ts'
import { readFatFile, writeFatFile } from './fat.ts'
import { checkExt4, mountExt4 } from './mount.ts'
import { type Payload, type PayloadRequest, preparePayload } from './payload.ts'
import { Refusal } from './refusal.ts'
import { verifyRoot, writeRoot } from './write-root.ts'

export interface FlashRequest extends Omit<PayloadRequest, 'arch' | 'helio'> {
  /** Left out: build/helio-linux-… for the board. */
  readonly helio: string | undefined
  readonly base: string
  /** A new image or folder, or a disk. Left out only where `base` is a disk, which is then flashed in place. */
  readonly output: string | undefined
  readonly yes: boolean
  readonly dryRun: boolean
  readonly signal: AbortSignal
}

const TARGETS: Readonly<Record<string, string>> = { x64: 'linux-x64', arm64: 'linux-arm64', arm: 'linux-armv7' }
const BUILD = join(import.meta.dirname, '../../build')

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`

const checkRoom = ({ free }: Board, { needs }: Payload): void => {
  if (free === undefined) return
  if (free.bytes < needs.bytes)
    throw new Refusal(
      `the root file system has ${megabytes(free.bytes)} free, ${megabytes(needs.bytes)} are needed`,
      'enlarge it first: truncate -s +1G IMAGE, growpart, resize2fs',
    )
  if (free.inodes < needs.inodes) throw new Refusal(`the root file system has room for ${free.inodes} files, ${needs.inodes} are needed`)
}

/** Runs a program to its end; ends it when the signal comes. */
const command = async (words: readonly string[], signal: AbortSignal): Promise<void> => {
  const [program = '', ...args] = words
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], signal })
  child.on('error', () => undefined)
  const [code] = (await once(child, 'close')) as [number | null]
  signal.throwIfAborted()
  if (code !== 0) throw new Refusal(`run ${program}: it ended with ${code}`)
}

const copyBase = (from: string, to: string, signal: AbortSignal): Promise<void> =>
  isBlockDevice(from)
    ? command(['dd', `if=${from}`, `of=${to}`, 'bs=4M', 'conv=sparse', 'status=none'], signal)
    : command(['cp', '-a', '--sparse=always', '--reflink=auto', '-T', from, to], signal)

/** Writes and verifies in the file, disk or folder at `path`. */
const fill = async (path: string, board: Board, payload: Payload, signal: AbortSignal): Promise<number> => {
  const seedOn = seedPlaceOf(board).on
  if (board.form === 'folder') {
    await writeRoot(path, payload, 'root', say)
    return verifyRoot(path, payload, 'root')
  }
  const writing = mountExt4(path, board.root, 'read-write')
  try {
    await writeRoot(writing.dir, payload, seedOn, say)
  } finally {
    writing.close()
  }
  signal.throwIfAborted()
  if (board.boot && payload.seedText !== undefined) writeFatFile(path, board.boot, SEED_FILE, payload.seedText)
  checkExt4(path, board.root)
  const reading = mountExt4(path, board.root, 'read-only')
  try {
    const count = verifyRoot(reading.dir, payload, seedOn)
    if (board.boot && payload.seedText !== undefined && readFatFile(path, board.boot, SEED_FILE) !== payload.seedText)
      throw new Refusal('verify: the seed on the boot partition is not what was written')
    return count
  } finally {
    reading.close()
  }
}

const syncPath = (path: string): void => {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** A new file or folder: complete under its name, or not there. */
const flashNew = async (base: string, out: string, board: Board, payload: Payload, signal: AbortSignal): Promise<number> => {
  const draft = `${out}.part`
  rmSync(draft, { recursive: true, force: true })
  try {
    await copyBase(base, draft, signal)
    const count = await fill(draft, board, payload, signal)
    signal.throwIfAborted()
    syncPath(draft)
    renameSync(draft, out)
    syncPath(dirname(out))
    return count
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    throw error
  }
}

/** By way of an image beside the temporary files, so that what is written to the disk was verified before. */
const flashToDisk = async (base: string, path: string, board: Board, payload: Payload, signal: AbortSignal): Promise<void> => {
  const scratch = mkdtempSync(join(process.env['TMPDIR'] ?? tmpdir(), 'helio-flash-'))
  try {
    const image = join(scratch, 'image')
    await flashNew(base, image, board, payload, signal)
    const disk = lookAtDisk(path)
    if (disk.obstacle !== undefined) throw new Refusal(`write to ${disk.path}: ${disk.obstacle}`)
    const { sha256, seconds } = await writeDisk(image, disk, signal)
    say(`written to ${disk.path} and read back in ${seconds.toFixed(1)} s, sha256 ${sha256}`)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

const planText = (board: Board, payload: Payload): string[] => {
  const place = seedPlaceOf(board)
  const { helio, role, dataDir, configFile, manifests, imageNames, needs, seed } = payload
  return [
    `board: ${board.form}, ${TARGETS[board.arch] ?? board.arch}${board.free ? `, ${megabytes(board.free.bytes)} free` : ''}; needed: ${megabytes(needs.bytes)}`,
    `program: ${helio} as ${role}, state in ${dataDir}`,
    ...(configFile ? [`configuration: ${configFile}`] : []),
    ...(seed ? [`seed: ${place.path} on the ${place.on} partition${seed.nodeName ? `, node ${seed.nodeName}` : ''}`] : []),
    ...(manifests.length > 0 ? [`pre-loaded manifests: ${manifests.join(', ')}`] : []),
    ...(imageNames.length > 0 ? [`pre-loaded images: ${imageNames.join(', ')}`] : []),
  ]
}

const outputOf = ({ base, output }: FlashRequest): string => {
  if (output !== undefined) return isBlockDevice(output) ? output : resolve(output)
  if (isBlockDevice(base)) return base
  throw new Refusal('where to? the base image itself is never written to', '--output NEW.img, or --output /dev/DISK')
}

/** Rejects with a Refusal of one line; then nothing is left but what was there before. */
export const flash = async (request: FlashRequest): Promise<void> => {
  const { base, signal } = request
  const out = outputOf(request)
  const toDisk = isBlockDevice(out)
  if (!toDisk && existsSync(out)) throw new Refusal(`write ${out}: it is there already`, 'remove it, or give another --output')
  if (toDisk) {
    const what = out === base ? 'Its root file system is written to in place.' : 'EVERYTHING ON IT WILL BE GONE.'
    await confirmDisk(lookAtDisk(out), what, request)
  }
  const board = openBoard(base)
  if (board.form === 'folder' && toDisk) throw new Refusal('a folder cannot be written to a disk', 'make an image of it first')
  const helio = request.helio ?? join(BUILD, `helio-${TARGETS[board.arch] ?? board.arch}`)
  const payload = await preparePayload({ ...request, helio, arch: board.arch })
  try {
    checkRoom(board, payload)
    for (const line of planText(board, payload)) say(line)
    if (request.dryRun) return say('dry run: nothing was written')
    signal.throwIfAborted()
    if (toDisk && out !== base) await flashToDisk(base, out, board, payload, signal)
    else {
      const count = out === base ? await fill(base, board, payload, signal) : await flashNew(base, out, board, payload, signal)
      say(`${out}: written, ${count} entries verified${board.form === 'folder' ? '' : ', file system sound'}`)
    }
  } finally {
    payload.discard()
  }
}
