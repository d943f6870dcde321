// The door of the server: wires one control plane. Order: keys, store, verbs, view, devices, API, loop; ready when all stand.
// Ends in the other direction, within the grace of a SIGTERM; devices and their pods are told nothing.

import {
  createApi,
  createStreamUpgrade,
  createVerbs,
  type ExtraRoute,
  jsonResponse,
  type Listener,
  listen,
  textResponse,
} from '../api/api.ts'
import type { Clock } from '../base/clock.ts'
import { ApiError, toStatus } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { Random } from '../base/random.ts'
import { controllers } from '../controllers/index.ts'
import { KINDS } from '../kinds/index.ts'
import { storePrefix } from '../kinds/kind.ts'
import { createScheduling } from '../scheduler/scheduler.ts'
import { openStore, type Sealing, type Store } from '../store/store.ts'
import { checkClusterCIDR } from './addresses.ts'
import { type BrokerGate, openBroker } from './broker.ts'
import {
  type BrokerIdentity,
  type Credentials,
  type CredentialsDeps,
  kubeconfigText,
  openBrokerIdentity,
  openCredentials,
} from './credentials.ts'
import { deviceOf, linkUpgrade, type MqttGate, openMqttGate } from './device-gate.ts'
import { type Devices, openDevices } from './devices.ts'
import { createJoin } from './join.ts'
import { type Loop, startLoop } from './loop.ts'
import { metricsRoute } from './metrics.ts'
import { renewRoute } from './renew.ts'
import { renameUnboundPods } from './restored.ts'
import { createPodStreams, routeUpgrades } from './streams.ts'
import { createView, type LiveView } from './view.ts'

export interface ServerConfiguration {
  /** Absolute. */
  readonly dataDir: string
  readonly bind: string
  /** 0 = any free port. */
  readonly port: number
  /** The MQTT endpoint for devices; off when absent or 0. */
  readonly mqttPort?: number
  /** `mqtts://host:port` of a broker through which devices come in too; none when absent. */
  readonly mqttBroker?: string
  readonly clusterCIDR: string
  /** Names and addresses of this machine for the certificate, besides loopback and `bind`. */
  readonly altNames: readonly string[]
  readonly version: { readonly gitVersion: string; readonly gitCommit: string; readonly buildDate: string; readonly platform: string }
}

export interface ServerDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly files: Files
  readonly pki: Pki
  /** What Secrets are sealed with on disk; they lie there as they are when absent. */
  readonly sealing?: Omit<Sealing, 'prefixes'>
}

export interface Server {
  /** `https://127.0.0.1:6443`. */
  readonly url: string
  readonly joinToken: string
  /** A sign of life: settles, well or not, unless the store hangs. */
  probe(): Promise<void>
  /** Settles when everything is on disk and every connection is closed. */
  close(): Promise<void>
}

/** The address clients on this machine use. */
const urlOf = (bind: string, port: number): string =>
  `https://${bind === '0.0.0.0' || bind === '::' ? '127.0.0.1' : bind.includes(':') ? `[${bind}]` : bind}:${port}`

const altNamesOf = (config: ServerConfiguration): string[] => {
  const isAddress = (name: string): boolean => /^[\d.]+$/.test(name) || name.includes(':')
  const names = [
    'localhost',
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    '127.0.0.1',
    '::1',
    ...(config.bind === '0.0.0.0' || config.bind === '::' ? [] : [config.bind]),
    ...config.altNames,
  ]
  return [...new Set(names)].map(name => (isAddress(name) ? `IP:${name}` : `DNS:${name}`))
}

/** GET /heliopause.io/v1/ca and POST /heliopause.io/v1/join: open to all, the token is the proof. */
const joinRoutes = (credentials: Credentials, join: ReturnType<typeof createJoin>): ExtraRoute[] => [
  { method: 'GET', path: '/heliopause.io/v1/ca', anonymous: true, handle: async () => textResponse(credentials.authority.certPem) },
  {
    method: 'POST',
    path: '/heliopause.io/v1/join',
    anonymous: true,
    async handle(request) {
      const body = await request.body()
      try {
        return jsonResponse(await join(JSON.parse(body.toString())))
      } catch (error) {
        if (error instanceof SyntaxError) throw new ApiError('BadRequest', 'join: the body is not JSON', { cause: error })
        // The device shows the hint to whoever stands before it; a Status has no place for one.
        if (error instanceof ApiError && error.hint !== undefined) return jsonResponse({ ...toStatus(error), hint: error.hint }, error.code)
        throw error
      }
    },
  },
]

/** Settles when the system namespaces exist: what a first client needs. */
const bootstrapped = (view: LiveView): Promise<void> =>
  new Promise(resolve => {
    const exist = (): boolean => ['default', 'kube-system'].every(name => view.get('Namespace', '', name) !== undefined)
    if (exist()) return resolve()
    const unsubscribe = view.subscribe(() => {
      if (!exist()) return
      unsubscribe()
      resolve()
    })
  })

/** What stands so far; a start that fails half-way closes as much. */
interface Parts {
  readonly store: Store
  view?: LiveView
  devices?: Devices
  loop?: Loop
  listener?: Listener
  mqtt?: MqttGate
  broker?: BrokerGate
}

const closeAll = async ({ listener, mqtt, broker, loop, devices, view, store }: Parts): Promise<void> => {
  await Promise.all([listener?.close(), mqtt?.close(), loop?.stop(), devices?.close()])
  await broker?.close()
  view?.close()
  await store.close()
}

/** What to do about an address that cannot be listened on. */
const BIND_HINTS: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: 'this machine has no such address: ip addr shows those it has; --bind 0.0.0.0 listens on all',
  ENOTFOUND: '--bind takes an address of this machine, or 0.0.0.0 for all',
  EAI_AGAIN: '--bind takes an address of this machine, or 0.0.0.0 for all',
  EACCES: 'ports below 1024 are for root: choose another --port',
}

const withBindHint = (error: unknown): unknown => {
  const cause = error instanceof ApiError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
  const hint = BIND_HINTS[cause?.code ?? '']
  return error instanceof ApiError && error.hint === undefined && hint !== undefined
    ? new ApiError(error.reason, error.message, { cause, hint })
    : error
}

/** Starts a control plane; settles when it answers. Throws with a hint when the folder is in use or the port is taken. */
export const startServer = async (deps: ServerDeps, config: ServerConfiguration): Promise<Server> => {
  const { clock, random, log, pki } = deps
  const startedMs = clock.mono()
  const clusterCIDR = checkClusterCIDR(config.clusterCIDR)
  const keyDeps: CredentialsDeps = {
    dir: config.dataDir,
    files: deps.files,
    pki,
    random,
    log,
    nowMs: clock.now(),
    altNames: altNamesOf(config),
  }
  const credentials = openCredentials(keyDeps)
  const brokerIdentity = config.mqttBroker === undefined ? undefined : openBrokerIdentity(keyDeps, credentials)
  const sealing = deps.sealing && { ...deps.sealing, prefixes: [storePrefix({ group: '', plural: 'secrets' })] }
  const store = await openStore({ dir: `${config.dataDir}/store`, clock, random, log, ...(sealing ? { sealing } : {}) })
  if (store.recovery.kind !== 'clean')
    log[store.recovery.kind === 'created' ? 'info' : 'error'](store.recovery.message, {
      recovery: store.recovery.kind,
      kept: store.recovery.kept,
    })
  const parts: Parts = { store }
  try {
    const url = await assemble(deps, config, { clusterCIDR, credentials, brokerIdentity, parts, startedMs })
    return { url, joinToken: credentials.joinToken, probe: () => store.flush(), close: () => closeAll(parts) }
  } catch (error) {
    // A store left open would look like a loss at the next start.
    await closeAll(parts)
    throw withBindHint(error)
  }
}

interface Beginnings {
  readonly clusterCIDR: string
  readonly credentials: Credentials
  readonly brokerIdentity: BrokerIdentity | undefined
  readonly parts: Parts
  readonly startedMs: number
}

/** Builds the rest on the store; settles with the address when it answers. */
const assemble = async (
  deps: ServerDeps,
  config: ServerConfiguration,
  { clusterCIDR, credentials, brokerIdentity, parts, startedMs }: Beginnings,
): Promise<string> => {
  const { clock, random, log, pki } = deps
  const { store } = parts
  const verbs = createVerbs({ store, clock, random, kinds: KINDS })
  const late: { devices?: Devices; loop?: Loop } = {}
  const view = createView({
    store,
    kinds: KINDS,
    contact: node => late.devices?.hub.contact(node),
    uptimeMs: () => clock.mono() - startedMs,
  })
  parts.view = view
  const devices = openDevices({
    ...deps,
    headKeyPem: credentials.headKey.privatePem,
    epoch: store.epoch,
    ...(store.base === undefined ? {} : { base: store.base }),
    view,
    verbs,
    kinds: KINDS,
    revision: () => store.revision,
    clusterCIDR,
    onContact: device => late.loop?.contacted(device),
  })
  late.devices = devices
  parts.devices = devices
  const join = createJoin({
    credentials,
    pki,
    verbs,
    view: () => view,
    clusterCIDR,
    mqttPort: config.mqttPort ?? 0,
    mqttBroker: config.mqttBroker,
    nowMs: clock.now,
  })
  const api = createApi(
    {
      store,
      clock,
      random,
      log,
      kinds: KINDS,
      podLogs: devices.podLogs,
      version: config.version,
      checks: { ping: () => undefined },
      readiness: { store: () => store.problem },
    },
    verbs,
    [
      ...joinRoutes(credentials, join),
      metricsRoute({ hub: devices.hub, store, devices: () => view.list('Node').map(node => node.metadata.name ?? '') }),
      renewRoute({ credentials, pki, log, nowMs: clock.now, nodeOf: device => deviceOf(view, pki, device.identity, device.certificate) }),
    ],
  )
  const listener = await listen({
    api,
    clock,
    log,
    bind: config.bind,
    port: config.port,
    authorityPem: credentials.authority.certPem,
    certPem: credentials.server.certPem,
    keyPem: credentials.server.keyPem,
    onUpgrade: routeUpgrades(
      linkUpgrade({ view, pki, hub: devices.hub, log }),
      createStreamUpgrade({ clock, log, kinds: KINDS, verbs, podStreams: createPodStreams(devices.hub) }),
    ),
  })
  parts.listener = listener
  if (config.mqttPort)
    parts.mqtt = await openMqttGate({ view, pki, hub: devices.hub, clock, log, credentials }, { bind: config.bind, port: config.mqttPort })
  if (config.mqttBroker !== undefined && brokerIdentity)
    parts.broker = await openBroker(
      { view, pki, hub: devices.hub, clock, random, log, headKeyPem: credentials.headKey.privatePem, identity: brokerIdentity },
      config.mqttBroker,
    )
  const renamed = await renameUnboundPods(store, random)
  if (renamed > 0) log.info('pods without a node in the backup got new uids', { pods: renamed })
  const loop = startLoop({ clock, random, log, store, view, verbs, kinds: KINDS, controllers: [...controllers, createScheduling()] })
  late.loop = loop
  parts.loop = loop
  await bootstrapped(view)
  const url = urlOf(config.bind, listener.port)
  deps.files.write(`${config.dataDir}/kubeconfig`, kubeconfigText(url, credentials), 0o600)
  return url
}
