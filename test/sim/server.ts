// The server of the simulated world: the real store's core on a simulated disk, the real verbs, view, loop, controllers, scheduler and
// hub, under the world's clock. A crash drops the process and every commit that had not landed.

import { createHash } from 'node:crypto'
import { createVerbs, type Verbs } from '../../src/api/api.ts'
import { controllers } from '../../src/controllers/index.ts'
import { systemPki } from '../../src/host/pki.ts'
import { KINDS } from '../../src/kinds/index.ts'
import type { Connection } from '../../src/link/link.ts'
import { createScheduling } from '../../src/scheduler/scheduler.ts'
import { type Devices, openDevices } from '../../src/server/devices.ts'
import { type Loop, startLoop } from '../../src/server/loop.ts'
import { renameUnboundPods } from '../../src/server/restored.ts'
import { createView, type LiveView } from '../../src/server/view.ts'
import { type Backup, createMemoryJournal, type Journal, type MemoryJournal, openStoreOn, type Store } from '../../src/store/store.ts'
import { createMachineClock, type ProcessClock } from './clock.ts'
import { createSimDisk, SSD } from './disk.ts'
import { type World, worldLog } from './world.ts'

export const CLUSTER_CIDR = '10.0.0.0/8'
const HEAD_SECRET = 'simulated head key'

/** Stands for Ed25519: equal text, equal signature, and no key of this run in the trace. */
export const simSign = (text: string): string => createHash('sha256').update(HEAD_SECRET).update(text).digest('base64')
export const simSha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

export interface ServerProcess {
  /** Counts the server's starts, from 1. */
  readonly life: number
  readonly clock: ProcessClock
  /** The store's revision at the start. */
  readonly startedAt: number
  readonly store: Store
  readonly view: LiveView
  readonly verbs: Verbs
  readonly loop: Loop
  readonly devices: Devices
}

export interface SimServer {
  /** Undefined while it is down. */
  readonly process: ServerProcess | undefined
  /** False: nobody listens, or this is no node. */
  accept(device: string, connection: Connection): boolean
  crash(): void
  /** Calls back once, when the next commit is on its way to the disk. */
  onCommit(fn: () => void): void
  start(): void
  /** Keeps a copy of what is durable now, as a snapshot does. */
  backUp(): void
  /** The machine that is down gets the last backup in place of its disk: what came later is forgotten. False without a backup. */
  restore(): boolean
  /** Restores so far. */
  readonly restores: number
  /** Called with each new process, to attach checks. */
  onStart(fn: (process: ServerProcess) => void): void
}

const openProcess = (
  world: World,
  clock: ProcessClock,
  journal: Journal,
  loaded: Parameters<typeof openStoreOn>[2],
  life: number,
): ServerProcess => {
  const draws = world.random.fork(`server/${life}`)
  const log = worldLog(world, 'server')
  const store = openStoreOn({ clock, random: draws.fork('store'), log }, journal, loaded)
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
    log,
    pki: { ...systemPki, sign: (_key, text) => simSign(text), sha256: simSha256 },
    headKeyPem: '',
    epoch: store.epoch,
    base: store.base ?? 0,
    view,
    verbs,
    kinds: KINDS,
    revision: () => store.revision,
    clusterCIDR: CLUSTER_CIDR,
    onContact: device => late.loop?.contacted(device),
  })
  late.devices = devices
  renameUnboundPods(store, draws.fork('restored')).catch((error: unknown) => {
    if (clock.isAlive) world.fail('nothing is logged as an error', `restored: ${String(error)}`)
  })
  const loop = startLoop({
    clock,
    random: draws.fork('loop'),
    log,
    store,
    view,
    verbs,
    kinds: KINDS,
    controllers: [...controllers, createScheduling()],
  })
  late.loop = loop
  return { life, clock, startedAt: loaded.revision, store, view, verbs, loop, devices }
}

export const createSimServer = (world: World): SimServer => {
  const random = world.random.fork('server')
  const machine = createMachineClock(world)
  const disk = createSimDisk(world, random.fork('disk'), SSD)
  const state = { process: undefined as ServerProcess | undefined, lives: 0 }
  const listeners: ((process: ServerProcess) => void)[] = []
  const journalOf = (epoch: number, backup?: Backup): MemoryJournal =>
    createMemoryJournal({ epoch: `epoch-${epoch}`, defer: land => disk.write(land, () => {}), ...(backup ? { backup } : {}) })
  const kept = { journal: journalOf(1), epoch: 1, backup: undefined as Backup | undefined }

  return {
    get process() {
      return state.process
    },
    accept(device, connection) {
      const { process } = state
      if (!process?.view.get('Node', '', device)) return false
      process.devices.hub.accept(device, connection)
      return true
    },
    onCommit: disk.onWrite,
    crash() {
      if (!state.process) return
      world.trace('server crash')
      state.process.clock.kill()
      state.process = undefined
      disk.crash()
    },
    start() {
      if (state.process) return
      const clock = machine.process()
      const own: Journal = {
        commit(batch, done) {
          // The answer of a commit goes to the process that asked, if it is still there.
          if (clock.isAlive) kept.journal.commit(batch, error => (clock.isAlive ? done(error) : undefined))
        },
      }
      world.trace('server start')
      const process = openProcess(world, clock, own, kept.journal.load(), ++state.lives)
      state.process = process
      for (const listener of listeners) listener(process)
    },
    backUp() {
      kept.backup = kept.journal.backup()
      world.trace(`server backed up at ${kept.backup.durable}`)
    },
    restore() {
      if (!kept.backup || state.process) return false
      world.trace(`server restored from ${kept.backup.durable}`)
      kept.journal = journalOf(++kept.epoch, kept.backup)
      return true
    },
    get restores() {
      return kept.epoch - 1
    },
    onStart: fn => void listeners.push(fn),
  }
}
