// Where the server makes documents and heads: rendered when asked for, compared by digest before anything is signed, kept as bytes on a
// shelf of bounded size for downloads and patches. Synchronous; the sessions ask it directly. PURE (render and sign are given).

import type { Codec } from './codec.ts'
import { documentBytes } from './document.ts'
import { DOCUMENT_BYTES_MAX, SHELF_BYTES_MAX } from './limits.ts'
import { type Document, type Head, headText } from './messages.ts'
import { makePatch } from './patch.ts'

export interface DeskDeps {
  readonly epoch: string
  /** See Head.base. */
  readonly base?: number
  readonly codec: Codec
  readonly sign: (text: string) => string
  readonly render: (device: string) => { readonly document: Document; readonly revision: number } | undefined
}

/** What a device said it holds. */
export type HeldClaim = Pick<Head, 'epoch' | 'generation' | 'sha256'> | null

export interface Offer {
  /** Undefined: the device has what it should have, or there is no document for it. */
  readonly head?: Head
  readonly error?: string
}

export interface Patch {
  readonly bytes: Uint8Array
  readonly base: string
  readonly tag: string
}

export interface Desk {
  readonly epoch: string
  /** See Head.base. */
  readonly base: number | undefined
  /** The document of this device may have changed; it is rendered again when next asked for. */
  changed(device: string): void
  /** The head this device should get, given what it holds. */
  offer(device: string, held: HeldClaim): Offer
  /** A head above the device's own, which the device may leave for it: the operator's decision after a restore. */
  resume(device: string, held: Exclude<HeldClaim, null>): Offer
  /** The device finds the head signed last too old: it is signed anew once the store's revision is above it. */
  renew(device: string): void
  /** The patch to a document, from `base` where that is still on the shelf, else from nothing; undefined when the document is not to be had. */
  patch(device: string, sha256: string, base: string): Patch | undefined
  /** Digest of the document of this generation, if it is the present one. */
  digestOf(device: string, generation: number): string | undefined
  forget(device: string): void
  readonly renders: number
  readonly shelfBytes: number
}

interface Draft {
  dirty: boolean
  renew: boolean
  sha256: string
  size: number
  revision: number
  head: Head | undefined
  /** Highest generation signed here: a device that might have seen it needs a higher one. */
  lastGeneration: number
  error: string | undefined
}

const newDraft = (): Draft => ({
  dirty: true,
  renew: false,
  sha256: '',
  size: 0,
  revision: 0,
  head: undefined,
  lastGeneration: -1,
  error: undefined,
})

/** Bytes by name, the longest unused dropped first. */
const createShelf = (bytesMax: number) => {
  const items = new Map<string, Uint8Array>()
  const state = { bytes: 0 }
  const remove = (name: string): void => {
    state.bytes -= items.get(name)?.length ?? 0
    items.delete(name)
  }
  return {
    state,
    get(name: string): Uint8Array | undefined {
      const found = items.get(name)
      if (found) {
        items.delete(name)
        items.set(name, found)
      }
      return found
    },
    put(name: string, bytes: Uint8Array): void {
      remove(name)
      items.set(name, bytes)
      state.bytes += bytes.length
      for (const oldest of items.keys()) {
        if (state.bytes <= bytesMax || oldest === name) break
        remove(oldest)
      }
    },
  }
}

/** Documents are kept under their device's name: a device that knows the digest of another's document does not get it. */
const place = (device: string, sha256: string): string => `${device}/${sha256}`

/** The desk of one server lifetime (epoch). */
export const createDesk = (deps: DeskDeps, shelfBytesMax: number = SHELF_BYTES_MAX): Desk => {
  const { codec, epoch } = deps
  const drafts = new Map<string, Draft>()
  const shelf = createShelf(shelfBytesMax)
  const count = { renders: 0 }

  /** The device's draft, up to date; undefined when it has no document. */
  const fresh = (device: string): Draft | undefined => {
    const draft = drafts.get(device) ?? newDraft()
    if (!draft.dirty) return draft
    count.renders++
    const rendered = deps.render(device)
    if (!rendered) return undefined
    const bytes = documentBytes(codec, rendered.document)
    draft.dirty = false
    draft.revision = rendered.revision
    draft.error = bytes.length > DOCUMENT_BYTES_MAX ? `its document has ${bytes.length} bytes, more than ${DOCUMENT_BYTES_MAX}` : undefined
    drafts.set(device, draft)
    if (draft.error !== undefined) return draft
    const sha256 = codec.sha256(bytes)
    shelf.put(place(device, sha256), bytes)
    if (sha256 !== draft.sha256) draft.head = undefined
    if (draft.renew && draft.head && draft.revision > draft.head.generation) draft.head = undefined
    draft.renew = false
    draft.sha256 = sha256
    draft.size = bytes.length
    return draft
  }

  const signHead = (device: string, draft: Draft, generation: number, replaces?: Head['replaces']): Head => {
    const era = deps.base === undefined ? { epoch, generation } : { epoch, generation, base: deps.base }
    const head = { ...era, sha256: draft.sha256, size: draft.size, ...(replaces ? { replaces } : {}) }
    draft.lastGeneration = Math.max(draft.lastGeneration, generation)
    return { ...head, sig: deps.sign(headText(device, head)) }
  }

  const offer = (device: string, held: HeldClaim): Offer => {
    const draft = fresh(device)
    if (!draft) return {}
    if (draft.error !== undefined) return { error: draft.error }
    const mine = held?.epoch === epoch ? held : null
    if (mine && mine.sha256 === draft.sha256 && mine.generation >= draft.lastGeneration) return {}
    if (!draft.head) {
      const lowest = Math.max(draft.revision, draft.lastGeneration + 1)
      // Another content at the very revision the device knows: made by another version of this server, so it is the newer one.
      draft.head = signHead(device, draft, mine?.generation === lowest ? lowest + 1 : lowest)
    }
    return { head: draft.head }
  }

  const patch = (device: string, sha256: string, base: string): Patch | undefined => {
    let bytes = shelf.get(place(device, sha256))
    if (!bytes) {
      // Only the present document is made again; a device that asks for others does not make the server work.
      const draft = drafts.get(device)
      if (draft?.sha256 !== sha256) return undefined
      draft.dirty = true
      if (fresh(device)?.sha256 !== sha256) return undefined
      bytes = shelf.get(place(device, sha256))
    }
    if (!bytes) return undefined
    const old = base === '' ? undefined : shelf.get(place(device, base))
    const usedBase = old ? base : ''
    const name = `${place(device, sha256)}/${usedBase}`
    let encoded = shelf.get(name)
    if (!encoded) {
      encoded = makePatch(codec, bytes, old)
      shelf.put(name, encoded)
    }
    return { bytes: encoded, base: usedBase, tag: codec.sha256(encoded).slice(0, 16) }
  }

  return {
    epoch,
    base: deps.base,
    changed(device) {
      const draft = drafts.get(device)
      if (draft) draft.dirty = true
    },
    offer,
    resume(device, held) {
      const draft = fresh(device)
      if (!draft) return {}
      if (draft.error !== undefined) return { error: draft.error }
      if (held.epoch === epoch) return offer(device, held)
      draft.head = signHead(device, draft, Math.max(draft.revision, draft.lastGeneration + 1), {
        epoch: held.epoch,
        generation: held.generation,
      })
      return { head: draft.head }
    },
    renew(device) {
      const draft = drafts.get(device)
      if (!draft) return
      draft.dirty = true
      draft.renew = true
    },
    patch,
    digestOf(device, generation) {
      const head = drafts.get(device)?.head
      return head?.generation === generation ? head.sha256 : undefined
    },
    forget: device => void drafts.delete(device),
    get renders() {
      return count.renders
    },
    get shelfBytes() {
      return shelf.state.bytes
    },
  }
}
