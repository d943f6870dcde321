// The device's side of the link with real sockets and a real disk: carries out what the machine in session-device.ts decides, no more.

import { isReason, messageOf } from '../base/errors.ts'
import { uuid } from '../base/random.ts'
import { PROFILES } from './limits.ts'
import type { Connection, DeviceLink, DeviceLinkDeps } from './link.ts'
import { nodeCodec } from './node-codec.ts'
import { createPump } from './pump.ts'
import { type DeviceInput, type DeviceOutput, newDeviceState, stepDevice, wakeDeviceAtMs } from './session.ts'
import { createPorts } from './stream-port.ts'

interface Live {
  readonly conn: number
  readonly abort: AbortController
  connection: Connection | undefined
}

type Table = { readonly [D in DeviceOutput['do']]: (output: Extract<DeviceOutput, { readonly do: D }>) => void }

/** Dials and saves under way, for `close` to wait for. */
const createWork = () => {
  const running = new Set<Promise<void>>()
  return {
    start(work: Promise<void>): void {
      const done: Promise<void> = work.finally(() => running.delete(done))
      running.add(done)
    },
    settled: async (): Promise<void> => {
      while (running.size > 0) await Promise.allSettled(running)
    },
  }
}

/** Opens the link and keeps it open, dialling whenever it is down, until `close`. Nothing but reports and the first dial goes out unasked. */
export const openDeviceLink = (deps: DeviceLinkDeps): DeviceLink => {
  const { clock, log } = deps
  const session = newDeviceState({
    device: deps.device,
    bootID: deps.bootID,
    run: uuid(deps.random),
    random: deps.random.fork('link'),
    codec: nodeCodec(deps.sha256),
    verify: deps.verify,
    profile: PROFILES[deps.profile ?? 'lan'],
  })
  const work = createWork()
  const state: { live: Live | undefined } = { live: undefined }
  const put = (input: DeviceInput): void => pump.put(input)
  const fault = (error: unknown): void => log.error('link callback failed', { error: messageOf(error) })
  const ports = createPorts(
    {
      write: (id, data, channel) => put({ in: 'write', id, data, channel }),
      consumed: (id, data) => put({ in: 'consumed', id, data }),
      end: (id, error) => put({ in: 'end', id, error }),
    },
    fault,
  )
  const carryOut: Table = {
    dial({ conn }) {
      const live: Live = { conn, abort: new AbortController(), connection: undefined }
      state.live = live
      work.start(dial(deps, live, put))
    },
    close({ conn, reason }) {
      const { live } = state
      if (live?.conn !== conn) return
      state.live = undefined
      live.abort.abort()
      live.connection?.close(reason)
    },
    send: ({ text }) => state.live?.connection?.send(text),
    save({ head, document }) {
      work.start(
        deps.memory.save(head, document).then(
          () => put({ in: 'saved' }),
          (error: unknown) => put({ in: 'saveFailed', message: messageOf(error) }),
        ),
      )
    },
    document: ({ document, head }) => deps.onDocument(document, head),
    contact({ connected }) {
      log.info(connected ? 'link up' : 'link down', { device: deps.device, ...(connected ? {} : { reason: session.lastError }) })
      deps.onContact?.(connected)
    },
    serverTime: ({ time }) => deps.onServerTime?.(time),
    open: ({ id, request }) => deps.onStream(request, ports.open(id)),
    data: ({ id, data, channel }) => ports.data(id, data, channel),
    writable: ({ id }) => ports.writable(id),
    ended: ({ id, error }) => ports.ended(id, error),
    log: ({ level, message, error }) => log[level](message, { device: deps.device, error }),
  }
  const pump = createPump<DeviceInput, DeviceOutput>({
    clock,
    step: (input, nowMs) => stepDevice(session, input, nowMs),
    wakeAtMs: () => wakeDeviceAtMs(session),
    wake: { in: 'wake' },
    carryOut: output => (carryOut[output.do] as (output: DeviceOutput) => void)(output),
  })
  put({ in: 'start', held: deps.memory.load() })
  return {
    get connected() {
      return session.phase.is === 'open'
    },
    get lastContactMs() {
      return session.lastContactMs
    },
    get lastError() {
      return session.lastError
    },
    get conflict() {
      return session.desired.conflict?.message
    },
    setStatus: (key, value) => put({ in: 'status', key, value }),
    addEvent: event => put({ in: 'event', event }),
    sync: () => put({ in: 'sync' }),
    resume: () => put({ in: 'resume' }),
    async close() {
      put({ in: 'stop' })
      pump.close()
      await work.settled()
    },
  }
}

/** One attempt: settles when the connection is open and wired, or has failed. A connection that comes after the machine gave up is closed. */
const dial = async (deps: Pick<DeviceLinkDeps, 'dialer' | 'onRefused'>, live: Live, put: (input: DeviceInput) => void): Promise<void> => {
  const { conn, abort } = live
  try {
    const connection = await deps.dialer.dial(abort.signal)
    if (abort.signal.aborted) {
      connection.close('given up')
      return
    }
    live.connection = connection
    connection.onFrame = text => put({ in: 'frame', conn, text })
    connection.onClose = reason => put({ in: 'closed', conn, reason })
    put({ in: 'opened', conn })
  } catch (error) {
    if (isReason(error, 'Forbidden')) deps.onRefused?.()
    put({ in: 'dialFailed', conn, reason: messageOf(error) })
  }
}
