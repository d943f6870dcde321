// Agents of another release, as far as frames can tell: an older one leaves out what was added as optional, a newer one says things nobody
// here knows. Both have to get along with this server, and the other way round.

import type { Connection } from '../../src/link/link.ts'

const OFFER: ReadonlySet<string> = new Set(['patch'])
/** Fields of a frame that came after the first release, by its type. */
const ADDED: Readonly<Record<string, ReadonlySet<string>>> = {
  hello: new Set(['profile', 'uplink', 'bulk', 'contactIntervalMs']),
  welcome: OFFER,
  head: OFFER,
}

/** A newer agent says something unknown after so many frames. */
const UNKNOWN_EVERY = 7

export type Version = 'same' | 'older' | 'newer'

type Frame = Record<string, unknown>

const older = (frame: Frame): Frame => {
  const added = ADDED[String(frame['t'])]
  return added ? Object.fromEntries(Object.entries(frame).filter(([name]) => !added.has(name))) : frame
}

/** What is sent all day stays as small as it is. */
const isBeat = (frame: Frame): boolean => frame['t'] === 'ping' || frame['t'] === 'pong'

const newer = (frame: Frame): Frame => (isBeat(frame) ? frame : { ...frame, fromTheFuture: { of: [1, 'x', null] } })

/** The device's end of a connection, as its version uses it. */
export const asVersion = (connection: Connection, version: Version): Connection => {
  if (version === 'same') return connection
  const count = { sent: 0 }
  const alter = (text: string): string => JSON.stringify((version === 'older' ? older : newer)(JSON.parse(text) as Frame))
  const hears = { frame: (_text: string): void => {} }
  connection.onFrame = text => hears.frame(alter(text))
  return {
    send(text) {
      connection.send(alter(text))
      if (version === 'newer' && !text.includes('"t":"ping"') && ++count.sent % UNKNOWN_EVERY === 0)
        connection.send(JSON.stringify({ t: 'fromTheFuture', n: count.sent }))
    },
    get queuedBytes() {
      return connection.queuedBytes
    },
    get onFrame() {
      return hears.frame
    },
    set onFrame(fn) {
      hears.frame = fn
    },
    get onClose() {
      return connection.onClose
    },
    set onClose(fn) {
      connection.onClose = fn
    },
    close: reason => connection.close(reason),
  }
}
