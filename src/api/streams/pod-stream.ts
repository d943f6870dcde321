// What the API asks of the link for exec, attach and port-forward: one stream to the device a pod runs on. The server wires it.

import type { KubeObject } from '../../base/object.ts'

/** A byte stream with channels, flow-controlled. Channels of commands: 0 to 2 as descriptors, 3 the status at the end, 4 the terminal's size. */
export interface PodStream {
  /** Settles when the device has room again, or the stream is over (then the data is dropped). Empty data ends its channel. Never rejects. */
  write(data: Uint8Array, channel?: number): Promise<void>
  /** A returned promise holds back the device until it settles. */
  onData: (data: Uint8Array, channel: number) => Promise<void> | void
  /** Called once, when the device ended the stream or the connection to it broke; not after one's own `end`. */
  onEnd: (error: string | undefined) => void
  end(error?: string): void
}

export type PodStreamRequest =
  | {
      readonly do: 'exec'
      readonly pod: KubeObject
      readonly container: string
      readonly command: readonly string[]
      readonly tty: boolean
      readonly stdin: boolean
    }
  | { readonly do: 'attach'; readonly pod: KubeObject; readonly container: string; readonly stdin: boolean }
  | { readonly do: 'portForward'; readonly pod: KubeObject; readonly port: number }

export interface PodStreams {
  /** Throws ServiceUnavailable, saying when the device was last seen, when the pod's device is not connected. */
  check(pod: KubeObject): void
  /** Handlers must be set before anything else is awaited. Rejects with ApiError. */
  open(request: PodStreamRequest): Promise<PodStream>
}

/** Channels of a command's stream. */
export const CHANNELS = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4 } as const

/** Ends a stream whose client has gone: at once, not behind input that nobody may ever read. */
export const GONE = 'the client is gone'
