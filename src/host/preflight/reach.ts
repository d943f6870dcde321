// Whether a server can be reached from this machine: its name, its port, its answer. Nothing is told it and nothing believed.

import { lookup } from 'node:dns/promises'
import { request } from 'node:https'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import { REACH_MS_MAX } from './limits.ts'

export interface ReachFacts {
  readonly url: string
  readonly resolved: string | undefined
  /** Milliseconds to its answer. */
  readonly answeredMs: number | undefined
  readonly isHeliopause: boolean
  /** Its clock, when it tells. */
  readonly dateMs: number | undefined
  readonly problem: string | undefined
}

/** `url`: `https://host:port`. */
export const reach = async ({ clock }: { readonly clock: Pick<Clock, 'mono'> }, url: string): Promise<ReachFacts> => {
  const { hostname } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const none = { url, resolved: undefined, answeredMs: undefined, isHeliopause: false, dateMs: undefined }
  let resolved: string
  try {
    resolved = (await lookup(host)).address
  } catch (error) {
    return { ...none, problem: messageOf(error) }
  }
  const began = clock.mono()
  return new Promise(resolve => {
    // Nothing is told and nothing believed: whether it is the right server is for joining to find out.
    const call = request(new URL('/heliopause.io/v1/ca', url), { rejectUnauthorized: false, timeout: REACH_MS_MAX }, response => {
      response.resume()
      const dateMs = Date.parse(response.headers.date ?? '')
      resolve({
        url,
        resolved,
        answeredMs: Math.round(clock.mono() - began),
        isHeliopause: response.statusCode === 200,
        dateMs: Number.isNaN(dateMs) ? undefined : dateMs,
        problem: undefined,
      })
    })
    call.on('timeout', () => call.destroy(new Error(`no answer within ${REACH_MS_MAX / 1000} s`)))
    call.on('error', error => resolve({ ...none, resolved, problem: messageOf(error) }))
    call.end()
  })
}
