// The server of the simulated world: the real store's core on a simulated disk, the real verbs, view, loop, controllers, scheduler and
// hub, under the world's clock. A crash drops the process and every commit that had not landed.

import { createHash } from 'node:crypto'
import { createVerbs, type Verbs } from '../../src/api/api.ts'
import { silentLog } from '../../src/base/log.ts'
import { controllers } from '../../src/controllers/index.ts'
import { systemPki } from '../../src/host/pki.ts'
import { KINDS, kindByName } from '../../src/kinds/index.ts'
import type { Connection } from '../../src/link/link.ts'
import { createScheduling } from '../../src/scheduler/scheduler.ts'
import { type Devices, openDevices } from '../../src/server/devices.ts'
import { type Loop, startLoop } from '../../src/server/loop.ts'
import { createView, type LiveView } from '../../src/server/view.ts'
import { createMemoryJournal, openStoreOn, type Store } from '../../src/store/store.ts'
import { createSimClock } from './clock.ts'
import type { World } from './world.ts'

export const CLUSTER_CIDR = '10.0.0.0/8'
export const HEAD_SECRET = 'simulated head key'

/** Stands for Ed25519: equal text, equal signature, and no key of this run in the trace. */
export const simSign = (text: string): string => createHash('sha256').update(HEAD_SECRET).update(text).digest('base64')
export const simSha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

export interface ServerProcess {
  readonly store: Store
  readonly view: LiveView
  readonly verbs: Verbs
  readonly loop: Loop
  readonly devices: Devices
}

export interface SimServer {
  /** Undefined while it is down. */
  readonly process: ServerProcess | undefined
  readonly isUp: boolean
  accept(device: string, connection: Connection): void
  crash(): void
  start(): void
  /** Called with each new process, to attach checks. */
  onStart(fn: (process: ServerProcess) => void): void
}

const COMMIT_MS_MIN = 1
const COMMIT_MS_SPREAD = 12

export const createSimServer = (world: World): SimServer => {
  const random = world.random.fork('server')
  const disk = random.fork('disk')
  const clock = createSimClock(world)
  const state = { process: undefined as ServerProcess | undefined, life: 0 }
  const listeners: ((process: ServerProcess) => void)[] = []
  const connections = new Set<Connection>()
  const journal = createMemoryJournal({
    epoch: 'epoch-1',
    defer(land) {
      const life = state.life
      world.after(COMMIT_MS_MIN + disk.int(COMMIT_MS_SPREAD), () => {
        if (life === state.life) land()
      })
    },
  })

  const start = (): void => {
    const life = state.life
    const draws = random.fork(`life/${life}`)
    const store = openStoreOn({ clock, random: draws.fork('store'), log: silentLog }, journal, journal.load())
    const verbs = createVerbs({ store, clock, random: draws.fork('verbs'), kinds: KINDS })
    const startedMs = clock.mono()
    const late: { devices?: Devices; loop?: Loop } = {}
    const view = createView({
      store,
      kinds: KINDS,
      contact: node => late.devices?.hub.contact(node),
      uptimeMs: () => clock.mono() - startedMs,
    })
    const devices = openDevices({
      clock,
      random: draws.fork('hub'),
      log: silentLog,
      pki: { ...systemPki, sign: (_key, text) => simSign(text), sha256: simSha256 },
      headKeyPem: '',
      epoch: store.epoch,
      view,
      verbs,
      kinds: KINDS,
      revision: () => store.revision,
      clusterCIDR: CLUSTER_CIDR,
      onContact: device => late.loop?.contacted(device),
    })
    late.devices = devices
    const loop = startLoop({
      clock,
      random: draws.fork('loop'),
      log: silentLog,
      store,
      view,
      verbs,
      kinds: KINDS,
      controllers: [...controllers, createScheduling()],
    })
    late.loop = loop
    state.process = { store, view, verbs, loop, devices }
    for (const listener of listeners) listener(state.process)
  }

  return {
    get process() {
      return state.process
    },
    get isUp() {
      return state.process !== undefined
    },
    accept(device, connection) {
      const { process } = state
      if (!process?.view.get(kindByName('Node')!.kind, '', device)) return connection.close('not a node')
      connections.add(connection)
      process.devices.hub.accept(device, connection)
    },
    crash() {
      if (!state.process) return
      world.trace('server crash')
      state.life++
      state.process = undefined
      clock.halt()
      for (const connection of connections) connection.close('server gone')
      connections.clear()
    },
    start() {
      if (state.process) return
      clock.boot()
      start()
      world.trace('server start')
    },
    onStart: fn => void listeners.push(fn),
  }
}
