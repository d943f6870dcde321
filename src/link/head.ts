// The rule by which a device takes or refuses a head: signature first, then epoch and generation. DESIGN section 6, points 1 and 2. PURE.

import { LEFT_EPOCHS_MAX } from './limits.ts'
import { type Head, type HeldHead, headText, type RefusalReason } from './messages.ts'

export type Verdict =
  /** The device has it already: silence. */
  | { readonly verdict: 'equal' }
  /** The content is the same under a newer head: take the head, fetch nothing. */
  | { readonly verdict: 'adopt' }
  | { readonly verdict: 'fetch' }
  | { readonly verdict: 'refuse'; readonly why: RefusalReason; readonly message: string }

/** An operator on the server decided that the device may leave just this head for the offered one. */
export const isDecided = (held: HeldHead, offered: Head): boolean =>
  offered.replaces?.epoch === held.epoch && offered.replaces.generation === held.generation

/** Judges an offered head against the one the device holds (undefined: it holds none). Only `verdict: fetch | adopt` may change what runs. */
export const judgeHead = (
  device: string,
  held: HeldHead | undefined,
  offered: Head,
  verify: (text: string, signatureBase64: string) => boolean,
): Verdict => {
  if (!verify(headText(device, offered), offered.sig))
    return { verdict: 'refuse', why: 'signature', message: 'the head is not signed by this device’s server' }
  if (!held) return { verdict: 'fetch' }
  const same = offered.sha256 === held.sha256
  if (offered.epoch === held.epoch) {
    if (offered.generation > held.generation) return { verdict: same ? 'adopt' : 'fetch' }
    if (offered.generation === held.generation && same) return { verdict: 'equal' }
    const what = offered.generation === held.generation ? 'another document of the same generation' : 'an older generation'
    return { verdict: 'refuse', why: 'older', message: `generation ${offered.generation} is ${what}; ${held.generation} runs here` }
  }
  const decided = isDecided(held, offered)
  if (!decided && held.leftEpochs?.includes(offered.epoch))
    return { verdict: 'refuse', why: 'older', message: `epoch ${offered.epoch} was left for ${held.epoch}; its heads are old` }
  if (same) return { verdict: 'adopt' }
  // Generations of different epochs cannot be compared by size: a restored server counts on far above what it has forgotten.
  const known = offered.base ?? offered.generation - 1
  if (held.generation <= known || decided) return { verdict: 'fetch' }
  return {
    verdict: 'refuse',
    why: 'conflict',
    message: `the server was restored: it knows nothing newer than generation ${known}, and ${held.generation} runs here; an operator must decide`,
  }
}

/** Epochs have no order of their own, so the device remembers those it left: a replayed head of an old epoch is old, whatever its generation. */
export const holdHead = (held: HeldHead | undefined, taken: Head): HeldHead => {
  if (!held) return taken
  const left = (held.leftEpochs ?? []).filter(epoch => epoch !== taken.epoch)
  if (held.epoch !== taken.epoch) left.push(held.epoch)
  return left.length === 0 ? taken : { ...taken, leftEpochs: left.slice(-LEFT_EPOCHS_MAX) }
}
