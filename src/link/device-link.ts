// The device's side of the link with real sockets and a real disk: carries out what the machine in session-device.ts decides, no more.

import { isReason, messageOf } from '../base/errors.ts'
import type { Connection, DeviceLink, DeviceLinkDeps, Uplink } from './link.ts'
import { nodeCodec } from './node-codec.ts'
import { parseHead } from './parse.ts'
import { createPump } from './pump.ts'
import { bulkRefusal, type DeviceInput, type DeviceOutput, newDeviceState, stepDevice, usageOf, wakeDeviceAtMs } from './session.ts'
import { createPorts } from './stream-port.ts'
import { createWriter, type Writer } from './writer.ts'

interface Live {
  readonly conn: number
  readonly abort: AbortController
  connection: Connection | undefined
  writer: Writer | undefined
}

const DEFAULT_UPLINK: Uplink = { uplink: 'default', profile: 'lan' }
const RUN_CHARS = 12

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
    run: runName(deps.random),
    random: deps.random.fork('link'),
    codec: nodeCodec(deps.sha256),
    verify: deps.verify,
    uplink: deps.uplink ?? DEFAULT_UPLINK,
    contactMs: deps.contactIntervalMs,
    hasDisk: deps.outbox !== undefined,
  })
  const work = createWork()
  const state: { live: Live | undefined; keeping: Promise<void> } = { live: undefined, keeping: Promise.resolve() }
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
      const live: Live = { conn, abort: new AbortController(), connection: undefined, writer: undefined }
      state.live = live
      work.start(dial(deps, live, put))
    },
    close({ conn, reason }) {
      const { live } = state
      if (live?.conn !== conn) return
      state.live = undefined
      live.abort.abort()
      live.writer?.end()
      live.connection?.close(reason)
    },
    send: ({ text, priority }) => state.live?.writer?.send(text, priority),
    keep({ batch }) {
      state.keeping = state.keeping
        .then(() => deps.outbox?.write(batch))
        .then(
          () => put({ in: 'kept' }),
          (error: unknown) => put({ in: 'keepFailed', message: messageOf(error) }),
        )
      work.start(state.keeping)
    },
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
  const kept = deps.outbox?.load()
  put({ in: 'start', held: deps.memory.load(), ...(kept ? { kept } : {}) })
  deps.dialer.onHead = text => {
    const head = parseHead(text)
    if (head) put({ in: 'retainedHead', head })
    else log.error('retained head', { device: deps.device, error: 'it is no head' })
  }
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
    addTelemetry: item => put({ in: 'telemetry', item }),
    setUplink: uplink => put({ in: 'uplink', uplink }),
    setProfile: profile => put({ in: 'uplink', uplink: { ...session.budget.uplink, profile } }),
    get uplink() {
      return session.budget.uplink
    },
    usage: () => usageOf(session),
    get line() {
      const { phase, conn, keepalive, desired } = session
      return {
        is: phase.is,
        dialAtMs: phase.is === 'waiting' ? phase.dialAtMs : undefined,
        dials: conn,
        keepaliveMs: keepalive.intervalMs,
        fetching: desired.download !== undefined || desired.unsaved !== undefined || desired.saving,
      }
    },
    bulkRefusal: () => bulkRefusal(session.budget, clock.mono()),
    countBulk: (sentBytes, receivedBytes) => put({ in: 'spent', sentBytes, receivedBytes }),
    setContactInterval: ms => put({ in: 'contactInterval', ms }),
    sync: () => put({ in: 'sync' }),
    resume: () => put({ in: 'resume' }),
    async close() {
      put({ in: 'stop' })
      pump.close()
      await work.settled()
    },
  }
}

/** Names one life of the process among all of the device's: short, as it goes out with every hello. */
const runName = (random: DeviceLinkDeps['random']): string => Array.from({ length: RUN_CHARS }, () => random.int(36).toString(36)).join('')

/** One attempt: settles when the connection is open and wired, or has failed. A connection that comes after the machine gave up is closed. */
const dial = async (
  deps: Pick<DeviceLinkDeps, 'dialer' | 'clock' | 'onRefused'>,
  live: Live,
  put: (input: DeviceInput) => void,
): Promise<void> => {
  const { conn, abort } = live
  try {
    const connection = await deps.dialer.dial(abort.signal)
    if (abort.signal.aborted) {
      connection.close('given up')
      return
    }
    live.connection = connection
    live.writer = createWriter(connection, deps.clock)
    connection.onFrame = text => put({ in: 'frame', conn, text })
    connection.onClose = reason => {
      live.writer?.end()
      put({ in: 'closed', conn, reason })
    }
    put({ in: 'opened', conn })
  } catch (error) {
    const refused = isReason(error, 'Forbidden')
    if (refused) deps.onRefused?.()
    put({ in: 'dialFailed', conn, reason: messageOf(error), refused })
  }
}
