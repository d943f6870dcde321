// What is kept at the broker about each device: the conversation it is in, told by the server, and by the device's will that it ended. Said
// without proof, so it is a hint: a will of an older conversation changes nothing, and what nodes that are gone left behind is removed.

import { CONVERSATION_BYTES } from './broker-frames.ts'

export interface Alive {
  readonly conversation: Uint8Array
  /** The connection it was held over is no more. */
  readonly gone: boolean
}

/** Behind the conversation's id. */
const GONE = 0

export const aliveBytes = ({ conversation, gone }: Alive): Uint8Array =>
  gone ? Buffer.concat([conversation, Uint8Array.of(GONE)]) : Uint8Array.from(conversation)

/** Undefined for whatever `aliveBytes` does not make. Never throws. */
export const parseAlive = (payload: Uint8Array): Alive | undefined => {
  const gone = payload.length === CONVERSATION_BYTES + 1 && payload[CONVERSATION_BYTES] === GONE
  if (!gone && payload.length !== CONVERSATION_BYTES) return undefined
  // A copy: it is kept, and would keep the pool it lies in.
  return { conversation: Uint8Array.from(payload.subarray(0, CONVERSATION_BYTES)), gone }
}
