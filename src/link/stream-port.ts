// A stream as its user sees it, on either side: promises and callbacks around the numbers of the session's mux.

import type { LinkStream } from './link.ts'

/** What the session's machine is told. */
export interface PortActions {
  write(id: number, data: Uint8Array, channel: number): void
  consumed(id: number, data: Uint8Array): void
  end(id: number, error: string | undefined): void
}

/** The open streams of one side of one link. */
export interface Ports {
  open(id: number): LinkStream
  data(id: number, data: Uint8Array, channel: number): void
  writable(id: number): void
  ended(id: number, error: string | undefined): void
}

interface Port {
  readonly stream: LinkStream
  readonly waiters: (() => void)[]
}

export const createPorts = (actions: PortActions, onFault: (error: unknown) => void): Ports => {
  const ports = new Map<number, Port>()
  const wake = (port: Port): void => {
    for (const resolve of port.waiters.splice(0)) resolve()
  }
  const open = (id: number): LinkStream => {
    const isOpen = (): boolean => ports.get(id)?.stream === stream
    const stream: LinkStream = {
      write(data, channel = 0) {
        // After the end nobody reads: the writer goes on and finds out by onEnd.
        if (!isOpen()) return Promise.resolve()
        return new Promise(resolve => {
          ports.get(id)?.waiters.push(resolve)
          actions.write(id, data, channel)
        })
      },
      onData: () => {},
      onEnd: () => {},
      end(error) {
        const port = ports.get(id)
        if (!port || port.stream !== stream) return
        ports.delete(id)
        actions.end(id, error)
        wake(port)
      },
    }
    ports.set(id, { stream, waiters: [] })
    return stream
  }
  return {
    open,
    data(id, data, channel) {
      const port = ports.get(id)
      if (!port) {
        actions.consumed(id, data)
        return
      }
      const fail = (error: unknown): void => {
        onFault(error)
        port.stream.end('read stream: its reader failed')
      }
      try {
        // Credit goes back when the reader is done with the bytes, at once or when its promise settles.
        const taken = port.stream.onData(data, channel)
        if (taken === undefined) actions.consumed(id, data)
        else taken.then(() => actions.consumed(id, data), fail)
      } catch (error) {
        fail(error)
      }
    },
    writable(id) {
      const port = ports.get(id)
      if (port) wake(port)
    },
    ended(id, error) {
      const port = ports.get(id)
      if (!port) return
      ports.delete(id)
      wake(port)
      try {
        port.stream.onEnd(error)
      } catch (fault) {
        onFault(fault)
      }
    },
  }
}
