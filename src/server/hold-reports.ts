// A device's holds become annotations of its pods, under the device's own field manager. A hold that was lifted on the server is not
// taken back, however often the device reports it, until the device has dropped it.

import type { Target, Verbs } from '../api/api.ts'
import { ApiError } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { Identity } from '../base/pki.ts'
import { HOLD, HOLD_ID, HOLD_LIFTED, HOLD_MANAGER, HOLD_REASON_CHARS_MAX, holdText } from '../kinds/hold.ts'
import { kindByName } from '../kinds/index.ts'
import type { Pod } from '../kinds/pod.ts'

/** Prefix of the status keys: `hold/<pod uid>`. */
export const HOLD_KEY = 'hold/'

interface HoldDeps {
  readonly verbs: Verbs
  readonly caller: Identity
}

const ID = /^[A-Za-z0-9._-]{1,64}$/
/** Who held it, as the device's socket proved it: a word, not a sentence that could pass for one of ours, nor signs
 * that turn or hide what is beside them on a screen. */
const WHO = /^[!-~\p{L}\p{M}\p{N}]{1,64}$/u
const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

const word = (value: Record<string, unknown>, field: string, pattern: RegExp): string => {
  const text = value[field]
  if (typeof text !== 'string' || !pattern.test(text)) throw new ApiError('BadRequest', `read a hold: ${field} is not one`)
  return text
}

/** Signs that end a line, or turn or hide what is beside them on a screen, become spaces; what is no text, or too much, is left out. */
const reasonOf = ({ reason }: Record<string, unknown>): { readonly reason?: string } => {
  if (typeof reason !== 'string') return {}
  const text = reason
    .slice(0, HOLD_REASON_CHARS_MAX)
    .replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ')
    .trim()
  return text === '' ? {} : { reason: text }
}

const patchHold = async ({ verbs, caller }: HoldDeps, pod: Pod, annotations: Readonly<Record<string, string | null>>): Promise<void> => {
  const target: Target = { kind: kindByName('Pod')!, namespace: pod.metadata.namespace ?? '', name: pod.metadata.name ?? '' }
  // The uid is a precondition: another pod of the same name is none of this device's business.
  await verbs.patch(caller, target, { metadata: { uid: pod.metadata.uid ?? '', annotations } }, 'merge', { fieldManager: HOLD_MANAGER })
}

/** `value`: `{id, at, by, reason?}`. The pod is one of the device's own. Throws BadRequest for what is no hold. */
export const applyHold = async (deps: HoldDeps, pod: Pod, value: unknown): Promise<void> => {
  const fields = isObject(value) ? value : {}
  const hold = { id: word(fields, 'id', ID), by: word(fields, 'by', WHO), at: word(fields, 'at', STAMP), ...reasonOf(fields) }
  const stored = pod.metadata.annotations ?? {}
  // Lifted, or about to be recorded so.
  if (stored[HOLD_LIFTED] === hold.id || (stored[HOLD_ID] === hold.id && stored[HOLD] === undefined)) return
  if (stored[HOLD_ID] === hold.id && stored[HOLD] === holdText(hold)) return
  await patchHold(deps, pod, { [HOLD]: holdText(hold), [HOLD_ID]: hold.id, [HOLD_LIFTED]: null })
}

/** The device holds the pod no more. */
export const applyNoHold = async (deps: HoldDeps, pod: Pod): Promise<void> => {
  const stored = pod.metadata.annotations ?? {}
  const known = [HOLD, HOLD_ID, HOLD_LIFTED].filter(key => stored[key] !== undefined)
  if (known.length > 0) await patchHold(deps, pod, Object.fromEntries(known.map(key => [key, null])))
}
