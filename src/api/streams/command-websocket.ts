// exec and attach over a WebSocket: one connection, the channel's number before each message. v5 can end the input alone; v4 and v5 end with
// a Status, the older ones with a text. Source: k8s remotecommand websocket; kubectl ≥ 1.31 (v5), the conformance tests (channel.k8s.io).

import type { WebSocket } from 'ws'
import type { Clock } from '../../base/clock.ts'
import { type CommandClient, type CommandInput, type CommandOptions, statusText } from './command.ts'
import { CHANNELS } from './pod-stream.ts'
import { openChannels } from './websocket.ts'

/** '' is a client that names none. */
const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io', 'channel.k8s.io', 'base64.channel.k8s.io', '']

/** The first protocol of the client's list that is known here. */
export const commandSubprotocol = (offered: readonly string[]): string | undefined =>
  offered.length === 0 ? '' : offered.find(name => PROTOCOLS.includes(name))

interface Wiring {
  readonly socket: WebSocket
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly protocol: string
  readonly options: CommandOptions
  readonly run: (client: CommandClient) => CommandInput
  readonly onClose: () => void
}

/** Speaks with one client until the command has ended or the client is gone. */
export const serveCommandWebSocket = ({ socket, clock, protocol, options, run, onClose }: Wiring): void => {
  const wantsStatus = protocol.startsWith('v4.') || protocol.startsWith('v5.')
  const box: { input: CommandInput | undefined } = { input: undefined }
  const channels = openChannels(socket, protocol, clock, {
    onData: (channel, data) =>
      channel === CHANNELS.stdin ? box.input?.stdin(data) : channel === CHANNELS.resize ? box.input?.resize(data) : undefined,
    onEnd: channel => {
      if (channel === CHANNELS.stdin) box.input?.stdin(new Uint8Array(0)).catch(() => socket.terminate())
    },
    onClose() {
      box.input?.gone()
      onClose()
    },
  })
  // An empty message tells the client that it is connected.
  const first = options.stdout ? CHANNELS.stdout : options.stderr ? CHANNELS.stderr : CHANNELS.status
  const greeted = channels.send(first, new Uint8Array(0))
  box.input = run({
    write: (channel, data) => channels.send(channel, data),
    finish(status) {
      const text = wantsStatus ? JSON.stringify(status) : statusText(status)
      const said = text === '' ? greeted : channels.send(CHANNELS.status, Buffer.from(text))
      said.then(channels.close, channels.close)
    },
  })
}
