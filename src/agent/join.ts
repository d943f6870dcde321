// Joining: a device that holds a token becomes a node. The token pins the server's authority, so the first connection needs no trust and
// no clock; the device's key is on disk before the server hears of it, so a power cut at any moment only means asking again.
// Token: `helio1.<hex sha256 of the authority's public key>.<secret>`. DESIGN invariants 6 and 8.

import { type Clock, timestamp } from '../base/clock.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Pki } from '../base/pki.ts'
import type { DeviceIdentity } from './memory.ts'
import { answerFields, callServer } from './server-call.ts'

export interface JoinRequest {
  /** `https://host:port`. */
  readonly server: string
  readonly token: string
  readonly nodeName: string
  readonly labels?: Readonly<Record<string, string>>
}

export interface JoinDeps {
  readonly pki: Pick<Pki, 'createRequest' | 'publicKeyPin'>
  readonly clock: Pick<Clock, 'now' | 'after'>
  readonly signal: AbortSignal
  /** The request of an earlier attempt, kept until the identity is saved. */
  readonly pending: () => { readonly requestPem: string; readonly keyPem: string } | undefined
  /** Durable when it settles. */
  readonly savePending: (pending: { readonly requestPem: string; readonly keyPem: string }) => Promise<void>
}

const refused = (message: string, hint: string, cause?: unknown): ApiError => new ApiError('Forbidden', message, { hint, cause })

/** Hex SHA-256 of the authority's public key. Throws when the token is none. */
export const pinOf = (token: string): string => {
  const match = /^helio1\.([0-9a-f]{64})\.[\x21-\x7e]+$/.exec(token.trim())
  if (!match) throw refused('join: this is not a join token', 'copy the whole token from the server: cat DIR/join-token')
  return match[1] ?? ''
}

const fetchAuthority = async (server: URL, pin: string, deps: JoinDeps): Promise<string> => {
  const { status, text } = await callServer({ url: new URL('/heliopause.io/v1/ca', server), method: 'GET' }, deps)
  if (status !== 200) throw refused(`join: ${server.origin} answered ${status} for its authority`, 'is this a Heliopause server?')
  const found = ((): string => {
    try {
      return deps.pki.publicKeyPin(text)
    } catch (error) {
      throw refused(`join: ${server.origin} sent no certificate`, 'is this a Heliopause server?', error)
    }
  })()
  if (found !== pin)
    throw refused(`join: ${server.origin} is not the server the token was made by`, 'check --server, or take the token from that server')
  return text
}

/** One attempt. Rejects with an ApiError of one line and a hint. The key made for it is kept for the next attempt. */
export const join = async (asked: JoinRequest, deps: JoinDeps): Promise<DeviceIdentity> => {
  const pin = pinOf(asked.token)
  const server = serverUrl(asked.server)
  try {
    const ca = await fetchAuthority(server, pin, deps)
    const pending = deps.pending() ?? deps.pki.createRequest(`system:node:${asked.nodeName}`)
    await deps.savePending(pending)
    const body = JSON.stringify({
      token: asked.token.trim(),
      nodeName: asked.nodeName,
      csr: pending.requestPem,
      ...(asked.labels ? { labels: asked.labels } : {}),
    })
    const { status, text } = await callServer({ url: new URL('/heliopause.io/v1/join', server), method: 'POST', body, ca }, deps)
    const answer = answerFields(text)
    if (status < 200 || status > 299)
      throw refused(
        `join: the server refused: ${String(answer['message'] ?? `status ${status}`)}`,
        String(answer['hint'] ?? 'see the server’s log'),
      )
    const field = (name: string): string => {
      const value = answer[name]
      if (typeof value !== 'string' || value === '')
        throw refused(`join: the server's answer has no ${name}`, 'are both sides of the same version?')
      return value
    }
    return {
      nodeName: field('node'),
      server: server.origin,
      linkPath: field('linkPath'),
      clusterCIDR: field('clusterCIDR'),
      ca: field('ca'),
      certificate: field('certificate'),
      key: pending.keyPem,
      headKey: field('headKey'),
      issuedAt: timestamp(deps.clock.now()),
      ...(isPort(answer['mqttPort']) ? { mqttPort: answer['mqttPort'] } : {}),
      ...(isBrokerUrl(answer['mqttBroker']) ? { mqttBroker: answer['mqttBroker'] } : {}),
    }
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw new ApiError('ServiceUnavailable', `join ${server.origin}: ${messageOf(error)}`, {
      cause: error,
      hint: 'the pods run meanwhile; check the address and the network',
    })
  }
}

const isBrokerUrl = (value: unknown): value is string => typeof value === 'string' && /^mqtts:\/\/[^/@?#\s]{1,300}$/.test(value)

const isPort = (value: unknown): value is number => Number.isInteger(value) && Number(value) > 0 && Number(value) < 65_536

const serverUrl = (text: string): URL => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:')
    throw refused(`join: ${JSON.stringify(text)} is not an https URL`, 'for example --server https://server:6443')
  return url
}
