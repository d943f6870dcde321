// Desired state on the device: judge a head, fetch its document, save both in one transaction, then act. Heads are hints: the newest
// acceptable one counts, whatever came between. Part of the device's machine (session-device.ts).

import { backoffMs } from '../base/backoff.ts'
import { parseDocument } from './document.ts'
import { type Download, downloadStallsAtMs, finishDownload, newDownload, restartDownload, resumeDownload, takePiece } from './download.ts'
import { holdHead, isDecided, judgeHead } from './head.ts'
import { SAVE_RETRY } from './limits.ts'
import type { Head, HeadPatch, RefusalReason, ServerFrame } from './messages.ts'
import { applyPatch } from './patch.ts'
import { type DeviceState, sendFrame } from './session-state.ts'

const refuse = (s: DeviceState, head: Head, why: RefusalReason, message: string): void => {
  s.out.push({ do: 'log', level: 'error', message: `refused head: ${why}`, error: message })
  if (s.phase.is === 'open') sendFrame(s, { t: 'refused', epoch: head.epoch, generation: head.generation, why, message })
}

const save = (s: DeviceState): void => {
  const { unsaved } = s.desired
  if (!unsaved || s.desired.saving) return
  s.desired.saving = true
  s.desired.saveRetryAtMs = undefined
  s.out.push({ do: 'save', head: holdHead(s.held?.head, unsaved.head), document: unsaved.document })
}

const ask = (s: DeviceState, download: Download): void => {
  s.desired.askedOn = s.conn
  sendFrame(s, resumeDownload(download, s.nowMs))
}

/** The head's document, if the patch that came along gives it; undefined: fetch it. */
const patched = (s: DeviceState, head: Head, patch: HeadPatch | undefined): Uint8Array | undefined => {
  if (!patch || patch.base !== s.held?.head.sha256) return undefined
  const { codec } = s.deps
  const bytes = applyPatch(codec, codec.fromBase64(patch.data), s.held.bytes, head.size)
  return bytes && codec.sha256(bytes) === head.sha256 ? bytes : undefined
}

const fetch = (s: DeviceState, head: Head, patch?: HeadPatch): void => {
  if (s.desired.unusable === head.sha256) {
    refuse(s, head, 'invalid', 'its document was not usable before')
    return
  }
  const bytes = patched(s, head, patch)
  if (bytes) {
    take(s, head, bytes)
    return
  }
  if (s.desired.download?.head.sha256 !== head.sha256) s.desired.download = newDownload(head, s.held)
  else s.desired.download = { ...s.desired.download, head }
  if (s.phase.is === 'open') ask(s, s.desired.download)
}

/** Takes up a head that was judged worth it. */
const pursue = (s: DeviceState, head: Head, adopt: boolean, patch?: HeadPatch): void => {
  s.desired.conflict = undefined
  if (!adopt || !s.held) {
    fetch(s, head, patch)
    return
  }
  s.desired.download = undefined
  const parsed = parseDocument(s.deps.codec, s.held.bytes, s.deps.device)
  if ('error' in parsed) refuse(s, head, 'invalid', parsed.error)
  else {
    s.desired.unsaved = { head, document: parsed.document, bytes: s.held.bytes }
    save(s)
  }
}

/** Once in conflict with an epoch, its growing numbers do not decide; an operator does. */
const stillPaused = (s: DeviceState, head: Head): boolean => {
  const { conflict } = s.desired
  if (!s.held || conflict?.head.epoch !== head.epoch || isDecided(s.held.head, head)) return false
  s.desired.conflict = { head, message: conflict.message }
  return true
}

/** A head from the server, believed only as far as its signature and the rules of judgeHead go; `patch` saves the fetch where it fits. */
export const offerHead = (s: DeviceState, head: Head, patch?: HeadPatch): void => {
  const verdict = judgeHead(s.deps.device, s.held?.head, head, s.deps.verify)
  if (verdict.verdict === 'refuse') {
    if (verdict.why === 'conflict') s.desired.conflict = { head, message: verdict.message }
    refuse(s, head, verdict.why, verdict.message)
    return
  }
  if (verdict.verdict === 'equal') {
    s.desired.conflict = undefined
    return
  }
  if (verdict.verdict === 'fetch' && stillPaused(s, head)) {
    refuse(s, head, 'conflict', s.desired.conflict?.message ?? '')
    return
  }
  const { download, unsaved } = s.desired
  const ahead = unsaved?.head ?? download?.head
  if (ahead && ahead.epoch === head.epoch && ahead.generation >= head.generation) return
  // What has begun is brought to its end, or a document that changes faster than the link would never arrive; on a new connection it is not.
  if (unsaved || (download && s.desired.askedOn === s.conn)) s.desired.next = head
  else pursue(s, head, verdict.verdict === 'adopt', patch)
}

/** The server learns what runs here as soon as it can hear it: a save may end between hello and welcome. */
const tellApplied = (s: DeviceState): void => {
  const head = s.held?.head
  if (!head || s.phase.is !== 'open' || s.toldSig === head.sig) return
  s.toldSig = head.sig
  sendFrame(s, { t: 'applied', epoch: head.epoch, generation: head.generation })
}

/** What the server offers on a new connection, and what becomes of a download the last one left unfinished. */
export const greetDesired = (s: DeviceState, head: Head | null, patch?: HeadPatch): void => {
  s.desired.next = undefined
  tellApplied(s)
  if (head) offerHead(s, head, patch)
  else s.desired.download = undefined
  const { download } = s.desired
  if (download && s.desired.askedOn !== s.conn) ask(s, download)
}

const offerNext = (s: DeviceState): void => {
  const { next } = s.desired
  s.desired.next = undefined
  if (next) offerHead(s, next)
}

const drop = (s: DeviceState, head: Head, message: string): void => {
  s.desired.download = undefined
  refuse(s, head, 'invalid', message)
  offerNext(s)
}

/** The very bytes that the head was signed for are here. */
const take = (s: DeviceState, head: Head, bytes: Uint8Array): void => {
  const parsed = parseDocument(s.deps.codec, bytes, s.deps.device)
  if ('error' in parsed) {
    s.desired.unusable = head.sha256
    drop(s, head, parsed.error)
    return
  }
  s.desired.download = undefined
  s.desired.unsaved = { head, document: parsed.document, bytes }
  save(s)
}

const whole = (s: DeviceState, download: Download): void => {
  const { head } = download
  const bytes = finishDownload(download, s.deps.codec, s.held)
  if (bytes) {
    take(s, head, bytes)
    return
  }
  const hadBase = download.base !== ''
  restartDownload(download)
  // A patch that does not fit is no fault of the document: it is fetched whole, once.
  if (hadBase) ask(s, download)
  else drop(s, head, 'the document that came is not the one that was signed')
}

export const takeDocument = (s: DeviceState, piece: Extract<ServerFrame, { t: 'document' }>): void => {
  const { download } = s.desired
  if (!download) return
  const step = takePiece(download, s.deps.codec, piece, s.nowMs)
  if (step.step === 'whole') whole(s, download)
  else if (step.step === 'more' && step.ask) sendFrame(s, step.ask)
}

/** The server no longer has what was being fetched. */
export const takeMissing = (s: DeviceState, sha256: string): void => {
  if (s.desired.download?.head.sha256 !== sha256) return
  s.desired.download = undefined
  offerNext(s)
}

export const saved = (s: DeviceState): void => {
  const { unsaved, conflict } = s.desired
  s.desired.saving = false
  if (!unsaved) return
  s.desired.unsaved = undefined
  s.desired.conflict = undefined
  s.desired.saveFailures = 0
  const head = holdHead(s.held?.head, unsaved.head)
  s.held = { head, bytes: unsaved.bytes }
  s.out.push({ do: 'document', head, document: unsaved.document })
  tellApplied(s)
  // A head that was in conflict with what ran before is judged against what runs now.
  if (conflict && (conflict.head.epoch !== head.epoch || conflict.head.generation !== head.generation)) offerHead(s, conflict.head)
  offerNext(s)
}

export const saveFailed = (s: DeviceState, message: string): void => {
  s.desired.saving = false
  s.desired.saveRetryAtMs = s.nowMs + backoffMs(SAVE_RETRY, s.desired.saveFailures++)
  s.out.push({ do: 'log', level: 'error', message: 'save document', error: message })
}

/** The operator decided for the server's head: its word counts as newer than what runs here. */
export const acceptConflict = (s: DeviceState): void => {
  const { conflict } = s.desired
  if (conflict) pursue(s, conflict.head, false)
}

/** Repeats what failed or stalled, when it is time. */
export const retryDesired = (s: DeviceState): void => {
  const { download, saveRetryAtMs } = s.desired
  if (saveRetryAtMs !== undefined && s.nowMs >= saveRetryAtMs) save(s)
  if (download && s.phase.is === 'open' && s.nowMs >= downloadStallsAtMs(download)) ask(s, download)
}

export const desiredAtMs = (s: DeviceState): number | undefined => {
  const { download, saveRetryAtMs } = s.desired
  const stallsAt = download && s.phase.is === 'open' ? downloadStallsAtMs(download) : undefined
  if (saveRetryAtMs === undefined) return stallsAt
  return stallsAt === undefined ? saveRetryAtMs : Math.min(saveRetryAtMs, stallsAt)
}
