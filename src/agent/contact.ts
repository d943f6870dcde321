// The device's way to its server: join while there is no identity, then hold the link. Nothing here is needed for pods to run; it begins
// after they were asked for and fails quietly, for ever if need be. DESIGN section 7.

import { jitteredMs } from '../base/backoff.ts'
import type { FlooredClock } from '../base/clock-floor.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { Random } from '../base/random.ts'
import type { DeviceEvent, DeviceLink, DeviceLinkDeps, ProfileName, TelemetryItem } from '../link/link.ts'
import { join, pinOf } from './join.ts'
import { EARLY_EVENTS_MAX, JOIN_BACKOFF } from './limits.ts'
import type { AgentMemory, DeviceIdentity } from './memory.ts'
import { createRenewal, type Renewal } from './renewal.ts'
import { isKeptUplink, type KeptUplink } from './uplink.ts'

const UPLINK_FACT = 'uplink'

/** What the agent gives to the link; the rest (dialer, keys) is wired outside, from the identity. */
export type LinkHooks = Pick<
  DeviceLinkDeps,
  'memory' | 'outbox' | 'uplink' | 'contactIntervalMs' | 'onDocument' | 'onStream' | 'onContact' | 'onRefused' | 'onServerTime'
>

export interface ContactDeps {
  readonly clock: FlooredClock
  readonly random: Random
  readonly log: Log
  readonly pki: Pick<Pki, 'createRequest' | 'requestFor' | 'publicKeyPin' | 'distrust' | 'inspect'>
  readonly memory: AgentMemory
  readonly nodeName: string
  readonly labels: Readonly<Record<string, string>>
  /** Where and how to join; left out when the device has joined before or shall stay alone. */
  readonly join?: { readonly server: string; readonly token?: string }
  /** What the link may cost where nobody at the device has said; `lan` when left out. */
  readonly profile?: ProfileName
  /** Kept with the identity that joining makes. */
  readonly ways?: DeviceIdentity['ways']
  /** An identity is on disk that was not there before. */
  readonly joined?: (identity: DeviceIdentity) => void
  readonly openLink: (identity: DeviceIdentity, hooks: LinkHooks) => DeviceLink
  readonly hooks: LinkHooks
}

export interface Contact {
  readonly link: DeviceLink | undefined
  /** Why joining failed the last time. */
  readonly lastError: string | undefined
  report(key: string, value: unknown): void
  event(event: Omit<DeviceEvent, 'cursor'>): void
  /** Dropped while the device has never joined. */
  telemetry(item: Omit<TelemetryItem, 'cursor'>): void
  /** The way out in use, and how often the device calls; settles when it is kept. It holds at once. */
  setUplink(kept: KeptUplink): Promise<void>
  readonly uplink: KeptUplink
  close(): Promise<void>
}

/** The identity to use as it stands: the one on disk, unless a token for another server was given. */
const knownIdentity = ({ memory, join: asked, pki, log }: ContactDeps): DeviceIdentity | undefined => {
  const { identity } = memory
  if (!identity || !asked) return identity
  if (asked.token !== undefined && pinOf(asked.token) !== pki.publicKeyPin(identity.ca)) {
    log.info('the token is for another server: joining that', { server: asked.server })
    return undefined
  }
  // The address may have changed; who the server is has not.
  return { ...identity, server: new URL(asked.server).origin }
}

interface PendingKey {
  readonly requestPem: string
  readonly keyPem: string
}

const isPending = (value: unknown): value is PendingKey =>
  typeof value === 'object' &&
  value !== null &&
  'requestPem' in value &&
  typeof value.requestPem === 'string' &&
  'keyPem' in value &&
  typeof value.keyPem === 'string'

/** One attempt, with the key of the attempts before: a server that answered and was not heard finds the same device again. */
const joinOnce = async (deps: ContactDeps, server: string, token: string, signal: AbortSignal): Promise<DeviceIdentity> => {
  const { memory, nodeName, labels } = deps
  const pendingKey = `pending/${pinOf(token)}/${nodeName}`
  const pending = (): PendingKey | undefined => {
    const kept = memory.fact(pendingKey)
    return isPending(kept) ? kept : undefined
  }
  const savePending = (made: PendingKey): Promise<void> => memory.saveFact(pendingKey, made)
  const got = await join({ server, token, nodeName, labels }, { pki: deps.pki, clock: deps.clock, signal, pending, savePending })
  const identity = deps.ways && Object.keys(deps.ways).length > 0 ? { ...got, ways: deps.ways } : got
  await memory.saveIdentity(identity)
  deps.joined?.(identity)
  return identity
}

const KEY_LOST = 'the key of this device’s stored state was lost, and its identity with it; what runs goes on running'
/** The same node for a new key: its pods stay its own, and the document comes again. */
const keyLostHint = (nodeName: string): string =>
  `put the key file back; or on the server kubectl annotate node ${nodeName} heliopause.io/public-key-sha256- and start the agent once with --server and --token`

/** Retried for ever: the pods run meanwhile. Undefined when no time is left; throws when there is nowhere to join. */
const joinAtLast = async (
  deps: ContactDeps,
  failed: (error: unknown) => void,
  signal: AbortSignal,
): Promise<DeviceIdentity | undefined> => {
  if (!deps.join)
    throw new ApiError('BadRequest', deps.memory.keyLost ? `join: ${KEY_LOST}` : 'join: this device has never joined a server', {
      hint: deps.memory.keyLost ? keyLostHint(deps.nodeName) : 'start the agent once with --server https://HOST:6443 and --token TOKEN',
    })
  const { server, token } = deps.join
  if (token === undefined)
    throw new ApiError('BadRequest', deps.memory.keyLost ? `join: ${KEY_LOST}` : 'join: this device has never joined and got no token', {
      hint: deps.memory.keyLost ? keyLostHint(deps.nodeName) : 'give --token, from DIR/join-token on the server',
    })
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const identity = await joinOnce(deps, server, token, signal)
      deps.log.info('joined', { node: identity.nodeName, server: identity.server })
      return identity
    } catch (error) {
      if (!signal.aborted) failed(error)
    }
    await deps.clock.sleep(JOIN_BACKOFF.baseMs + jitteredMs(JOIN_BACKOFF, attempt, deps.random), signal)
  }
  return undefined
}

/** The node of this device was deleted: who started the agent with a token wants it back, once a start and before any contact. */
const joinAgain = async (deps: ContactDeps, { server }: DeviceIdentity, signal: AbortSignal): Promise<DeviceIdentity | undefined> => {
  const token = deps.join?.token
  if (token === undefined) return undefined
  const identity = await joinOnce(deps, server, token, signal)
  deps.log.info('joined again', { node: identity.nodeName, server })
  return identity
}

export const openContact = (deps: ContactDeps): Contact => {
  const { log, memory, hooks } = deps
  const stop = new AbortController()
  const values = new Map<string, unknown>()
  const events: Omit<DeviceEvent, 'cursor'>[] = []
  const keptUplink = memory.fact(UPLINK_FACT)
  const state: {
    link: DeviceLink | undefined
    uplink: KeptUplink
    renewal: Renewal | undefined
    lastError: string | undefined
    rejoining: Promise<void> | undefined
  } = {
    link: undefined,
    uplink: isKeptUplink(keptUplink) ? keptUplink : { uplink: { uplink: 'default', profile: deps.profile ?? 'lan' } },
    renewal: undefined,
    lastError: undefined,
    rejoining: undefined,
  }

  const openLink = (identity: DeviceIdentity): void => {
    if (stop.signal.aborted) return
    const renewal = createRenewal(deps, identity)
    const onContact = (connected: boolean): void => {
      renewal.contact(connected)
      hooks.onContact?.(connected)
    }
    const link = deps.openLink(renewal.identity, { ...hooks, ...state.uplink, onContact, onRefused: () => refused(identity) })
    state.link = link
    state.renewal = renewal
    for (const [key, value] of values) link.setStatus(key, value)
    for (const event of events.splice(0)) link.addEvent(event)
  }
  const refused = (identity: DeviceIdentity): void => {
    const { link } = state
    if (state.rejoining !== undefined || link === undefined || link.lastContactMs !== undefined) return
    state.rejoining = joinAgain(deps, identity, stop.signal).then(
      async next => {
        if (next === undefined) return
        await Promise.all([link.close(), state.renewal?.close()])
        openLink(next)
      },
      (error: unknown) => (stop.signal.aborted ? undefined : failed('join failed', error)),
    )
  }
  const failed = (message: string, error: unknown): void => {
    state.lastError = messageOf(error)
    log.error(message, { error: state.lastError, hint: error instanceof ApiError ? error.hint : undefined })
  }
  const run = async (): Promise<void> => {
    const known = knownIdentity(deps)
    if (known && known.server !== memory.identity?.server) await memory.saveIdentity(known)
    const identity = known ?? (await joinAtLast(deps, error => failed('join failed', error), stop.signal))
    if (!identity) return
    state.lastError = undefined
    openLink(identity)
  }
  // Never within the caller's own turn: the pods' first steps go before any dialing.
  const running = Promise.resolve()
    .then(run)
    .catch((error: unknown) => failed('no contact with a server', error))
  return {
    get link() {
      return state.link
    },
    get lastError() {
      return state.link ? state.link.lastError : state.lastError
    },
    report(key, value) {
      if (value === null) values.delete(key)
      else values.set(key, value)
      state.link?.setStatus(key, value)
    },
    event(event) {
      if (state.link) return state.link.addEvent(event)
      events.push(event)
      if (events.length > EARLY_EVENTS_MAX) events.shift()
    },
    telemetry: item => state.link?.addTelemetry(item),
    get uplink() {
      return state.uplink
    },
    setUplink(kept) {
      state.uplink = kept
      state.link?.setUplink(kept.uplink)
      state.link?.setContactInterval(kept.contactIntervalMs)
      return memory.saveFact(UPLINK_FACT, kept)
    },
    async close() {
      stop.abort()
      await running
      await state.rejoining
      await Promise.all([state.link?.close(), state.renewal?.close()])
    },
  }
}
