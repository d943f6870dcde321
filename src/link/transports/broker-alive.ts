// What devices leave at the broker about themselves: the conversation they are in, retained, and by their will that it ended. Said without
// proof, so it is a hint: a will of an older conversation changes nothing, and what nodes that are gone left behind is removed.

import { isObject } from '../../base/json.ts'
import { BROKER_RETAINED_BYTES_MAX } from '../limits.ts'
import { CONVERSATION_BYTES } from './broker-frames.ts'

export interface Alive {
  readonly conversation: Uint8Array
  /** The connection it was held over is no more. */
  readonly gone: boolean
}

export const aliveBytes = ({ conversation, gone }: Alive): Uint8Array =>
  Buffer.from(JSON.stringify({ conversation: Buffer.from(conversation).toString('hex'), ...(gone ? { gone } : {}) }))

const CONVERSATION = new RegExp(`^[0-9a-f]{${2 * CONVERSATION_BYTES}}$`)

/** Undefined for whatever `aliveBytes` does not make. Never throws. */
export const parseAlive = (payload: Uint8Array): Alive | undefined => {
  if (payload.length === 0 || payload.length > BROKER_RETAINED_BYTES_MAX) return undefined
  try {
    const value: unknown = JSON.parse(Buffer.from(payload).toString())
    if (!isObject(value) || typeof value['conversation'] !== 'string' || !CONVERSATION.test(value['conversation'])) return undefined
    // A copy: it is kept, and would keep the pool it lies in.
    return { conversation: Uint8Array.from(Buffer.from(value['conversation'], 'hex')), gone: value['gone'] === true }
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
