// Copying a program to the flash of a device: hashed while read, written with fsync, read back, and only then answered. What counts is what
// lies on the disk afterwards, not what was read; a medium that is pulled or changed meanwhile is found out.

import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ApiError } from '../../base/errors.ts'
import { executableOf } from './executable.ts'
import { ADDON_BYTES_MAX, COPY_CHUNK_BYTES, PROGRAM_BYTES_MAX } from './limits.ts'

export interface ProgramSource {
  /** The executable, or a script with its addon beside it. */
  readonly file: string
  /** What it must hash to; anything when left out. */
  readonly sha256?: string
  readonly signal?: AbortSignal
  /** Bytes written or read back, of twice the size. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void
}

export interface WrittenProgram {
  readonly sha256: string
  readonly sizeBytes: number
}

/** SQLite's addon, which a script loads from its own folder. */
export const ADDON = 'node_sqlite3.node'

type Take = (bytes: Buffer) => Promise<void>

const readAll = async (file: FileHandle, bytesMax: number, take: Take, signal?: AbortSignal): Promise<WrittenProgram> => {
  const hash = createHash('sha256')
  const chunk = Buffer.alloc(COPY_CHUNK_BYTES)
  let sizeBytes = 0
  for (;;) {
    signal?.throwIfAborted()
    const { bytesRead } = await file.read(chunk, 0, chunk.length, sizeBytes)
    if (bytesRead === 0) return { sha256: hash.digest('hex'), sizeBytes }
    sizeBytes += bytesRead
    if (sizeBytes > bytesMax) throw new ApiError('RequestEntityTooLarge', `read program: more than ${bytesMax} bytes`)
    hash.update(chunk.subarray(0, bytesRead))
    await take(chunk.subarray(0, bytesRead))
  }
}

const withFile = async <T>(path: string, mode: 'r' | 'wx', work: (file: FileHandle) => Promise<T>): Promise<T> => {
  const file = await open(path, mode, 0o755)
  try {
    return await work(file)
  } finally {
    await file.close()
  }
}

/** Digest and size of a regular file; refuses others, and larger ones. */
export const digestOf = (
  path: string,
  options: { readonly bytesMax?: number; readonly signal?: AbortSignal | undefined; readonly onBytes?: (bytes: number) => void } = {},
): Promise<WrittenProgram> =>
  withFile(path, 'r', async file => {
    const { bytesMax = PROGRAM_BYTES_MAX, signal, onBytes } = options
    const stat = await file.stat()
    if (!stat.isFile()) throw new ApiError('BadRequest', `read program: ${path} is no file`)
    if (stat.size > bytesMax)
      throw new ApiError('RequestEntityTooLarge', `read program: ${path} has ${stat.size} bytes, at most ${bytesMax} are taken`)
    return readAll(file, bytesMax, async bytes => onBytes?.(bytes.length), signal)
  })

const copyFile = async (from: string, to: string, bytesMax: number, source: ProgramSource): Promise<WrittenProgram> =>
  withFile(from, 'r', async input => {
    const stat = await input.stat()
    if (!stat.isFile()) throw new ApiError('BadRequest', `copy program: ${from} is no file`)
    const total = stat.size * 2
    const done = { bytes: 0 }
    const tell = (bytes: number): void => {
      done.bytes += bytes
      source.onProgress?.(Math.min(done.bytes, total), total)
    }
    const read = await withFile(to, 'wx', async output => {
      const found = await readAll(
        input,
        bytesMax,
        async bytes => {
          await output.writeFile(bytes)
          tell(bytes.length)
        },
        source.signal,
      )
      // The mode given at opening is cut by the umask.
      await output.chmod(0o755)
      await output.sync()
      return found
    })
    const back = await digestOf(to, { bytesMax, signal: source.signal, onBytes: tell })
    if (back.sha256 !== read.sha256)
      throw new ApiError('InternalError', `copy program: what was written to ${to} is not what is read back`, {
        hint: 'the disk may be worn out: look at the kernel log',
      })
    return back
  })

const isScript = (path: string): Promise<boolean> =>
  withFile(path, 'r', async file => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0)
    return executableOf(buffer.subarray(0, bytesRead)).form === 'script'
  })

/** The addon that a script brings along; undefined when it has none, or is none. */
export const addonOf = async (file: string): Promise<WrittenProgram | undefined> => {
  if (!(await isScript(file))) return undefined
  try {
    return await digestOf(join(dirname(file), ADDON), { bytesMax: ADDON_BYTES_MAX })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Copies into an empty folder; the folder itself is for the caller to make durable. */
export const copyProgram = async (source: ProgramSource, folder: string): Promise<WrittenProgram> => {
  const written = await copyFile(source.file, join(folder, 'helio'), PROGRAM_BYTES_MAX, source)
  if (source.sha256 !== undefined && source.sha256 !== written.sha256)
    throw new ApiError('Conflict', `copy program: ${source.file} changed while it was copied`, {
      hint: 'try again with a file that nobody writes',
    })
  if (await addonOf(source.file))
    await copyFile(join(dirname(source.file), ADDON), join(folder, ADDON), ADDON_BYTES_MAX, { file: source.file })
  return written
}
