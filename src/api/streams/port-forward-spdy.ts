// port-forward over SPDY, raw or inside a WebSocket: two streams a connection, error and data, paired by the header requestID. Source: k8s
// portforward.k8s.io; kubelet's httpStreamHandler.

import type { Duplex } from 'node:stream'
import type { Cancel, Clock } from '../../base/clock.ts'
import type { KubeObject } from '../../base/object.ts'
import { STREAM_CREATE_MS_MAX, STREAM_IDLE_MS_MAX } from './limits.ts'
import { watchIdle } from './pace.ts'
import type { PodStreams } from './pod-stream.ts'
import { forwardPort, type PortInput, parsePort } from './port-forward.ts'
import { openSpdy, type SpdyStream } from './spdy.ts'

export const PORT_FORWARD_PROTOCOL = 'portforward.k8s.io'
/** SPDY frames inside the messages of a WebSocket. Source: kubectl ≥ 1.31. */
export const PORT_FORWARD_TUNNEL = `SPDY/3.1+${PORT_FORWARD_PROTOCOL}`

interface Wiring {
  readonly socket: Duplex
  readonly head: Buffer
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly streams: PodStreams
  readonly pod: KubeObject
  readonly onClose: () => void
}

interface Half {
  readonly error: SpdyStream
  readonly cancel: Cancel
}

/** Streams of a connection belong together by their requestID; the oldest clients name none and open the error stream first. */
const pairOf = (stream: SpdyStream, type: string): string =>
  stream.headers.get('requestid') ?? String(type === 'error' ? stream.id : stream.id - 2)

const join = ({ streams, pod }: Wiring, error: SpdyStream, data: SpdyStream): void => {
  const port = parsePort(data.headers.get('port'))
  const finish = (text: string | undefined): void => {
    if (text !== undefined) error.write(Buffer.from(text)).catch(() => data.end())
    error.end()
    data.end()
  }
  if (port === undefined) {
    finish(`"port" header ${JSON.stringify(data.headers.get('port') ?? '')} is not a port`)
    return
  }
  const input: PortInput = forwardPort(streams, pod, port, { write: bytes => data.write(bytes), end: () => data.end(), finish })
  data.onData = bytes => input.data(bytes)
  data.onEnd = () => {
    input.data(new Uint8Array(0)).catch(() => data.end())
  }
  data.onReset = () => {
    input.gone()
    error.end()
  }
}

/** Forwards the connections of one client until it goes. */
export const servePortForwardSpdy = (wiring: Wiring): void => {
  const { socket, head, clock, onClose } = wiring
  const waiting = new Map<string, Half>()
  const idle = watchIdle(clock, STREAM_IDLE_MS_MAX, () => socket.destroy())
  openSpdy(socket, head, {
    clock,
    onStream(stream) {
      const type = stream.headers.get('streamtype') ?? ''
      const pair = pairOf(stream, type)
      const half = waiting.get(pair)
      if (type === 'error' && half === undefined) {
        const give = (): void => {
          waiting.delete(pair)
          stream.end()
        }
        waiting.set(pair, { error: stream, cancel: clock.after(STREAM_CREATE_MS_MAX, give) })
      } else if (type === 'data' && half !== undefined) {
        half.cancel()
        waiting.delete(pair)
        join(wiring, half.error, stream)
      } else stream.end()
    },
    onTraffic: idle.touch,
    onClose() {
      idle.close()
      for (const { cancel } of waiting.values()) cancel()
      onClose()
    },
  })
}
