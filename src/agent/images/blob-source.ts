// Where an image comes from: a layout folder or an archive, read by name. An archive that is compressed as a whole is first unpacked to a
// temporary file; a plain one is read in place. Digests are the reader's concern: see digest.ts.

import { createReadStream, createWriteStream } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { messageOf } from '../../base/errors.ts'
import { compressionOf, decompressed, MAGIC_BYTES, tee } from './decompress.ts'
import { ARCHIVE_BYTES_MAX } from './limits.ts'
import { plainName, readTarIndex, type TarEntry } from './tar-index.ts'

export interface BlobSource {
  /** Bytes of a file, or undefined when the source has none of that name. */
  size(name: string): Promise<number | undefined>
  /** The file's bytes; the name is known to exist. */
  stream(name: string): Readable
  close(): Promise<void>
}

const LINKS_MAX = 8

const folderSource = (root: string): BlobSource => ({
  async size(name) {
    try {
      const found = await stat(join(root, name))
      return found.isFile() ? found.size : undefined
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  },
  stream: name => createReadStream(join(root, name), { highWaterMark: 256 * 1024 }),
  close: async () => {},
})

/** Follows links inside the archive (docker-archive shares layers that way); a hard link's target counts from the root. */
const findEntry = (entries: ReadonlyMap<string, TarEntry>, name: string): TarEntry | undefined => {
  let at = plainName(name)
  for (let hops = 0; hops <= LINKS_MAX; hops++) {
    const entry = entries.get(at)
    if (entry?.link === undefined) return entry
    at = plainName(entry.link.startsWith('/') ? posix.normalize(entry.link) : posix.normalize(posix.join(dirname(at), entry.link)))
  }
  return undefined
}

const tarSource = async (file: FileHandle, path: string): Promise<BlobSource> => {
  const entries = await readTarIndex(file, (await file.stat()).size)
  return {
    size: async name => findEntry(entries, name)?.sizeBytes,
    stream(name) {
      const entry = findEntry(entries, name)
      if (entry === undefined) throw new Error(`read ${name}: not in the archive`)
      if (entry.sizeBytes === 0) return Readable.from([])
      return createReadStream(path, { start: entry.offset, end: entry.offset + entry.sizeBytes - 1, highWaterMark: 256 * 1024 })
    },
    close: () => file.close(),
  }
}

const inflateTo = async (path: string, head: Uint8Array, target: string, signal: AbortSignal | undefined): Promise<void> => {
  let bytes = 0
  const bounded = tee(chunk => {
    bytes += chunk.length
    if (bytes > ARCHIVE_BYTES_MAX) throw new Error(`it unpacks to more than ${ARCHIVE_BYTES_MAX} bytes`)
  })
  try {
    const source = decompressed(createReadStream(path), head)
    await pipeline(source, bounded, createWriteStream(target, { mode: 0o600 }), signal ? { signal } : {})
  } catch (cause) {
    throw new Error(`decompress archive: ${messageOf(cause)}`, { cause })
  }
}

/** Opens what `path` names. `scratch` is a file that may be created; the caller removes it. */
export const openBlobSource = async (path: string, scratch: string, signal?: AbortSignal): Promise<BlobSource> => {
  if ((await stat(path)).isDirectory()) return folderSource(path)
  const head = Buffer.alloc(MAGIC_BYTES)
  const file = await open(path, 'r')
  try {
    await file.read(head, 0, head.length, 0)
    if (compressionOf(head) === 'none') return await tarSource(file, path)
  } catch (error) {
    await file.close()
    throw error
  }
  await file.close()
  await inflateTo(path, head, scratch, signal)
  const inflated = await open(scratch, 'r')
  try {
    return await tarSource(inflated, scratch)
  } catch (error) {
    await inflated.close()
    throw error
  }
}
