// port-forward as channels of one WebSocket: two channels a port of the query, data and error, each beginning with the port in two bytes,
// little-endian. A port is one connection. Source: kubelet's portforward websocket (v4); v5 adds the end of one direction.

import type { WebSocket } from 'ws'
import type { Clock } from '../../base/clock.ts'
import type { KubeObject } from '../../base/object.ts'
import { badRequest } from '../refusal.ts'
import { PORTS_MAX } from './limits.ts'
import type { PodStreams } from './pod-stream.ts'
import { forwardPort, type PortInput, parsePort } from './port-forward.ts'
import { openChannels } from './websocket.ts'

const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io', '']

/** The first protocol of the client's list that is known here. */
export const portSubprotocol = (offered: readonly string[]): string | undefined =>
  offered.length === 0 ? '' : offered.find(name => PROTOCOLS.includes(name))

/** The ports of the query, at least one. */
export const queryPorts = (query: URLSearchParams): readonly number[] => {
  const texts = query.getAll('ports').flatMap(each => each.split(','))
  if (texts.length === 0) throw badRequest('query parameter "ports" is required')
  if (texts.length > PORTS_MAX) throw badRequest(`query parameter "ports" names more than ${PORTS_MAX} ports`)
  return texts.map(text => {
    const port = parsePort(text)
    if (port === undefined) throw badRequest(`unable to parse ${JSON.stringify(text)} as a port`)
    return port
  })
}

interface Wiring {
  readonly socket: WebSocket
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly protocol: string
  readonly ports: readonly number[]
  readonly streams: PodStreams
  readonly pod: KubeObject
  readonly onClose: () => void
}

/** Forwards one connection a port until all are over or the client goes. */
export const servePortForwardWebSocket = ({ socket, clock, protocol, ports, streams, pod, onClose }: Wiring): void => {
  const inputs: PortInput[] = []
  const left = { count: ports.length }
  const channels = openChannels(socket, protocol, clock, {
    onData: (channel, data) => (channel % 2 === 0 ? inputs[channel / 2]?.data(data) : undefined),
    onEnd: channel => {
      if (channel % 2 === 0) inputs[channel / 2]?.data(new Uint8Array(0)).catch(() => socket.terminate())
    },
    onClose() {
      for (const input of inputs) input.gone()
      onClose()
    },
  })
  ports.forEach((port, i) => {
    const [data, error] = [i * 2, i * 2 + 1]
    const name = Buffer.alloc(2)
    name.writeUInt16LE(port)
    const named = Promise.all([channels.send(data, name), channels.send(error, name)])
    inputs[i] = forwardPort(streams, pod, port, {
      write: bytes => channels.send(data, bytes),
      end: () => channels.end(data),
      finish(text) {
        const said = text === undefined ? named : channels.send(error, Buffer.from(text))
        const done = (): void => {
          channels.end(data)
          if (--left.count === 0) channels.close()
        }
        said.then(done, done)
      },
    })
  })
}
