// One layer's tar into one directory: modes, owners, times, links, devices and whiteouts as they are written there, nothing outside it.
// Source: OCI image-spec layer.md.

import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  write,
} from 'node:fs'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { extract, type Header } from 'tar-stream'
import type { Exec } from '../../base/exec.ts'
import { type LayerTree, layerPath, layerTree, lookAt } from './layer-path.ts'
import { LAYER_ENTRIES_MAX, LAYER_XATTRS_MAX, PATH_BYTES_MAX } from './limits.ts'
import { hideLower, type MakeWhiteout, OPAQUE_NAME, WHITEOUT_PREFIX } from './whiteout.ts'
import { applyXattrs, type Xattr, xattrsOf } from './xattr.ts'

export interface UnpackOptions {
  /** Directory to fill; exists and is empty. */
  readonly target: string
  /** The unpacked layers below, lowest first: opaque directories are written out against them. */
  readonly lowers: readonly string[]
  readonly exec: Exec
  readonly whiteout: MakeWhiteout
  /** Owners, devices and set-id bits are kept only for root. */
  readonly asRoot: boolean
  /** Named in errors. */
  readonly what: string
  readonly signal: AbortSignal | undefined
}

export interface Unpacked {
  /** True when the result depends on the layers below. */
  readonly dependsOnLowers: boolean
  /** Extended attributes that could not be set (`setfattr` is missing). */
  readonly xattrsDropped: number
}

interface Work extends UnpackOptions {
  readonly tree: LayerTree
  readonly directories: Map<string, Header>
  readonly whiteouts: string[][]
  readonly opaques: string[][]
  readonly xattrs: Xattr[]
}

/** Records of the entry's pax header, as tar-stream leaves them. */
const pax = (header: Header): Readonly<Record<string, string>> => (header.pax ?? {}) as Readonly<Record<string, string>>

type Entry = Readable & { readonly header: Header }

const writeTo = promisify(write)

const PERMISSIONS = 0o7777

const seconds = (header: Header): number => {
  const exact = Number.parseFloat(pax(header)['mtime'] ?? '')
  return Number.isFinite(exact) ? exact : (header.mtime?.getTime() ?? 0) / 1000
}

const owner = (header: Header, which: 'uid' | 'gid'): number => {
  const large = Number.parseInt(pax(header)[which] ?? '', 10)
  const id = Number.isNaN(large) ? (header[which] ?? 0) : large
  return id >= 0 && id <= 0xffff_fffe ? id : 0
}

const mode = (work: Work, header: Header): number => (header.mode ?? 0o644) & (work.asRoot ? PERMISSIONS : 0o777)

const writeFile = async (work: Work, path: string, entry: Entry): Promise<void> => {
  const fd = openSync(path, 'wx', 0o600)
  try {
    for await (const chunk of entry as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; ) at += (await writeTo(fd, chunk, at)).bytesWritten
    }
    // Owner first: chown clears the set-id bits.
    if (work.asRoot) fchownSync(fd, owner(entry.header, 'uid'), owner(entry.header, 'gid'))
    fchmodSync(fd, mode(work, entry.header))
    futimesSync(fd, seconds(entry.header), seconds(entry.header))
  } finally {
    closeSync(fd)
  }
}

const makeSymlink = (work: Work, path: string, header: Header): void => {
  const target = header.linkname ?? ''
  if (target === '' || target.includes('\0') || Buffer.byteLength(target) > PATH_BYTES_MAX)
    throw new Error(`unpack ${work.what}: a symlink's target is empty or too long`)
  symlinkSync(target, path)
  if (work.asRoot) lchownSync(path, owner(header, 'uid'), owner(header, 'gid'))
  lutimesSync(path, seconds(header), seconds(header))
}

const makeHardLink = (work: Work, path: string, header: Header): void => {
  const target = work.tree.reach(layerPath(header.linkname ?? '', work.what), work.what)
  const found = lookAt(target)
  if (found === 'absent' || found === 'directory')
    throw new Error(
      `unpack ${work.what}: hard link ${header.name} to ${header.linkname ?? ''}, which is ${found === 'absent' ? 'not in the layer' : 'a directory'}`,
    )
  if (target === path) return
  work.tree.clear(path, false)
  linkSync(target, path)
}

const DEVICE_TYPES: Partial<Record<string, string>> = { 'character-device': 'c', 'block-device': 'b', fifo: 'p' }

const makeDevice = async (work: Work, path: string, header: Header): Promise<void> => {
  const type = DEVICE_TYPES[header.type ?? '']
  if (!work.asRoot || type === undefined) return
  const numbers = type === 'p' ? [] : [String(header.devmajor ?? 0), String(header.devminor ?? 0)]
  const made = await work.exec.run('mknod', [path, type, ...numbers])
  if (made.code !== 0) throw new Error(`unpack ${work.what}: make device ${header.name}: ${made.stderr.trim()}`)
  lchownSync(path, owner(header, 'uid'), owner(header, 'gid'))
  chmodSync(path, mode(work, header))
}

/** Whiteouts are noted and made at the end: they concern lower layers, never this one, wherever they stand in the tar. */
const noteWhiteout = (work: Work, parts: readonly string[]): boolean => {
  const name = parts[parts.length - 1] ?? ''
  const parent = parts.slice(0, -1)
  if (name === OPAQUE_NAME) work.opaques.push(parent)
  else if (name.startsWith(`${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}`)) return true
  else if (name.startsWith(WHITEOUT_PREFIX)) {
    const hidden = name.slice(WHITEOUT_PREFIX.length)
    if (hidden === '' || hidden === '.' || hidden === '..') throw new Error(`unpack ${work.what}: whiteout of ${JSON.stringify(hidden)}`)
    work.whiteouts.push([...parent, hidden])
  } else return false
  return true
}

const unpackEntry = async (work: Work, entry: Entry): Promise<void> => {
  const { header } = entry
  const parts = layerPath(header.name, work.what)
  if (noteWhiteout(work, parts)) return
  const path = work.tree.place(parts, work.what)
  if (parts.length === 0 && header.type !== 'directory') throw new Error(`unpack ${work.what}: its root is not a directory`)
  if (header.type === 'directory') {
    if (!work.tree.clear(path, true)) mkdirSync(path, { mode: 0o755 })
    work.directories.set(path, header)
  } else if (header.type === 'link') {
    makeHardLink(work, path, header)
    return
  } else {
    work.tree.clear(path, false)
    if (header.type === 'file' || header.type === 'contiguous-file') await writeFile(work, path, entry)
    else if (header.type === 'symlink') makeSymlink(work, path, header)
    else if (header.type && DEVICE_TYPES[header.type]) await makeDevice(work, path, header)
    else throw new Error(`unpack ${work.what}: entry ${header.name} has a type that layers cannot have`)
  }
  work.xattrs.push(...xattrsOf(path, header))
  if (work.xattrs.length > LAYER_XATTRS_MAX) throw new Error(`unpack ${work.what}: more than ${LAYER_XATTRS_MAX} extended attributes`)
}

const makeWhiteouts = async (work: Work): Promise<boolean> => {
  for (const parts of work.whiteouts) {
    const path = work.tree.place(parts, work.what)
    const found = lookAt(path)
    if (found === 'absent') await work.whiteout(path)
    // Deleted below and made anew here: the new directory shows nothing of the old.
    else if (found === 'directory') work.opaques.push(parts)
  }
  for (const parts of work.opaques) {
    work.tree.place([...parts, OPAQUE_NAME], work.what)
    await hideLower(work.target, work.lowers, parts, work.whiteout)
  }
  return work.opaques.length > 0
}

/** Owners, modes and times of directories come last, deepest first, as filling a directory touches it. */
const finishDirectories = (work: Work): void => {
  const all = [...work.directories].sort(([a], [b]) => b.length - a.length)
  for (const [path, header] of all) {
    if (lookAt(path) !== 'directory') continue
    if (work.asRoot) lchownSync(path, owner(header, 'uid'), owner(header, 'gid'))
    chmodSync(path, mode(work, header))
    utimesSync(path, seconds(header), seconds(header))
  }
}

const drained = (stream: NodeJS.EventEmitter): Promise<void> =>
  new Promise(resolve => {
    const settle = (): void => {
      stream.removeListener('drain', settle)
      stream.removeListener('close', settle)
      resolve()
    }
    stream.on('drain', settle)
    stream.on('close', settle)
  })

/** Unpacks the (decompressed) tar of a layer. On an error the target holds rubbish, for the caller to remove. */
export const unpackLayer = async (tar: AsyncIterable<Uint8Array>, options: UnpackOptions): Promise<Unpacked> => {
  const work: Work = { ...options, tree: layerTree(options.target), directories: new Map(), whiteouts: [], opaques: [], xattrs: [] }
  const entries = extract()
  const pump = async (): Promise<void> => {
    try {
      for await (const chunk of tar) {
        options.signal?.throwIfAborted()
        if (entries.destroyed) return
        if (!entries.write(chunk)) await drained(entries)
      }
      entries.end(undefined)
    } catch (error) {
      entries.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }
  const pumped = pump()
  let count = 0
  try {
    for await (const entry of entries as AsyncIterable<Entry>) {
      if (++count > LAYER_ENTRIES_MAX) throw new Error(`unpack ${options.what}: more than ${LAYER_ENTRIES_MAX} entries`)
      await unpackEntry(work, entry)
      entry.resume()
    }
  } finally {
    entries.destroy(null)
    await pumped
  }
  const dependsOnLowers = await makeWhiteouts(work)
  const xattrsDropped = await applyXattrs(work.xattrs, options.exec)
  finishDirectories(work)
  return { dependsOnLowers, xattrsDropped }
}
