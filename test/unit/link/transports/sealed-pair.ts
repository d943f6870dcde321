// A device's and a server's end of one sealed conversation with whatever lies between them: each message is given to `post`, which may
// deliver it when, as often and as changed as it likes.

import type { Clock } from '../../../../src/base/clock.ts'
import { parseBrokerFrame } from '../../../../src/link/transports/broker-frames.ts'
import { keyOf, newEphemeral, seal, sealKeys, type Transcript } from '../../../../src/link/transports/seal.ts'
import { SealedConnection, type SealedPort } from '../../../../src/link/transports/sealed.ts'

export interface SealedEnd {
  readonly connection: SealedConnection
  readonly frames: string[]
  readonly closes: string[]
  /** What the broker hands over. */
  hear(payload: Uint8Array): void
}

export type Post = (from: 'device' | 'server', payload: Uint8Array) => void

export interface SealedPair {
  readonly device: SealedEnd
  readonly server: SealedEnd
  /** A frame under a number of one's own choice, by a device that keeps to nothing. */
  sealUp(sequence: number, frame: string): Uint8Array
}

export const sealedPair = (clock: Pick<Clock, 'after'>, post: Post): SealedPair => {
  const [mine, theirs] = [newEphemeral(), newEphemeral()]
  const transcript: Transcript = {
    cluster: '0123456789abcdef',
    device: 'edge-1',
    conversation: Buffer.from('0102030405060708', 'hex'),
    deviceEphemeral: mine.publicKey,
    certificateDigest: new Uint8Array(32),
  }
  const keys = sealKeys(mine.privateKey, theirs.publicKey, transcript, theirs.publicKey)
  const end = (from: 'device' | 'server', sends: 'up' | 'down'): SealedEnd => {
    const port: SealedPort = {
      clock,
      publish(_, payload) {
        post(from, payload)
        return true
      },
      proven: () => {},
      ended: () => {},
    }
    const connection = new SealedConnection(port, { device: 'edge-1', conversation: transcript.conversation, keys, sends })
    const frames: string[] = []
    const closes: string[] = []
    connection.onFrame = frame => void frames.push(frame)
    connection.onClose = reason => void closes.push(reason)
    return {
      connection,
      frames,
      closes,
      hear(payload) {
        const frame = parseBrokerFrame(payload)
        if (frame?.is === 'sealed') connection.receive(frame)
      },
    }
  }
  return {
    device: end('device', 'up'),
    server: end('server', 'down'),
    sealUp: (sequence, frame) =>
      seal(keyOf(keys, 'up'), transcript.conversation, sequence, Buffer.concat([Buffer.alloc(5), Buffer.from(frame)])),
  }
}
