// The device's certificate is made new while there is contact: when two thirds of its life are over, or all of it. Key and name stay. The
// old one stays too until the new one has opened a connection; a server takes either. Times are the clock's floor, which after a contact
// is the server's time: what the device's own clock shows makes no certificate look old or young. DESIGN section 7.

import { jitteredMs } from '../base/backoff.ts'
import { type Cancel, parseTimestamp, timestamp } from '../base/clock.ts'
import type { FlooredClock } from '../base/clock-floor.ts'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { Random } from '../base/random.ts'
import { RENEW_AT_SHARE, RENEW_BACKOFF, RENEW_JITTER, RENEWED_DIALS } from './limits.ts'
import type { AgentMemory, DeviceIdentity } from './memory.ts'
import { answerFields, callServer } from './server-call.ts'

const RENEW_PATH = '/heliopause.io/v1/renew'

export interface RenewalDeps {
  readonly clock: FlooredClock
  readonly random: Random
  readonly log: Log
  readonly pki: Pick<Pki, 'requestFor' | 'publicKeyPin' | 'distrust' | 'inspect'>
  readonly memory: Pick<AgentMemory, 'saveIdentity'>
}

export interface Renewal {
  /** As dialers shall see it: `certificate` is the one to show now, asked for at every dial. */
  readonly identity: DeviceIdentity
  /** The link came up or went down. */
  contact(connected: boolean): void
  /** Settles when the question under way has ended. */
  close(): Promise<void>
}

/** When a certificate is to be made new; the jitter is the certificate's own, so that a fleet that joined together does not renew together. */
export const renewAtMs = (identity: DeviceIdentity, pki: Pick<Pki, 'inspect'>, random: Random): number => {
  const { notBeforeMs, notAfterMs } = pki.inspect(identity.certificate)
  const issuedMs = identity.issuedAt === undefined ? Number.NaN : parseTimestamp(identity.issuedAt)
  const fromMs = issuedMs > notBeforeMs && issuedMs < notAfterMs ? issuedMs : notBeforeMs
  const share = RENEW_AT_SHARE * (1 - (RENEW_JITTER * random.fork(`renew/${identity.certificate}`).int(1000)) / 1000)
  return fromMs + (notAfterMs - fromMs) * share
}

/** Asks once; settles with the certificate, checked: this device's name and key, by the pinned authority, for clients, and later than the old one. */
const ask = async (deps: RenewalDeps, identity: DeviceIdentity, signal: AbortSignal): Promise<string> => {
  const { pki, clock } = deps
  const { ca, certificate: cert, key } = identity
  const body = JSON.stringify({ csr: pki.requestFor(`system:node:${identity.nodeName}`, key) })
  const call = { url: new URL(RENEW_PATH, identity.server), method: 'POST' as const, body, ca, client: { cert, key } }
  const { status, text } = await callServer(call, { clock, signal })
  const { certificate, message } = answerFields(text)
  if (status !== 200 || typeof certificate !== 'string')
    throw new Error(`the server answered ${status}: ${String(message ?? 'no certificate')}`)
  const [old, fresh] = [pki.inspect(cert), pki.inspect(certificate)]
  const why =
    pki.distrust(ca, certificate, 'client') ??
    (pki.publicKeyPin(certificate) !== pki.publicKeyPin(cert) ? 'it is for another key' : undefined) ??
    (fresh.commonName !== old.commonName ? `it is for ${fresh.commonName}` : undefined) ??
    (fresh.notAfterMs <= old.notAfterMs ? 'it ends no later than the old one' : undefined)
  if (why !== undefined) throw new Error(`the new certificate is not taken: ${why}`)
  return certificate
}

export const createRenewal = (deps: RenewalDeps, from: DeviceIdentity): Renewal => {
  const { clock, log, random } = deps
  const stop = new AbortController()
  const state = { identity: from, shown: '', dials: 0, failures: 0, connected: false, asking: undefined as Promise<void> | undefined }
  const alarm: { cancel: Cancel } = { cancel: () => undefined }

  /** A renewed certificate goes first; should it not work for a few dials, the next few show the old one, and so on in turn. */
  const shown = (): string => {
    const { renewed, certificate } = state.identity
    state.shown = renewed !== undefined && Math.floor(state.dials++ / RENEWED_DIALS) % 2 === 0 ? renewed.certificate : certificate
    return state.shown
  }
  const save = async (identity: DeviceIdentity): Promise<void> => {
    await deps.memory.saveIdentity(identity)
    state.identity = identity
    state.dials = 0
  }
  /** What opened the connection stays; the other one goes. */
  const settle = async (): Promise<void> => {
    const { renewed, ...rest } = state.identity
    if (renewed === undefined) return
    const worked = state.shown === renewed.certificate
    await save(worked ? { ...rest, certificate: renewed.certificate, issuedAt: renewed.issuedAt } : rest)
    if (worked) log.info('renewed certificate works', { node: rest.nodeName })
    else log.error('renewed certificate did not work and is dropped', { node: rest.nodeName })
  }
  const renew = async (): Promise<void> => {
    await settle()
    const dueAtMs = renewAtMs(state.identity, deps.pki, random)
    if (clock.floor() < dueAtMs) {
      arm(dueAtMs - clock.floor())
      return
    }
    const certificate = await ask(deps, state.identity, stop.signal)
    await save({ ...state.identity, renewed: { certificate, issuedAt: timestamp(clock.floor()) } })
    state.failures = 0
    log.info('certificate renewed', { node: state.identity.nodeName, notAfter: timestamp(deps.pki.inspect(certificate).notAfterMs) })
  }
  const look = (): void => {
    if (!state.connected || stop.signal.aborted || state.asking !== undefined) return
    state.asking = renew()
      .catch((error: unknown) => {
        if (stop.signal.aborted) return
        log.error('certificate not renewed', { error: messageOf(error) })
        arm(RENEW_BACKOFF.baseMs + jitteredMs(RENEW_BACKOFF, state.failures++, random))
      })
      .finally(() => {
        state.asking = undefined
      })
  }
  const arm = (delayMs: number): void => {
    alarm.cancel()
    if (!stop.signal.aborted) alarm.cancel = clock.after(delayMs, look)
  }
  return {
    identity: {
      ...from,
      get certificate() {
        return shown()
      },
    },
    contact(connected) {
      state.connected = connected
      alarm.cancel()
      // The welcome that opened the link has told the time first or tells it in the same breath: looked at afterwards.
      if (connected) alarm.cancel = clock.after(0, look)
    },
    async close() {
      stop.abort()
      alarm.cancel()
      await state.asking
    },
  }
}
