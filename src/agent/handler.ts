// Carries out one probe or lifecycle hook: httpGet, tcpSocket, exec, sleep. Always settles, within its time. Source: k8s Probe,
// LifecycleHandler; kubelet's prober for what counts as success.

import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { IntOrString } from '../kinds/meta.ts'
import type { Probe } from '../kinds/pod.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { HandlerTarget } from './action.ts'
import { LAST_WORDS_MS, MESSAGE_CHARS_MAX, PROBE_BODY_BYTES_MAX } from './limits.ts'

export interface HandlerDeps {
  readonly clock: Pick<Clock, 'after' | 'sleep'>
  readonly runtime: Pick<Runtime, 'exec'>
}

export interface Handler {
  readonly exec?: { readonly command?: readonly string[] }
  readonly httpGet?: Probe['httpGet']
  readonly tcpSocket?: Probe['tcpSocket']
  readonly sleep?: { readonly seconds: number }
  readonly grpc?: unknown
}

export interface Answer {
  readonly ok: boolean
  readonly message: string
}

const portOf = (port: IntOrString, target: HandlerTarget): number =>
  typeof port === 'number' ? port : (target.ports[port] ?? (/^\d+$/.test(port) ? Number(port) : 0))

const late = (timeoutMs: number): Answer => ({ ok: false, message: `no answer within ${timeoutMs} ms` })

const httpGet = (get: NonNullable<Probe['httpGet']>, target: HandlerTarget, timeoutMs: number, deps: HandlerDeps): Promise<Answer> =>
  new Promise(resolve => {
    const secure = get.scheme?.toUpperCase() === 'HTTPS'
    const custom = Object.fromEntries((get.httpHeaders ?? []).map(h => [h.name, h.value]))
    const options = {
      host: get.host || target.host,
      port: portOf(get.port, target),
      path: get.path?.startsWith('/') ? get.path : `/${get.path ?? ''}`,
      headers: { 'user-agent': 'kube-probe/1.36', accept: '*/*', connection: 'close', ...custom },
      agent: false as const,
      rejectUnauthorized: false,
    }
    const request = (secure ? httpsRequest : httpRequest)(options, response => {
      const code = response.statusCode ?? 0
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > PROBE_BODY_BYTES_MAX) request.destroy()
      })
      settle(code >= 200 && code < 400 ? { ok: true, message: '' } : { ok: false, message: `HTTP probe failed with statuscode: ${code}` })
      response.on('error', () => request.destroy())
    })
    const cancel = deps.clock.after(timeoutMs, () => {
      settle(late(timeoutMs))
      request.destroy()
    })
    const settle = (answer: Answer): void => {
      cancel()
      resolve(answer)
    }
    request.on('error', error => settle({ ok: false, message: error.message }))
    request.end()
  })

const tcpSocket = (tcp: NonNullable<Probe['tcpSocket']>, target: HandlerTarget, timeoutMs: number, deps: HandlerDeps): Promise<Answer> =>
  new Promise(resolve => {
    const socket = connect({ host: tcp.host || target.host, port: portOf(tcp.port, target) })
    const settle = (answer: Answer): void => {
      cancel()
      socket.destroy()
      resolve(answer)
    }
    const cancel = deps.clock.after(timeoutMs, () => settle(late(timeoutMs)))
    socket.on('connect', () => settle({ ok: true, message: '' }))
    socket.on('error', error => settle({ ok: false, message: error.message }))
  })

const execute = async (command: readonly string[], target: HandlerTarget, timeoutMs: number, deps: HandlerDeps): Promise<Answer> => {
  const session = await deps.runtime.exec(target.id, command, { tty: false, stdin: false })
  const said = { text: '' }
  const heard = new Promise<void>(resolve => {
    session.stdout.on('end', resolve)
    session.stdout.on('close', resolve)
  })
  const keep = (chunk: Buffer | string): void => {
    if (said.text.length < MESSAGE_CHARS_MAX) said.text += chunk.toString()
  }
  session.stdout.on('data', keep)
  session.stderr?.on('data', keep)
  const stop = new AbortController()
  const timer = deps.clock.sleep(timeoutMs, stop.signal).then(() => 'late' as const)
  const code = await Promise.race([session.exitCode, timer])
  stop.abort()
  if (code === 'late') {
    session.kill()
    return late(timeoutMs)
  }
  if (code === 0) return { ok: true, message: '' }
  // The end may overtake the last words; a child that keeps the pipe open does not hold the answer up.
  await Promise.race([heard, deps.clock.sleep(LAST_WORDS_MS)])
  return { ok: false, message: said.text.trim() || `command exited with ${code}` }
}

/** Runs the handler once. Never rejects. */
export const runHandler = async (handler: Handler, target: HandlerTarget, timeoutMs: number, deps: HandlerDeps): Promise<Answer> => {
  try {
    if (handler.httpGet) return await httpGet(handler.httpGet, target, timeoutMs, deps)
    if (handler.tcpSocket) return await tcpSocket(handler.tcpSocket, target, timeoutMs, deps)
    if (handler.exec) return await execute(handler.exec.command ?? [], target, timeoutMs, deps)
    if (handler.sleep) {
      await deps.clock.sleep(Math.min(handler.sleep.seconds * 1000, timeoutMs))
      return { ok: true, message: '' }
    }
    return { ok: false, message: handler.grpc ? 'grpc probes are not offered on this device' : 'the handler says nothing to do' }
  } catch (error) {
    return { ok: false, message: messageOf(error).slice(0, MESSAGE_CHARS_MAX) }
  }
}
