// One document on its way to the device: asked for in windows, kept while connections come and go, believed only when its digest is the
// signed head's. PURE.

import type { Codec } from './codec.ts'
import { FETCH_STALL_MS, FETCH_WINDOW_BYTES } from './limits.ts'
import type { DeviceFrame, Head, HeldHead, ServerFrame } from './messages.ts'
import { applyPatch } from './patch.ts'

/** The device's present document as bytes; what patches refer to. */
export interface Held {
  readonly head: HeldHead
  readonly bytes: Uint8Array
}

export interface Download {
  readonly head: Head
  /** Digest of the document the patch refers to; '' = none. */
  base: string
  /** Name and size of the patch being received; '' and 0 before its first piece. */
  tag: string
  size: number
  pieces: Uint8Array[]
  received: number
  /** Bytes asked for so far on this connection. */
  asked: number
  progressMs: number
}

export const newDownload = (head: Head, held: Held | undefined): Download => ({
  head,
  base: held?.head.sha256 ?? '',
  tag: '',
  size: 0,
  pieces: [],
  received: 0,
  asked: 0,
  progressMs: 0,
})

type FetchFrame = Extract<DeviceFrame, { t: 'fetch' }>

/** Begins anew without a base: a patch did not fit. */
export const restartDownload = (d: Download): void => {
  d.base = ''
  d.tag = ''
  d.size = 0
  d.pieces = []
  d.received = 0
}

/** Asks for what is missing, from where the last connection left off. */
export const resumeDownload = (d: Download, nowMs: number): FetchFrame => {
  d.asked = d.received + FETCH_WINDOW_BYTES
  d.progressMs = nowMs
  return { t: 'fetch', sha256: d.head.sha256, base: d.base, tag: d.tag, offset: d.received, bytes: FETCH_WINDOW_BYTES }
}

export const downloadStallsAtMs = (d: Download): number => d.progressMs + FETCH_STALL_MS

export type DownloadStep = { readonly step: 'ignored' } | { readonly step: 'more'; readonly ask?: FetchFrame } | { readonly step: 'whole' }

/** Takes a piece. Pieces of another document, and pieces that do not continue what is here, are ignored. */
export const takePiece = (d: Download, codec: Codec, piece: Extract<ServerFrame, { t: 'document' }>, nowMs: number): DownloadStep => {
  if (piece.sha256 !== d.head.sha256 || (piece.base !== '' && piece.base !== d.base)) return { step: 'ignored' }
  if (piece.offset === 0 && !(d.received > 0 && piece.tag === d.tag && piece.base === d.base)) {
    // The server may begin anew: it has no patch from our document, or made another one.
    d.base = piece.base
    d.tag = piece.tag
    d.size = piece.size
    d.pieces = []
    d.received = 0
    d.asked = Math.min(d.asked, FETCH_WINDOW_BYTES)
  } else if (piece.offset !== d.received || piece.tag !== d.tag || piece.size !== d.size || piece.base !== d.base)
    return { step: 'ignored' }
  const data = codec.fromBase64(piece.data)
  if (data.length === 0 || d.received + data.length > d.size) return { step: 'ignored' }
  d.pieces.push(data)
  d.received += data.length
  d.progressMs = nowMs
  if (d.received === d.size) return { step: 'whole' }
  if (d.asked - d.received > FETCH_WINDOW_BYTES / 2) return { step: 'more' }
  const ask: FetchFrame = { t: 'fetch', sha256: d.head.sha256, base: d.base, tag: d.tag, offset: d.asked, bytes: FETCH_WINDOW_BYTES / 2 }
  d.asked += ask.bytes
  return { step: 'more', ask }
}

/** The document's bytes when every piece is here and the digest is right; undefined when it must be fetched again. */
export const finishDownload = (d: Download, codec: Codec, held: Held | undefined): Uint8Array | undefined => {
  if (d.base !== '' && d.base !== held?.head.sha256) return undefined
  const patch = new Uint8Array(d.size)
  let at = 0
  for (const piece of d.pieces) {
    patch.set(piece, at)
    at += piece.length
  }
  const bytes = applyPatch(codec, patch, d.base === '' ? undefined : held?.bytes, d.head.size)
  return bytes && codec.sha256(bytes) === d.head.sha256 ? bytes : undefined
}
