// The server's one connection to a broker, kept up with full jitter. Conversations outlive it: what was not confirmed goes out again on
// the next, what the broker kept for us comes in, and what got lost on the way ends only the conversation it belonged to.

import { jitteredMs } from '../../base/backoff.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { BROKER_CLOSE_MS, BROKER_KEEPALIVE_SECONDS, BROKER_RETRY, BROKER_SESSION_SECONDS, DIAL_TIMEOUT_MS } from '../limits.ts'
import { type BrokerDesk, type BrokerDeskDeps, createBrokerDesk } from './broker-desk.ts'
import type { BrokerLine, OpenLine } from './broker-line.ts'
import { BrokerOutbox } from './broker-outbox.ts'
import { BROKER_CLIENT_NAME, everyBrokerTopic } from './broker-topics.ts'

export interface BrokerServerDeps extends Omit<BrokerDeskDeps, 'publish' | 'clock'> {
  readonly clock: Clock
  readonly random: Random
  readonly open: OpenLine
}

export interface BrokerServer {
  readonly connected: boolean
  /** Why there is no connection; undefined when there is one. */
  readonly lastError: string | undefined
  readonly conversations: number
  /** See BrokerDesk. */
  isAway(device: string): boolean
  retain(device: string, head: string): void
  /** The node was deleted: its conversation ends, and what the broker keeps of it is removed. */
  forget(device: string): void
  /** Ends what the hub has not ended, and settles when the broker has it, or after BROKER_CLOSE_MS. */
  close(): Promise<void>
}

interface State {
  readonly deps: BrokerServerDeps
  readonly outbox: BrokerOutbox
  readonly desk: BrokerDesk
  readonly random: Random
  readonly stop: AbortController
  line: BrokerLine | undefined
  lastError: string | undefined
  attempt: number
  /** The one attempt under way. */
  opening: Promise<void>
}

const lost = (state: State, line: BrokerLine | undefined, reason: string): void => {
  if (state.line !== line || state.stop.signal.aborted) return
  state.line = undefined
  state.outbox.detach()
  const { deps } = state
  if (line) deps.log.info('broker lost', { reason })
  else if (state.lastError !== reason) deps.log.error('broker not reached', { error: reason })
  state.lastError = reason
  deps.clock.after(jitteredMs(BROKER_RETRY, state.attempt++, state.random), () => {
    if (!state.stop.signal.aborted) state.opening = connect(state)
  })
}

const established = async (state: State, signal: AbortSignal): Promise<BrokerLine> => {
  const { deps, desk } = state
  const line = await deps.open(
    { clientId: BROKER_CLIENT_NAME, cleanStart: false, sessionSeconds: BROKER_SESSION_SECONDS, keepaliveSeconds: BROKER_KEEPALIVE_SECONDS },
    signal,
  )
  line.onMessage = (topic, payload, retained) => desk.take(topic, payload, retained)
  line.onClose = reason => lost(state, line, reason)
  try {
    await line.subscribe([everyBrokerTopic(deps.cluster, 'up'), everyBrokerTopic(deps.cluster, 'alive')])
    return line
  } catch (error) {
    line.close()
    throw error
  }
}

const connect = async (state: State): Promise<void> => {
  const giveUp = new AbortController()
  const stopped = (): void => giveUp.abort()
  state.stop.signal.addEventListener('abort', stopped, { once: true })
  const cancel = state.deps.clock.after(DIAL_TIMEOUT_MS, stopped)
  try {
    const line = await established(state, giveUp.signal)
    if (state.stop.signal.aborted) return line.close()
    state.line = line
    state.lastError = undefined
    state.attempt = 0
    state.deps.log.info('broker connected')
    if (!line.sessionPresent) state.desk.republish()
    state.outbox.attach(line)
    state.desk.check()
  } catch (error) {
    lost(state, undefined, messageOf(error))
  } finally {
    cancel()
    state.stop.signal.removeEventListener('abort', stopped)
  }
}

/** Begins at once and goes on until `close`; a broker that cannot be reached is tried again for ever. */
export const openBrokerServer = (deps: BrokerServerDeps): BrokerServer => {
  const outbox = new BrokerOutbox()
  const state: State = {
    deps,
    outbox,
    desk: createBrokerDesk({ ...deps, publish: (topic, payload, options) => outbox.put(topic, payload, options) }),
    random: deps.random.fork('broker'),
    stop: new AbortController(),
    line: undefined,
    lastError: 'not connected yet',
    attempt: 0,
    opening: Promise.resolve(),
  }
  state.opening = connect(state)
  return {
    get connected() {
      return state.line !== undefined
    },
    get lastError() {
      return state.line ? undefined : state.lastError
    },
    get conversations() {
      return state.desk.conversations
    },
    isAway: device => state.desk.isAway(device),
    retain: (device, head) => state.desk.retain(device, head),
    forget: device => state.desk.forget(device),
    async close() {
      state.desk.close('the server stops')
      if (state.line) {
        const waited = new AbortController()
        await Promise.race([outbox.settled().then(() => waited.abort()), deps.clock.sleep(BROKER_CLOSE_MS, waited.signal)])
      }
      state.stop.abort()
      await state.opening
      state.line?.close()
    },
  }
}
