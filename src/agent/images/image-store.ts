// The store behind images.ts: an index in memory and on disk, layers beside it, one writer at a time over all processes.
// Order on disk is layers, then index, then garbage: a crash between any two leaves a store that opens, at worst with garbage.

import { mkdirSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { timestamp } from '../../base/clock.ts'
import type { Exec } from '../../base/exec.ts'
import type { Log } from '../../base/log.ts'
import { openBlobSource } from './blob-source.ts'
import { type PlannedImage, planImport } from './image-plan.ts'
import type { Image, ImageStore, ImportOptions } from './images.ts'
import { loadIndex, saveIndex } from './index-file.ts'
import { lookAt } from './layer-path.ts'
import { addLayer, chainIdOf, collectLayers } from './layer-store.ts'
import { takeLock, tryLock } from './lock.ts'
import { hostPlatform, type Platform } from './manifest.ts'
import { isDigest, parseReference } from './reference.ts'

export interface ImageStoreDeps {
  readonly clock: Pick<Clock, 'now' | 'mono' | 'sleep'>
  readonly exec: Exec
  readonly log: Log
  /** Which image of an index to take; this host's by default. */
  readonly platform?: Platform
}

interface State {
  images: readonly Image[]
  trusted: boolean
  byName: ReadonlyMap<string, Image>
  byDigest: ReadonlyMap<string, Image>
}

const HEX_ID = /^[0-9a-f]{64}$/

const stateOf = (images: readonly Image[], trusted: boolean): State => ({
  images,
  trusted,
  byName: new Map(images.flatMap(image => image.names.map(name => [name, image] as const))),
  byDigest: new Map(images.flatMap(image => [...image.digests, image.id].map(digest => [digest, image] as const))),
})

const find = (state: State, reference: string): Image | undefined => {
  if (HEX_ID.test(reference)) return state.byDigest.get(`sha256:${reference}`)
  if (isDigest(reference)) return state.byDigest.get(reference)
  const parsed = parseReference(reference)
  if (parsed === undefined) return undefined
  return parsed.digest === undefined ? state.byName.get(parsed.name) : state.byDigest.get(parsed.digest)
}

/** Images of the index whose layers are all there, with absolute layer paths. */
const load = (dir: string, log: Log): State => {
  const { images, trusted } = loadIndex(dir, log)
  const whole = images.filter(image => {
    const missing = image.layers.find(layer => lookAt(join(dir, 'layers', layer)) !== 'directory')
    if (missing !== undefined) log.error('image without one of its layers', { image: image.names[0] ?? image.id, layer: missing })
    return missing === undefined
  })
  return stateOf(
    whole.map(image => ({ ...image, layers: image.layers.map(layer => join(dir, 'layers', layer)) })),
    trusted,
  )
}

/** New images replace those of the same id; a name belongs to the image that took it last. */
const withImages = (old: readonly Image[], added: readonly Image[]): Image[] => {
  const ids = new Set(added.map(image => image.id))
  const taken = new Set(added.flatMap(image => image.names))
  const keptNames = (image: Image): string[] => image.names.filter(name => !taken.has(name))
  const merged = added.map(image => {
    const same = old.find(other => other.id === image.id)
    const names = [...new Set([...image.names, ...(same ? keptNames(same) : [])])]
    return { ...image, names, digests: [...new Set([...image.digests, ...(same?.digests ?? [])])] }
  })
  return [...old.filter(image => !ids.has(image.id)).map(image => ({ ...image, names: keptNames(image) })), ...merged]
}

/** Opens (and makes) the store in `dir`. Leftovers of imports that were killed are removed unless another process is importing. */
export const openImageStore = (dir: string, deps: ImageStoreDeps): ImageStore => {
  mkdirSync(join(dir, 'layers'), { recursive: true, mode: 0o700 })
  const root = realpathSync(dir)
  const platform = deps.platform ?? hostPlatform(process.arch)
  let state = load(root, deps.log)

  const layerNames = (image: Image): string[] => image.layers.map(layer => layer.slice(layer.lastIndexOf('/') + 1))
  const collect = (): void => {
    if (state.trusted) collectLayers(root, new Set(state.images.flatMap(layerNames)))
  }
  const save = (images: readonly Image[]): void => {
    saveIndex(
      root,
      images.map(image => ({ ...image, layers: layerNames(image) })),
      state.trusted,
    )
    state = stateOf(images, true)
  }
  const cleanUp = (): void => {
    rmSync(join(root, 'scratch'), { recursive: true, force: true })
    rmSync(join(root, 'index.new.json'), { force: true })
    collect()
  }
  /** Runs with the lock held and the index as it is on disk; garbage goes afterwards, whether the work failed or not. */
  const exclusively = async <T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> => {
    const lock = await takeLock(root, deps.clock, signal)
    try {
      state = load(root, deps.log)
      return await work()
    } finally {
      try {
        cleanUp()
      } finally {
        lock.release()
      }
    }
  }

  const importAll = async (path: string, options: ImportOptions): Promise<readonly Image[]> => {
    const scratch = join(root, 'scratch')
    rmSync(scratch, { recursive: true, force: true })
    mkdirSync(scratch, { mode: 0o700 })
    const source = await openBlobSource(path, join(scratch, 'archive.tar'), options.signal)
    try {
      const planned = await planImport(source, platform, options.name)
      const total = planned.reduce((sum, image) => sum + image.layers.reduce((bytes, layer) => bytes + layer.sizeBytes, 0), 0)
      let done = 0
      const onBytes = (count: number): void => {
        done += count
        options.onProgress?.(Math.min(done, total), total)
      }
      const unpack = async (image: PlannedImage): Promise<string[]> => {
        const lowers: string[] = []
        let chainId: string | undefined
        for (const layer of image.layers) {
          options.signal?.throwIfAborted()
          chainId = chainIdOf(chainId, layer.diffId)
          const name = await addLayer(deps, root, { source, layer, chainId, lowers, onBytes, signal: options.signal })
          lowers.push(join(root, 'layers', name))
        }
        return lowers
      }
      const importedAt = timestamp(deps.clock.now())
      const added: Image[] = []
      for (const { id, names, digests, sizeBytes, config, ...image } of planned)
        added.push({
          id,
          names,
          digests,
          sizeBytes,
          importedAt,
          layers: await unpack({ id, names, digests, sizeBytes, config, ...image }),
          config,
        })
      save(withImages(state.images, added))
      return added.map(image => find(state, image.id) ?? image)
    } finally {
      await source.close()
    }
  }

  const opening = tryLock(root)
  if ('release' in opening) {
    try {
      cleanUp()
    } finally {
      opening.release()
    }
  }
  return {
    resolve: reference => find(state, reference),
    list: () => state.images,
    import: (path, options = {}) => exclusively(() => importAll(path, options), options.signal),
    remove: reference =>
      exclusively(async () => {
        const image = find(state, reference)
        if (image === undefined) throw new Error(`remove image: ${reference} is not here`)
        const name = parseReference(reference)?.name
        const byName = !isDigest(reference) && !HEX_ID.test(reference) && name !== undefined && image.names.includes(name)
        const names = byName ? image.names.filter(other => other !== name) : []
        const others = state.images.filter(other => other !== image)
        save(names.length > 0 ? [...others, { ...image, names }] : others)
      }),
    refresh() {
      state = load(root, deps.log)
    },
  }
}
