// The server's side of its devices: documents out, reports and events in, log streams through. What a device says is believed of
// itself only. DESIGN section 6.

import type { LogSource, Verbs } from '../api/api.ts'
import type { Clock } from '../base/clock.ts'
import { ApiError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { Random } from '../base/random.ts'
import type { Action } from '../controllers/controller.ts'
import type { Kind } from '../kinds/kind.ts'
import type { Node } from '../kinds/node.ts'
import type { Pod } from '../kinds/pod.ts'
import type { DeviceEvent, Hub, LinkStream, LogOptions } from '../link/link.ts'
import { createHub } from '../link/transports/index.ts'
import { createExecutor } from './actions.ts'
import { createFollowing } from './following.ts'
import { createEventRecorder } from './loop-events.ts'
import { affectedDevices, renderDocument } from './render.ts'
import { applyReports } from './reports.ts'
import type { LiveView } from './view.ts'

/** Node annotation: `true` lets logs, exec, port-forward and cp go though the device's link is metered, or its bytes of the day are spent. */
const ALLOW_BULK = 'heliopause.io/allow-bulk'

export interface DevicesDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly pki: Pki
  readonly headKeyPem: string
  readonly epoch: string
  /** The store's: what its epoch knows of others. */
  readonly base?: number
  readonly view: LiveView
  readonly verbs: Verbs
  readonly kinds: readonly Kind[]
  readonly revision: () => number
  readonly clusterCIDR: string
  readonly onContact: (device: string) => void
}

export interface Devices {
  readonly hub: Hub
  readonly podLogs: LogSource
  close(): Promise<void>
}

/** True when the event is about the device itself or a pod bound to it. */
const mayTell = (view: LiveView, device: string, { regarding }: DeviceEvent): boolean => {
  if (regarding.kind === 'Node') return regarding.name === device
  if (regarding.kind !== 'Pod') return false
  const pod = view.get<Pod>('Pod', regarding.namespace ?? '', regarding.name)
  return pod?.metadata.uid === regarding.uid && pod.spec.nodeName === device
}

const eventAction = (device: string, event: DeviceEvent): Extract<Action, { do: 'event' }> => ({
  do: 'event',
  // About the node itself it speaks in no namespace: it has no business in anybody's.
  regarding:
    event.regarding.kind === 'Node'
      ? { apiVersion: 'v1', kind: 'Node', name: device, uid: device }
      : { apiVersion: 'v1', ...event.regarding },
  type: event.type,
  reason: event.reason,
  note: event.note,
  source: 'helio-agent',
})

export const openDevices = (deps: DevicesDeps): Devices => {
  const { view, log, verbs } = deps
  const execute = createExecutor({ verbs, kinds: deps.kinds, events: createEventRecorder({ clock: deps.clock }), revision: deps.revision })
  const following = createFollowing({ log, view, hub: () => hub, onContact: deps.onContact })
  const hub: Hub = createHub({
    clock: deps.clock,
    random: deps.random,
    log,
    epoch: deps.epoch,
    ...(deps.base === undefined ? {} : { base: deps.base }),
    sign: text => deps.pki.sign(deps.headKeyPem, text),
    sha256: deps.pki.sha256,
    render(device) {
      const document = renderDocument(view, device, deps.clusterCIDR)
      return document && { document, revision: view.revision }
    },
    async onStatus(device, items, whole) {
      const podsOn = (node: string): readonly Pod[] => view.list<Pod>('Pod', { node })
      for (const refusal of await applyReports({ verbs, clock: deps.clock, podsOn }, device, items, whole))
        log.error('report refused', { node: device, why: refusal })
    },
    async onEvents(device, events, dropped) {
      if (dropped > 0) log.info('device dropped events', { node: device, dropped })
      for (const event of events) {
        if (!mayTell(view, device, event)) continue
        const outcome = await execute(eventAction(device, event))
        if (!outcome.ok && !outcome.quiet) throw new ApiError('InternalError', `record event of ${device}: ${outcome.message}`)
      }
    },
    bulkAllowed: device => view.get<Node>('Node', '', device)?.metadata.annotations?.[ALLOW_BULK] === 'true',
    onContact: (device, connected, why) => {
      const gone = why === 'planned' ? 'device hung up until its next call' : 'device silent'
      log.info(connected ? 'device connected' : gone, { node: device })
      deps.onContact(device)
    },
    onRefused: (device, why, message) => log.error('device refused its document', { node: device, why, detail: message }),
    onConflict: (device, conflict, isNews) => following.conflict(device, conflict, isNews),
  })
  const unsubscribe = view.subscribe(changes => {
    for (const { object, old } of changes) {
      for (const device of affectedDevices(view, object, old)) hub.changed(device)
      if (object.kind === 'Node' && !view.get<Node>('Node', '', object.metadata.name ?? '')) hub.forget(object.metadata.name ?? '')
      if (object.kind === 'Node') following.changed(object, old)
    }
  })
  return {
    hub,
    podLogs: createLogSource(hub),
    close() {
      unsubscribe()
      return hub.close()
    },
  }
}

/** Carries a device's log stream to an HTTP client; the client's pace holds back the device. */
const createLogSource =
  (hub: Hub): LogSource =>
  async ({ pod, container, options }, sink) => {
    const { metadata, spec } = pod as unknown as Pod
    if (!spec.nodeName) throw new ApiError('BadRequest', `pod ${metadata.name ?? ''} does not have a host assigned`)
    const stream = await hub.openStream(spec.nodeName, {
      do: 'logs',
      namespace: metadata.namespace ?? '',
      pod: metadata.name ?? '',
      ...(metadata.uid ? { uid: metadata.uid } : {}),
      container,
      options: options as LogOptions,
    })
    await pipe(stream, sink)
  }

const pipe = (stream: LinkStream, sink: Parameters<LogSource>[1]): Promise<void> =>
  new Promise((resolve, reject) => {
    const gone = (): void => {
      stream.end()
      resolve()
    }
    if (sink.signal.aborted) return gone()
    sink.signal.addEventListener('abort', gone, { once: true })
    stream.onData = data => sink.write(data)
    stream.onEnd = error => {
      sink.signal.removeEventListener('abort', gone)
      if (error === undefined) resolve()
      // As a kubelet answers what it cannot read: 400 with its sentence; a link that broke is no fault of the request.
      else reject(new ApiError(error.startsWith('connection lost') ? 'ServiceUnavailable' : 'BadRequest', error))
    }
  })
