// The server's side of all links: carries out what each session's machine decides, admits and replaces connections, and tells sessions
// that a document changed. Liveness stays in memory; nothing here writes to the store.

import { type Cancel, timestamp } from '../base/clock.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import { createAdmission } from './admission.ts'
import { type Bucket, newBucket, takeToken } from './bucket.ts'
import { createDesk } from './desk.ts'
import { createLedger } from './ledger.ts'
import {
  ACCEPT_BURST,
  ACCEPT_RATE_PER_SECOND,
  DEVICE_ACCEPT_BURST,
  DEVICE_ACCEPT_EVERY_MS,
  PONG_TIMEOUT_MS,
  PROFILES,
  RENDER_BATCH_MAX,
  RENDER_DELAY_MS,
  STREAMS_MAX,
  TOGETHER_SLACK_MS,
  WAITING_HELLO_MAX,
  WHOLE_STATUS_BURST,
  WHOLE_STATUS_PER_SECOND,
} from './limits.ts'
import type { Connection, Hub, HubDeps, LinkStream } from './link.ts'
import { type StreamRequest, timeText } from './messages.ts'
import { nodeCodec } from './node-codec.ts'
import { createPump, type Pump } from './pump.ts'
import {
  type Announcement,
  newRecord,
  newServerState,
  type ServerInput,
  type ServerOutput,
  type ServerRecord,
  stepServer,
  wakeServerAtMs,
} from './session.ts'
import { createPorts, type Ports } from './stream-port.ts'
import { createTurns } from './turns.ts'
import { createWriter, type Writer } from './writer.ts'

interface Live {
  readonly device: string
  readonly connection: Connection
  readonly writer: Writer
  readonly record: ServerRecord
  readonly pump: Pump<ServerInput>
  readonly ports: Ports
  /** Callers of openStream whose answer the machine has not given yet. */
  readonly opening: ((id: number | undefined) => void)[]
  over: boolean
}

type Table = { readonly [D in ServerOutput['do']]: (live: Live, output: Extract<ServerOutput, { readonly do: D }>) => void }

const unavailable = (device: string): ApiError =>
  new ApiError('ServiceUnavailable', `reach device ${device}: it is not connected`, {
    hint: 'the device connects again by itself when its network is back; see when it was last seen with: helio get nodes',
  })

/** A document that cannot be rendered is one device's trouble: it keeps what it has, and nobody else notices. */
const rendered = (deps: HubDeps, device: string): ReturnType<HubDeps['render']> => {
  try {
    return deps.render(device)
  } catch (error) {
    deps.log.error('render document', { device, error: messageOf(error) })
    return undefined
  }
}

/** Everything the hub knows, in one place; the functions below work on it. */
const createState = (deps: HubDeps) => {
  const codec = nodeCodec(deps.sha256)
  return {
    codec,
    desk: createDesk({
      epoch: deps.epoch,
      ...(deps.base === undefined ? {} : { base: deps.base }),
      codec,
      sign: deps.sign,
      render: device => rendered(deps, device),
    }),
    admission: createAdmission(deps.acceptRate ?? ACCEPT_RATE_PER_SECOND, ACCEPT_BURST),
    /** Turns to send a whole status. */
    wholes: createAdmission(WHOLE_STATUS_PER_SECOND, WHOLE_STATUS_BURST),
    /** By device. */
    admissions: new Map<string, Bucket>(),
    ledger: createLedger(),
    turns: createTurns(),
    records: new Map<string, ServerRecord>(),
    /** Greeted, one a device. */
    lives: new Map<string, Live>(),
    /** Not greeted yet, at most WAITING_HELLO_MAX a device. */
    waiting: new Map<string, readonly Live[]>(),
    dirty: new Set<string>(),
    flush: undefined as Cancel | undefined,
    sessions: 0,
    closed: false,
  }
}

type State = ReturnType<typeof createState>

const unwait = (state: State, live: Live): void => {
  const rest = (state.waiting.get(live.device) ?? []).filter(other => other !== live)
  if (rest.length > 0) state.waiting.set(live.device, rest)
  else state.waiting.delete(live.device)
}

/** The connection is gone. Only the end of the device's present session is the end of contact. */
const finish = (deps: HubDeps, state: State, live: Live, reason: string, planned = false): void => {
  if (live.over) return
  live.over = true
  live.writer.end()
  live.pump.close()
  unwait(state, live)
  if (state.lives.get(live.device) !== live) return
  state.lives.delete(live.device)
  deps.log.info('device disconnected', { device: live.device, reason })
  deps.onContact(live.device, false, ...(planned ? (['planned'] as const) : []))
}

const greeted = (deps: HubDeps, state: State, live: Live): void => {
  unwait(state, live)
  const older = state.lives.get(live.device)
  state.lives.set(live.device, live)
  if (older) older.pump.put({ in: 'stop', reason: 'a newer connection of this device took over' })
  else {
    deps.log.info('device connected', { device: live.device })
    deps.onContact(live.device, true)
  }
}

/** Runs a callback in the device's turn; its rejection is logged, and the device will be asked again. */
const report = (deps: HubDeps, state: State, live: Live, what: string, work: () => Promise<void>, done: (ok: boolean) => void): void => {
  state.turns.take(live.device, work).then(
    () => done(true),
    (error: unknown) => {
      state.ledger.counts.rejected++
      deps.log.error(`${what} rejected`, { device: live.device, error: messageOf(error) })
      done(false)
    },
  )
}

const tableOf = (deps: HubDeps, state: State): Table => ({
  send: (live, { text, priority }) => live.writer.send(text, priority),
  close(live, { reason, planned }) {
    live.writer.end()
    live.connection.close(reason)
    finish(deps, state, live, reason, planned)
  },
  greeted: live => greeted(deps, state, live),
  offered: (live, { head }) => live.connection.retain?.(JSON.stringify(head)),
  limited(_, { what }) {
    state.ledger.counts[what === 'flood' ? 'floods' : 'held']++
  },
  status(live, { items, whole }) {
    state.ledger.status(live.device, items)
    report(
      deps,
      state,
      live,
      'status',
      () => deps.onStatus(live.device, items, whole),
      ok => live.pump.put({ in: 'statusDone', ok }),
    )
  },
  events(live, { items, dropped }) {
    state.ledger.counts.dropped.events += dropped
    report(
      deps,
      state,
      live,
      'events',
      () => deps.onEvents(live.device, items, dropped),
      ok => live.pump.put({ in: 'eventsDone', ok }),
    )
  },
  telemetry(live, { items, dropped }) {
    state.ledger.counts.dropped.telemetry += dropped
    state.ledger.telemetry(live.device, items)
    report(
      deps,
      state,
      live,
      'telemetry',
      async () => deps.onTelemetry?.(live.device, items, dropped),
      ok => live.pump.put({ in: 'telemetryDone', ok }),
    )
  },
  applied: (live, { generation }) => deps.log.debug('document applied', { device: live.device, generation }),
  refused(live, { why, message }) {
    deps.log.error('head refused', { device: live.device, why, error: message })
    deps.onRefused(live.device, why, message)
  },
  conflict: (live, { conflict, isNews }) => deps.onConflict?.(live.device, conflict, isNews),
  opened: (live, { id }) => live.opening.shift()?.(id),
  data: (live, { id, data, channel }) => live.ports.data(id, data, channel),
  writable: (live, { id }) => live.ports.writable(id),
  ended: (live, { id, error }) => live.ports.ended(id, error),
})

const announcer =
  (deps: HubDeps, state: State, device: string) =>
  (run: string): Announcement => {
    const time = timestamp(deps.clock.now())
    return {
      time,
      timeSig: deps.sign(timeText(device, run, time)),
      herdWindowMs: state.admission.herdWindowMs(state.lives.size),
    }
  }

const recordOf = (state: State, device: string): ServerRecord => {
  const known = state.records.get(device)
  if (known) return known
  const record = newRecord(device)
  state.records.set(device, record)
  return record
}

const begin = (deps: HubDeps, state: State, table: Table, device: string, connection: Connection): Live => {
  const record = recordOf(state, device)
  const announce = announcer(deps, state, device)
  const { desk, codec, wholes } = state
  const session = newServerState({ id: ++state.sessions, record, desk, codec, announce, wholeStatus: wholes.ask }, deps.clock.mono())
  const pump = createPump<ServerInput, ServerOutput>({
    clock: deps.clock,
    step: (input, nowMs) => stepServer(session, input, nowMs),
    wakeAtMs: () => wakeServerAtMs(session),
    wake: { in: 'wake' },
    carryOut: output => (table[output.do] as (live: Live, output: ServerOutput) => void)(live, output),
  })
  const ports = createPorts(
    {
      write: (id, data, channel) => pump.put({ in: 'write', id, data, channel }),
      consumed: (id, data) => pump.put({ in: 'consumed', id, data }),
      end: (id, error) => pump.put({ in: 'end', id, error }),
    },
    error => deps.log.error('stream callback failed', { device, error: messageOf(error) }),
  )
  const writer = createWriter(connection, deps.clock)
  const live: Live = { device, connection, writer, record, pump, ports, opening: [], over: false }
  connection.onFrame = text => pump.put({ in: 'frame', text })
  connection.onClose = reason => {
    pump.put({ in: 'closed', reason })
    finish(deps, state, live, reason)
  }
  // Arms the timer of the greeting.
  pump.put({ in: 'wake' })
  return live
}

const SECOND_MS = 1000

/** The device's own bucket. Only devices that proved to be nodes come here, so there are no more of them than nodes. */
const askOwn = (state: State, device: string, nowMs: number): number => {
  const bucket = state.admissions.get(device) ?? newBucket(DEVICE_ACCEPT_BURST)
  state.admissions.set(device, bucket)
  const waitMs = takeToken(bucket, SECOND_MS / DEVICE_ACCEPT_EVERY_MS, DEVICE_ACCEPT_BURST, nowMs)
  return waitMs === 0 ? 0 : Math.max(SECOND_MS, waitMs)
}

const accept = (deps: HubDeps, state: State, table: Table, device: string, connection: Connection): void => {
  const nowMs = deps.clock.mono()
  const retryAfterMs = state.closed ? 0 : askOwn(state, device, nowMs) || state.admission.ask(nowMs)
  if (state.closed || retryAfterMs > 0) {
    state.ledger.counts.busy++
    if (retryAfterMs > 0) connection.send(JSON.stringify({ t: 'busy', retryAfterMs }))
    connection.close(state.closed ? 'the server stops' : 'the server is busy')
    return
  }
  const earlier = state.waiting.get(device) ?? []
  state.waiting.set(device, [...earlier, begin(deps, state, table, device, connection)])
  if (earlier.length >= WAITING_HELLO_MAX) earlier[0]!.pump.put({ in: 'stop', reason: 'too many connections without hello' })
}

/** Documents are rendered in slices, so that a change that touches every device does not stop the world. */
const schedule = (deps: HubDeps, state: State, delayMs: number): void => {
  state.flush ??= deps.clock.after(delayMs, () => {
    state.flush = undefined
    for (const device of [...state.dirty].slice(0, RENDER_BATCH_MAX)) {
      state.dirty.delete(device)
      state.lives.get(device)?.pump.put({ in: 'changed' })
    }
    if (state.dirty.size > 0) schedule(deps, state, 0)
  })
}

const openStream = async (
  state: State,
  { device, request, allowed }: { readonly device: string; readonly request: StreamRequest; readonly allowed: boolean },
): Promise<LinkStream> => {
  const live = state.lives.get(device)
  if (!live) throw unavailable(device)
  const { terms } = live.record
  if (!terms.bulk && !allowed)
    throw new ApiError('Forbidden', `open stream to device ${device}: its link is ${terms.profile} and carries no bulk unless allowed`, {
      hint: `allow it here with kubectl annotate node ${device} heliopause.io/allow-bulk=true, or on the device for its uplink`,
    })
  return await new Promise<LinkStream>((resolve, reject) => {
    // The port is opened in the same turn as the answer, before any frame of the stream can come.
    live.opening.push(id => {
      if (id !== undefined) resolve(live.ports.open(id))
      else if (live.over) reject(unavailable(device))
      else
        reject(
          new ApiError('TooManyRequests', `open stream to device ${device}: ${STREAMS_MAX} are open`, { hint: 'end one of them first' }),
        )
    })
    live.pump.put({ in: 'openStream', request, allowed })
  })
}

/** The hub of one server process. */
export const createHub = (deps: HubDeps): Hub => {
  const state = createState(deps)
  const table = tableOf(deps, state)
  const everyone = (): Live[] => [...state.lives.values(), ...[...state.waiting.values()].flat()]
  return {
    accept: (device, connection) => accept(deps, state, table, device, connection),
    changed(device) {
      state.desk.changed(device)
      if (!state.lives.has(device)) return
      state.dirty.add(device)
      schedule(deps, state, RENDER_DELAY_MS)
    },
    contact(device) {
      const record = state.records.get(device)
      if (!record || record.session === 0) return undefined
      const { profile, contactMs } = record.terms
      const silentMs = Math.max(0, deps.clock.mono() - record.heardMs)
      return {
        connected: state.lives.has(device),
        silentMs,
        profile,
        togetherMs: 3 * PROFILES[profile].keepaliveMs + PONG_TIMEOUT_MS + TOGETHER_SLACK_MS,
        ...(contactMs === undefined ? {} : { contactIntervalMs: contactMs }),
        ...(record.conflict === undefined ? {} : { conflict: record.conflict }),
      }
    },
    head: device => state.desk.offer(device, null).head,
    applied(device) {
      const held = state.records.get(device)?.held
      return held ? { epoch: held.epoch, generation: held.generation } : undefined
    },
    openStream: (device, request, allowed = deps.bulkAllowed?.(device) ?? false) => openStream(state, { device, request, allowed }),
    usage(device) {
      const record = state.records.get(device)
      return record && record.session !== 0 ? state.ledger.usage(record) : undefined
    },
    telemetry: state.ledger.lastTelemetry,
    get totals() {
      return state.ledger.totals(state.lives.size, state.records.values())
    },
    async resume(device) {
      const live = state.lives.get(device)
      if (!live) throw unavailable(device)
      live.pump.put({ in: 'resume' })
    },
    forget(device) {
      for (const live of everyone()) if (live.device === device) live.pump.put({ in: 'stop', reason: 'the device was removed' })
      state.ledger.forget(device, state.records.get(device))
      state.records.delete(device)
      state.admissions.delete(device)
      state.desk.forget(device)
    },
    get connections() {
      return state.lives.size
    },
    async close() {
      state.closed = true
      state.flush?.()
      for (const live of everyone()) live.pump.put({ in: 'stop', reason: 'the server stops' })
      await state.turns.settled()
    },
  }
}
