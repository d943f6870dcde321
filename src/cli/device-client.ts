// HTTP over the agent's Unix socket: one request, one answer, and its failures in words an operator can act on.

import { existsSync, rmSync, symlinkSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { dirname, join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import { PEER_HEADER } from '../kinds/device-shapes.ts'
import { Failure } from './failure.ts'
import { AGENT_MS_MAX, ANSWER_BYTES_MAX } from './limits.ts'
import { withProgress } from './progress.ts'
import type { VerbContext } from './verb.ts'

export const socketOf = (context: Pick<VerbContext, 'dataDir'>): string => join(context.dataDir, 'agent.sock')

/** Bytes of a Unix socket's address on Linux. */
const SOCKET_PATH_BYTES_MAX = 107

/** An agent that was there before starts with its folder alone; otherwise the folder is likely the wrong one. */
const startHint = (dataDir: string): string =>
  existsSync(join(dataDir, 'agent.db'))
    ? `start it: helio agent --data-dir ${dataDir}`
    : `${dataDir} is not the data folder of a device; give --data-dir DIR`

export const failureOf = (path: string, cause: unknown): Failure => {
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return new Failure(`ask the agent at ${path}: no agent is running there`, { cause, hint: startHint(dirname(path)) })
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX)
    return new Failure(`ask the agent at ${path}: the path is longer than ${SOCKET_PATH_BYTES_MAX} bytes`, {
      cause,
      hint: 'use a data directory with a shorter path',
    })
  if (code === 'ETIMEDOUT')
    return new Failure(`ask the agent at ${path}: no answer within ${AGENT_MS_MAX / 1000} s`, {
      cause,
      hint: 'the agent hangs or is stopped: end it and start it again; its pods go on running meanwhile',
    })
  if (code === 'EACCES')
    return new Failure(`ask the agent at ${path}: permission denied`, {
      cause,
      hint: 'run as root, as the user the agent runs as, or as a member of its --socket-group',
    })
  if (code === 'ECONNRESET' || code === 'EPIPE')
    return new Failure(`ask the agent at ${path}: it ended before it answered`, {
      cause,
      hint: 'what was asked may be done or not: once it runs again, see helio device status',
    })
  return new Failure(`ask the agent at ${path}: ${messageOf(cause)}`, { cause })
}

export const textOf = async (response: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX) throw new Failure(`read answer: more than ${ANSWER_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** The agent's own words, when its answer has them. */
export const refusalOf = (text: string, code: number): Failure => {
  try {
    const value: unknown = JSON.parse(text)
    if (isObject(value) && typeof value['error'] === 'string')
      return new Failure(value['error'], { hint: typeof value['hint'] === 'string' ? value['hint'] : undefined })
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  return new Failure(`the agent answered ${code}: ${text.trim().slice(0, 300)}`)
}

export type DeviceContext = Pick<VerbContext, 'dataDir' | 'signal' | 'deps' | 'output'>

export interface DeviceAsk {
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: unknown
  /** What is waited for, told after a second; the agent, unless the request itself takes its time. */
  readonly waiting?: string
  /** How long the answer may take to begin. */
  readonly waitMsMax?: number
}

/** A 2xx answer of the agent as it arrives. */
export const askDevice = async (context: DeviceContext, method: string, path: string, ask: DeviceAsk = {}): Promise<IncomingMessage> => {
  const given = Object.entries(ask.query ?? {}).filter((pair): pair is [string, string] => pair[1] !== undefined)
  const target = given.length === 0 ? path : `${path}?${new URLSearchParams(given).toString()}`
  const socketPath = socketOf(context)
  const { clock } = context.deps
  const body = ask.body === undefined ? undefined : JSON.stringify(ask.body)
  const response = await withProgress(
    context.output,
    clock,
    ask.waiting ?? `waiting for the agent at ${socketPath}`,
    () =>
      new Promise<IncomingMessage>((resolve, reject) => {
        const call = request({ socketPath, method, path: target, headers: ask.headers, signal: context.signal, agent: false })
        const cancel = clock.after(ask.waitMsMax ?? AGENT_MS_MAX, () =>
          call.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })),
        )
        call.on('response', answer => {
          cancel()
          resolve(answer)
        })
        call.on('error', error => {
          cancel()
          reject(context.signal.aborted ? context.signal.reason : failureOf(socketPath, error))
        })
        call.end(body)
      }),
  )
  const code = response.statusCode ?? 0
  if (code >= 200 && code < 300) return response
  throw refusalOf(await textOf(response), code)
}

const objectOf = async (response: IncomingMessage, path: string): Promise<Record<string, unknown>> => {
  const value: unknown = JSON.parse(await textOf(response))
  if (!isObject(value)) throw new Failure(`read answer of ${path}: not an object`)
  return value
}

export const deviceJson = async (context: DeviceContext, path: string): Promise<Record<string, unknown>> =>
  objectOf(await askDevice(context, 'GET', path), path)

const NONCE = /^[0-9a-f-]{36}$/

/** Runs a request that acts, with the header that proves whose it is: a link named by the agent's nonce, gone afterwards. */
export const proven = async <T>(context: DeviceContext, act: (headers: Readonly<Record<string, string>>) => Promise<T>): Promise<T> => {
  const { nonce } = await objectOf(await askDevice(context, 'POST', '/v1/peer'), '/v1/peer')
  if (typeof nonce !== 'string' || !NONCE.test(nonce)) throw new Failure('read answer of /v1/peer: not a nonce')
  const path = join(context.dataDir, 'peer', nonce)
  try {
    symlinkSync(nonce, path)
  } catch (error) {
    // Without proof the agent judges by the socket's mode, and says so when that is not enough.
    if (!(error instanceof Error && 'code' in error)) throw error
    return act({})
  }
  try {
    return await act({ [PEER_HEADER]: nonce })
  } finally {
    rmSync(path, { force: true })
  }
}

/** Asks the agent to do something; its answer. */
export const deviceAct = (
  context: DeviceContext,
  path: string,
  body: unknown,
  options: Pick<DeviceAsk, 'waiting' | 'waitMsMax'> = {},
): Promise<Record<string, unknown>> =>
  proven(context, async headers => objectOf(await askDevice(context, 'POST', path, { headers, body, ...options }), path))
