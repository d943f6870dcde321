// What the local API answers, by method and path. Names of shapes are those of kinds/device-shapes.ts:
//   GET /v1/status → DeviceStatus · GET /v1/pods → {items: DevicePod[]} · GET /v1/images, POST /v1/images/refresh → {items: DeviceImage[]}
//   GET /v1/logs?namespace&pod&container&follow&previous&timestamps&tail&sinceSeconds&limitBytes → text
//   GET /v1/doctor → {items: DeviceFinding[]} · GET /v1/link → DeviceLinkView · GET /metrics → text · POST /v1/telemetry {items: [{name, value | json}]} → {taken}
// and for those who may act: POST /v1/link {profile?, allowBulk?} → DeviceLinkView; POST /v1/hold {namespace, pod, reason?} and /v1/resume {namespace, pod} → DeviceHold; /v1/resume without a pod
// (ends a conflict with a restored server) → DeviceStatus; /v1/restart {namespace, pod, container?} → DeviceRestart; /v1/sync → DeviceSync.

import { ApiError } from '../base/errors.ts'
import type { DeviceFinding, DeviceImage, DeviceLinkView, DevicePod, DeviceStatus, DeviceSync } from '../kinds/device-shapes.ts'
import type { LogOptions } from '../link/link.ts'
import type { LocalCall, LocalRoutes } from './local-api.ts'
import type { HoldsDesk } from './local-holds.ts'
import { metricsText } from './local-metrics.ts'
import type { AskedPod } from './local-pods.ts'

export interface LocalLogs extends AskedPod {
  /** '' = the pod's only container. */
  readonly container: string
  readonly options: LogOptions
}

export interface RouteDeps {
  readonly status: () => DeviceStatus
  readonly pods: () => readonly DevicePod[]
  readonly images: () => readonly DeviceImage[]
  readonly refreshImages: () => void
  readonly holds: HoldsDesk
  readonly link: () => DeviceLinkView
  readonly switchLink: (body: Readonly<Record<string, unknown>>) => Promise<DeviceLinkView>
  readonly findings: (signal: AbortSignal) => Promise<readonly DeviceFinding[]>
  readonly telemetry: (body: Readonly<Record<string, unknown>>) => { readonly taken: number }
  /** Dials now and waits for what comes of it. */
  readonly sync: (signal: AbortSignal) => Promise<DeviceSync>
  /** Accepts a server restored from a backup, whose older content waits for a decision. */
  readonly acceptServer: () => void
  /** Rejects with ApiError before the first write, or ends quietly. */
  readonly logs: (asked: LocalLogs, write: (bytes: Uint8Array) => Promise<void>, signal: AbortSignal) => Promise<void>
}

const count = (query: URLSearchParams, name: string): number | undefined => {
  const text = query.get(name)
  if (text === null) return undefined
  if (!/^\d{1,15}$/.test(text)) throw new ApiError('BadRequest', `read logs: ${name} must be a whole number`)
  return Number(text)
}

const logsQuery = (query: URLSearchParams): LocalLogs => {
  const pod = query.get('pod')
  if (!pod) throw new ApiError('BadRequest', 'read logs: no pod was named', { hint: 'GET /v1/logs?pod=NAME' })
  const flags = ['follow', 'previous', 'timestamps'] as const
  const numbers = { tailLines: count(query, 'tail'), sinceSeconds: count(query, 'sinceSeconds'), limitBytes: count(query, 'limitBytes') }
  const given = Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== undefined))
  const options: LogOptions = { ...Object.fromEntries(flags.map(flag => [flag, query.get(flag) === 'true'])), ...given }
  return { namespace: query.get('namespace') || 'default', pod, container: query.get('container') ?? '', options }
}

/** A field of the body that is text; undefined when it is not there. */
const textOf = ({ body }: Pick<LocalCall, 'body'>, field: string): string | undefined => {
  const value = body[field]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw new ApiError('BadRequest', `read request: ${field} must be text`)
  return value
}

const askedPod = (call: LocalCall): AskedPod => {
  const pod = textOf(call, 'pod')
  if (!pod) throw new ApiError('BadRequest', 'read request: no pod was named')
  return { namespace: textOf(call, 'namespace') || 'default', pod }
}

export const localRoutes = (deps: RouteDeps): LocalRoutes => ({
  'GET /v1/status': { json: () => deps.status() },
  'GET /v1/pods': { json: () => ({ items: deps.pods() }) },
  'GET /v1/images': { json: () => ({ items: deps.images() }) },
  'POST /v1/images/refresh': {
    json() {
      deps.refreshImages()
      return { items: deps.images() }
    },
  },
  'GET /v1/logs': { text: ({ query, signal }, write) => deps.logs(logsQuery(query), write, signal) },
  'POST /v1/hold': { acts: true, json: call => deps.holds.hold(askedPod(call), textOf(call, 'reason'), call.by) },
  'POST /v1/resume': {
    acts: true,
    json(call) {
      if (textOf(call, 'pod') !== undefined) return deps.holds.resume(askedPod(call), call.by)
      deps.acceptServer()
      return deps.status()
    },
  },
  'POST /v1/restart': { acts: true, json: call => deps.holds.restart(askedPod(call), textOf(call, 'container'), call.by) },
  'GET /v1/link': { json: () => deps.link() },
  'POST /v1/link': { acts: true, json: ({ body }) => deps.switchLink(body) },
  'GET /v1/doctor': { json: async ({ signal }) => ({ items: await deps.findings(signal) }) },
  'POST /v1/telemetry': { json: ({ body }) => deps.telemetry(body) },
  'GET /metrics': { text: (_, write) => write(metricsText(deps.status(), deps.pods(), deps.link())) },
  'POST /v1/sync': { acts: true, json: ({ signal }) => deps.sync(signal) },
})
