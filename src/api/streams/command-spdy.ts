// exec and attach over SPDY: one stream per channel, told apart by the header streamType. Source: k8s remotecommand v1 to v4, which differ
// in how the end is told (v4: a Status) and in the stream for the terminal's size (v3).

import type { Duplex } from 'node:stream'
import type { Clock } from '../../base/clock.ts'
import { ApiError, type Status, toStatus } from '../../base/errors.ts'
import { type CommandClient, type CommandInput, type CommandOptions, statusText } from './command.ts'
import { STREAM_CREATE_MS_MAX, STREAM_IDLE_MS_MAX } from './limits.ts'
import { watchIdle } from './pace.ts'
import { CHANNELS } from './pod-stream.ts'
import { openSpdy, type SpdyStream } from './spdy.ts'

/** By what a client may ask; v5 adds nothing to SPDY. */
const VERSIONS: Readonly<Record<string, number>> = {
  'v5.channel.k8s.io': 5,
  'v4.channel.k8s.io': 4,
  'v3.channel.k8s.io': 3,
  'v2.channel.k8s.io': 2,
  'channel.k8s.io': 1,
}

/** The first protocol of the client's list that is known here; clients that name none speak the first version. */
export const commandProtocol = (asked: readonly string[]): string | undefined =>
  asked.length === 0 ? 'channel.k8s.io' : asked.find(name => Object.hasOwn(VERSIONS, name))

type Named = 'error' | 'stdin' | 'stdout' | 'stderr' | 'resize'

const expectedStreams = (options: CommandOptions, version: number): readonly Named[] => [
  'error',
  ...(options.stdin ? (['stdin'] as const) : []),
  ...(options.stdout ? (['stdout'] as const) : []),
  ...(options.stderr ? (['stderr'] as const) : []),
  ...(options.tty && version >= 3 ? (['resize'] as const) : []),
]

interface Wiring {
  readonly socket: Duplex
  readonly head: Buffer
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly protocol: string
  readonly options: CommandOptions
  /** Begins the command, once the client has all its streams. */
  readonly run: (client: CommandClient) => CommandInput
  readonly onClose: () => void
}

/** Speaks with one client until the command has ended or the client is gone. */
export const serveCommandSpdy = ({ socket, head, clock, protocol, options, run, onClose }: Wiring): void => {
  const version = VERSIONS[protocol] ?? 1
  const expected = expectedStreams(options, version)
  const streams = new Map<string, SpdyStream>()
  const state: { begun: boolean; over: boolean } = { begun: false, over: false }
  const input: { readonly ready: Promise<CommandInput>; begin: (input: CommandInput) => void; live: CommandInput | undefined } = (() => {
    const box: { begin: (input: CommandInput) => void } = { begin: () => undefined }
    const ready = new Promise<CommandInput>(resolve => {
      box.begin = resolve
    })
    return { ready, begin: given => box.begin(given), live: undefined }
  })()

  const finish = (status: Status): void => {
    if (state.over) return
    const text = version >= 4 ? JSON.stringify(status) : statusText(status)
    const written = streams.get('error')?.write(Buffer.from(text)) ?? Promise.resolve()
    for (const stream of streams.values()) stream.end()
    // The end of the connection goes out behind all that; a client that does not read has the idle time.
    written.then(
      () => connection.close(),
      () => connection.close(),
    )
  }
  const client: CommandClient = {
    write: (channel, data) => streams.get(channel === CHANNELS.stdout ? 'stdout' : 'stderr')?.write(data) ?? Promise.resolve(),
    finish,
  }
  const begin = (): void => {
    if (state.begun || !expected.every(name => streams.has(name))) return
    state.begun = true
    cancel()
    input.live = run(client)
    input.begin(input.live)
  }
  const cancel = clock.after(STREAM_CREATE_MS_MAX, () =>
    finish(toStatus(new ApiError('Timeout', 'timed out waiting for client to create streams'))),
  )
  const idle = watchIdle(clock, STREAM_IDLE_MS_MAX, () => socket.destroy())
  const connection = openSpdy(socket, head, {
    clock,
    onStream(stream) {
      const name = stream.headers.get('streamtype') ?? ''
      if (!(expected as readonly string[]).includes(name) || streams.has(name)) return stream.end()
      streams.set(name, stream)
      if (name === 'stdin') {
        stream.onData = async data => (await input.ready).stdin(data)
        stream.onEnd = () => void input.ready.then(live => live.stdin(new Uint8Array(0)))
      } else if (name === 'resize') stream.onData = async data => (await input.ready).resize(data)
      begin()
    },
    onTraffic: idle.touch,
    onClose() {
      state.over = true
      cancel()
      idle.close()
      input.live?.gone()
      onClose()
    },
  })
}
