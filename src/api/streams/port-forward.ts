// One forwarded connection between a client, whatever carries it, and a port of a pod: bytes both ways, each direction ends on its own, and
// a line of text when it fails. Source: k8s portforward.

import { messageOf } from '../../base/errors.ts'
import type { KubeObject } from '../../base/object.ts'
import { GONE, type PodStream, type PodStreams } from './pod-stream.ts'

/** The client's ends of one forwarded connection. */
export interface PortClient {
  /** Settles when the client has room again, or is gone. */
  write(data: Uint8Array): Promise<void>
  /** No more data from the pod. */
  end(): void
  /** It is over; with a text when it failed. */
  finish(error: string | undefined): void
}

export interface PortInput {
  /** Empty data is the end of what the client sends. */
  data(data: Uint8Array): Promise<void>
  gone(): void
}

/** Opens the connection; what the client sends meanwhile waits. Failures are told to the client. */
export const forwardPort = (streams: PodStreams, pod: KubeObject, port: number, client: PortClient): PortInput => {
  const state: { gone: boolean; stream: PodStream | undefined } = { gone: false, stream: undefined }
  const open = async (): Promise<void> => {
    try {
      const stream = await streams.open({ do: 'portForward', pod, port })
      state.stream = stream
      if (state.gone) return stream.end(GONE)
      stream.onData = data => (data.length === 0 ? client.end() : client.write(data))
      stream.onEnd = error => client.finish(error)
    } catch (error) {
      client.finish(messageOf(error))
    }
  }
  const opened = open()
  return {
    async data(data) {
      await opened
      await state.stream?.write(data)
    },
    gone() {
      state.gone = true
      state.stream?.end(GONE)
    },
  }
}

/** A port as text; undefined when it is none. */
export const parsePort = (text: string | undefined): number | undefined => {
  const port = /^\d{1,5}$/.test(text ?? '') ? Number(text) : 0
  return port > 0 && port < 65_536 ? port : undefined
}
