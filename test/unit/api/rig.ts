// An API over a real store in memory, a clock that stands still until told, and requests without a port.

import {
  type Api,
  type ApiDeps,
  type ApiResponse,
  createApi,
  createVerbs,
  type ExtraRoute,
  type LocalVerbs,
  type Sink,
} from '../../../src/api/api.ts'
import type { Cancel, Clock } from '../../../src/base/clock.ts'
import { silentLog } from '../../../src/base/log.ts'
import type { KubeObject } from '../../../src/base/object.ts'
import type { Identity } from '../../../src/base/pki.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { KINDS, kindByName } from '../../../src/kinds/index.ts'
import type { Kind } from '../../../src/kinds/kind.ts'
import { openMemoryStore, type Store } from '../../../src/store/store.ts'

export const ADMIN: Identity = { name: 'system:admin', groups: ['system:masters', 'system:authenticated'] }

export const kindNamed = (name: string): Kind => {
  const kind = kindByName(name)
  if (!kind) throw new Error(`no kind ${name}`)
  return kind
}

/** Time moves only by `advance`, which runs the timers that become due, in order. */
export interface HandClock extends Clock {
  advance(ms: number): void
  readonly timers: number
}

export const handClock = (startMs = Date.UTC(2026, 0, 1)): HandClock => {
  const timers = new Set<{ atMs: number; fn: () => void }>()
  const state = { nowMs: 0 }
  const after = (delayMs: number, fn: () => void): Cancel => {
    const timer = { atMs: state.nowMs + delayMs, fn }
    timers.add(timer)
    return () => void timers.delete(timer)
  }
  return {
    now: () => startMs + state.nowMs,
    mono: () => state.nowMs,
    after,
    sleep: delayMs => new Promise(resolve => void after(delayMs, resolve)),
    get timers() {
      return timers.size
    },
    advance(ms) {
      const untilMs = state.nowMs + ms
      for (;;) {
        const due = [...timers].filter(timer => timer.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
        if (!due) break
        timers.delete(due)
        state.nowMs = due.atMs
        due.fn()
      }
      state.nowMs = untilMs
    },
  }
}

export interface Answer {
  readonly status: number
  readonly headers: ApiResponse['headers']
  readonly text: string
  /** The body parsed; a Status for refusals. */
  readonly json: Record<string, never> &
    KubeObject & { items: KubeObject[]; message: string; reason: string; code: number; details: Details }
}

interface Details {
  name: string
  group: string
  kind: string
  uid: string
  causes: { reason: string; message: string; field: string }[]
}

export interface Ask {
  readonly as?: Identity | undefined
  readonly anonymous?: boolean
  readonly accept?: string
  readonly type?: string
  readonly headers?: Record<string, string>
}

/** A stream that is open: lines as they come, and how to hang up. */
export interface OpenStream {
  readonly status: number
  /** Complete lines so far, parsed. */
  events(): { type: string; object: KubeObject & Record<string, unknown> }[]
  text(): string
  /** Settles when the condition holds, looked at whenever something is written. */
  until(condition: () => boolean): Promise<void>
  /** From now on the client takes nothing. */
  stall(): void
  hangUp(): void
  readonly ended: Promise<void>
}

export interface Rig {
  readonly api: Api
  readonly store: Store
  readonly verbs: LocalVerbs
  readonly clock: HandClock
  ask(method: string, url: string, body?: unknown, ask?: Ask): Promise<Answer>
  open(url: string, ask?: Ask): Promise<OpenStream>
}

export interface RigOptions {
  readonly routes?: readonly ExtraRoute[]
  readonly podLogs?: ApiDeps['podLogs']
  readonly checks?: ApiDeps['checks']
  readonly readiness?: NonNullable<ApiDeps['readiness']>
  readonly namespaces?: readonly string[]
  /** Changes the store remembers. */
  readonly eventsMax?: number
}

const textOf = (body: ApiResponse['body']): string => {
  if (typeof body === 'function') throw new Error('a stream, not a body')
  if (Buffer.isBuffer(body)) return body.toString()
  const whole = Buffer.concat([...body])
  if (whole.length !== body.bytes) throw new Error(`a body of ${whole.length} bytes that says ${body.bytes}`)
  return whole.toString()
}

const openStream = (response: ApiResponse): OpenStream => {
  if (typeof response.body !== 'function') throw new Error(`not a stream: ${textOf(response.body)}`)
  const stop = new AbortController()
  const waiting = new Set<() => void>()
  const state = { text: '', pending: 0, stalled: false }
  const sink: Sink = {
    write(data) {
      if (state.stalled) state.pending += data.length
      state.text += Buffer.from(data).toString()
      for (const look of [...waiting]) look()
    },
    pendingBytes: () => state.pending,
    drained: () => (state.stalled ? new Promise(resolve => stop.signal.addEventListener('abort', () => resolve())) : Promise.resolve()),
    signal: stop.signal,
  }
  const ended = response.body(sink)
  return {
    status: response.status,
    events: () =>
      state.text
        .split('\n')
        .slice(0, -1)
        .map(line => JSON.parse(line)),
    text: () => state.text,
    until: condition =>
      new Promise(resolve => {
        const look = (): void => {
          if (!condition()) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
    stall: () => {
      state.stalled = true
    },
    hangUp: () => stop.abort(),
    ended,
  }
}

const requestOf = (method: string, url: string, body: unknown, ask: Ask): Parameters<Api['handle']>[0] => {
  const bytes = body === undefined ? Buffer.alloc(0) : typeof body === 'string' ? Buffer.from(body) : Buffer.from(JSON.stringify(body))
  return {
    method,
    url,
    headers: {
      ...(ask.accept === undefined ? {} : { accept: ask.accept }),
      ...(body === undefined ? {} : { 'content-type': ask.type ?? 'application/json' }),
      ...ask.headers,
    },
    identity: ask.anonymous ? undefined : (ask.as ?? ADMIN),
    body: () => Promise.resolve(bytes),
  }
}

export const createRig = async (options: RigOptions = {}): Promise<Rig> => {
  const clock = handClock()
  const store = openMemoryStore({
    clock,
    random: seededRandom('store'),
    log: silentLog,
    window: { eventsMax: options.eventsMax ?? 10_000, bytesMax: 2 ** 24, ageMsMax: 2 ** 31 },
  })
  const deps: ApiDeps = {
    store,
    clock,
    random: seededRandom('api'),
    log: { ...silentLog, error: (message, fields) => console.error(message, fields) },
    kinds: KINDS,
    podLogs: options.podLogs ?? (() => Promise.resolve()),
    version: { gitVersion: 'v1.36.0+helio', gitCommit: 'abc', buildDate: '2026-01-01T00:00:00Z', platform: 'linux/amd64' },
    checks: options.checks ?? { ping: () => undefined },
    ...(options.readiness ? { readiness: options.readiness } : {}),
  }
  const verbs = createVerbs(deps)
  const api = createApi(deps, verbs, options.routes)
  for (const name of options.namespaces ?? ['default'])
    await verbs.create(ADMIN, { kind: kindNamed('Namespace'), namespace: '' }, { metadata: { name } })
  return {
    api,
    store,
    verbs,
    clock,
    async ask(method, url, body, ask = {}) {
      const response = await api.handle(requestOf(method, url, body, ask))
      const text = textOf(response.body)
      const isJson = String(response.headers['content-type']).startsWith('application/json') && text !== ''
      return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : {} }
    },
    async open(url, ask = {}) {
      return openStream(await api.handle(requestOf('GET', url, undefined, ask)))
    },
  }
}

export const configMap = (name: string, data: Record<string, string> = {}, labels?: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...(labels ? { labels } : {}) },
  data,
})

export const pod = (name: string, extra: Record<string, unknown> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: { containers: [{ name: 'main', image: 'busybox' }], ...extra },
})

export const deployment = (name: string, replicas = 2): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'busybox' }] } },
  },
})
