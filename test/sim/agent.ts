// The agent of a simulated device: the real machine, its loop, link, holds, contact keeper and remembering, over the fake runtime and a
// disk that may lose what it was just given. It lives until its clock is killed.

import type { Action, ActionResult } from '../../src/agent/action.ts'
import { type ContactKeeper, keepContact } from '../../src/agent/contact-keeper.ts'
import type { Device } from '../../src/agent/device.ts'
import type { Image } from '../../src/agent/images/images.ts'
import { createHoldsDesk, type HoldsDesk } from '../../src/agent/local-holds.ts'
import { createLoop } from '../../src/agent/loop.ts'
import { type DeviceState, type Input, newState, type Output } from '../../src/agent/machine.ts'
import { createRemembering } from '../../src/agent/remembering.ts'
import type { KeptUplink } from '../../src/agent/uplink.ts'
import { timestamp } from '../../src/base/clock.ts'
import type { HostFacts } from '../../src/base/host-facts.ts'
import type { Random } from '../../src/base/random.ts'
import type { DeviceLink, Dialer, Document, HeldHead } from '../../src/link/link.ts'
import { openDeviceLink } from '../../src/link/transports/index.ts'
import { allocateAddress } from '../../src/network/index.ts'
import type { ProcessClock } from './clock.ts'
import type { DeviceDeps, SimDevice } from './device.ts'
import type { Files, SimMemory } from './memory.ts'
import { simSha256, simSign } from './server.ts'
import { asVersion, type Version } from './versions.ts'
import { worldLog } from './world.ts'

const IMAGE: Image = {
  id: 'sha256:0',
  names: [],
  digests: [],
  sizeBytes: 1,
  importedAt: '',
  layers: [],
  config: { entrypoint: [], cmd: ['run'], env: [], workingDir: '', user: '', stopSignal: '', labels: {} },
}

/** A step that costs next to nothing still ends in a later event. */
const STEP_MS = 1

const deviceOf = (name: string): Device => ({
  nodeName: name,
  hostIPs: ['192.0.2.1'],
  runtimeName: 'fake',
  isolatesNetwork: true,
  podsDir: '/pods',
  logsDir: '/logs',
  resolvConf: '',
  hostsFile: '',
  cpuMillis: 4000,
  memoryBytes: 1 << 30,
  resolveImage: reference => ({ ...IMAGE, names: [reference] }),
  accounts: () => ({ passwd: '', group: '' }),
  allocateAddress,
})

const NODE_STATUS = {
  capacity: { cpu: '4', memory: '1Gi', pods: '110' },
  allocatable: { cpu: '4', memory: '1Gi', pods: '110' },
  conditions: [{ type: 'Ready', status: 'True', reason: 'AgentReady', message: '', lastTransitionTime: timestamp(0) }],
  addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
}

export interface Agent {
  readonly state: DeviceState
  readonly link: DeviceLink
  readonly clock: ProcessClock
  readonly holds: HoldsDesk
  /** World time since which it is out of contact; undefined while it is in contact. */
  readonly silentSinceMs: number | undefined
  readonly startedAtMs: number
  setUplink(kept: KeptUplink): void
  /** A broker on the way has this head, in or out of contact. */
  findHead(head: HeldHead): void
  /** Nobody listens to it any more. */
  leave(): void
}

export interface AgentDeps extends DeviceDeps {
  readonly device: SimDevice
  readonly clock: ProcessClock
  readonly random: Random
  readonly files: Files
  readonly memory: SimMemory
  readonly version: Version
  readonly hostFacts: () => Pick<HostFacts, 'bootID' | 'uptimeSeconds'>
  /** Called after each action was asked for. */
  readonly acted: () => void
}

/** Runs one action on the fake device; `answer` is told in a later event. */
const carryOut = (deps: AgentDeps, action: Action, answer: (input: Input) => void): void => {
  const { device, clock, files } = deps
  const done = (result: ActionResult = {}): void => answer({ on: 'done', action, result })
  const soon = (result: ActionResult = {}): void => void clock.after(STEP_MS, () => done(result))
  const { runtime } = device
  const table: { readonly [K in Action['do']]?: (action: Extract<Action, { do: K }>) => void } = {
    writeVolumes({ uid }) {
      files.folders.add(uid)
      soon()
    },
    removeVolumes({ uid }) {
      files.folders.delete(uid)
      soon()
    },
    createSandbox({ sandbox }) {
      const { netns } = runtime.createSandbox(sandbox)
      soon(netns === undefined ? {} : { netns })
    },
    startContainer({ start }) {
      runtime.start(start.spec, result => {
        if (!clock.isAlive) return
        if ('info' in result) done({ container: result.info })
        else answer({ on: 'failed', action, message: result.error })
      })
    },
    stopContainer: ({ id, graceMs }) => runtime.stop(id, graceMs, () => soon()),
    removeContainer({ id }) {
      if (runtime.remove(id)) soon()
      else clock.after(STEP_MS, () => answer({ on: 'failed', action, message: 'it is running' }))
    },
    removeSandbox({ uid }) {
      runtime.removeSandbox(uid)
      soon()
    },
    probe: () => soon({ answer: { ok: true, message: '' } }),
  }
  const run = table[action.do] as ((action: Action) => void) | undefined
  if (run) run(action)
  else soon()
}

interface LinkHooks {
  readonly onDocument: (document: Document) => void
  readonly onContact: (connected: boolean) => void
}

const dialerOf = ({ server, device, version }: AgentDeps): Dialer => ({
  dial: async signal => asVersion(await device.link.dial(accepted => server.accept(device.name, accepted), signal), version),
})

const openLink = (deps: AgentDeps, dialer: Dialer, hooks: LinkHooks): DeviceLink => {
  const { world, device, clock, files, memory } = deps
  const { uplink, contactIntervalMs } = files.uplink
  return openDeviceLink({
    device: device.name,
    clock,
    random: deps.random,
    log: worldLog(world, device.name),
    dialer,
    memory: memory.link,
    outbox: memory.outbox,
    uplink,
    ...(contactIntervalMs === undefined ? {} : { contactIntervalMs }),
    verify: (text, signature) => simSign(text) === signature,
    sha256: simSha256,
    ...hooks,
    onStream: (_request, stream) => stream.end('the simulation has no logs'),
  })
}

/** What the machine asks for, carried out; reports of before the link wait for it. */
const createCarrier = (deps: AgentDeps, answer: (input: Input) => void) => {
  const { world, device, clock, watcher, memory } = deps
  const { name } = device
  const remembering = createRemembering({ clock, log: worldLog(world, name), memory })
  const early: ((link: DeviceLink) => void)[] = []
  const held: { link: DeviceLink | undefined } = { link: undefined }
  const tell = (fn: (link: DeviceLink) => void): void => {
    if (held.link) fn(held.link)
    else early.push(fn)
  }
  const table: { readonly [K in Output['do']]: (output: Extract<Output, { do: K }>) => void } = {
    act({ action }) {
      world.trace(`${name} ${action.do}${'uid' in action ? ` ${action.uid}` : ''}`)
      watcher.action(device, action)
      carryOut(deps, action, answer)
      deps.acted()
    },
    report: ({ key, value }) => tell(link => link.setStatus(key, value)),
    event({ record, note: { type, reason, note } }) {
      const regarding = { kind: 'Pod', namespace: record.namespace, name: record.name, uid: record.uid }
      watcher.event(device, record.uid)
      tell(link => link.addEvent({ regarding, type, reason, note, time: timestamp(clock.now()) }))
    },
    remember: ({ uid, memory: kept }) => remembering.pod(uid, kept),
    keepHolds: ({ holds }) => remembering.holds(holds),
    forgetLogs: () => {},
  }
  return {
    carry: (output: Output): void => (table[output.do] as (output: Output) => void)(output),
    connect(link: DeviceLink): void {
      held.link = link
      for (const fn of early.splice(0)) fn(link)
    },
  }
}

export const openAgent = (deps: AgentDeps): Agent => {
  const { world, device, clock, files, memory, watcher } = deps
  const state = newState(deviceOf(device.name))
  const log = worldLog(world, device.name)
  const carrier = createCarrier(deps, input => loop.send(input))
  const loop = createLoop(clock, state, carrier.carry)
  const keeper: ContactKeeper = keepContact({
    clock,
    log,
    memory,
    hostFacts: deps.hostFacts,
    tell: contact => loop.send({ on: 'contact', contact }),
  })
  const late: { link: DeviceLink | undefined; silentSinceMs: number | undefined } = { link: undefined, silentSinceMs: world.nowMs }
  const document = files.held?.document
  if (document) {
    // What landed on the disk before a crash is heard of now.
    watcher.document(device, document)
    keeper.document(document)
  }
  // Pods before the network: the machine runs before the link dials.
  loop.send({
    on: 'start',
    truth: device.runtime.inspect(),
    document,
    memories: new Map(files.memories),
    folders: [...files.folders],
    holds: files.holds,
    contact: keeper.first,
  })
  const stopWatching = device.runtime.onExit(container => loop.send({ on: 'exited', container }))
  const dialer = dialerOf(deps)
  const link = openLink(deps, dialer, {
    onDocument(given) {
      watcher.document(device, given)
      keeper.document(given)
      loop.send({ on: 'document', document: given })
    },
    onContact(connected) {
      late.silentSinceMs = connected ? undefined : world.nowMs
      keeper.changed(connected, late.link?.lastContactMs)
    },
  })
  late.link = link
  carrier.connect(link)
  link.setStatus('node', NODE_STATUS)
  return {
    state,
    link,
    clock,
    holds: createHoldsDesk({ state, memory, clock, random: deps.random.fork('holds'), send: loop.send }),
    get silentSinceMs() {
      return late.silentSinceMs
    },
    startedAtMs: world.nowMs,
    setUplink(kept) {
      link.setUplink(kept.uplink)
      link.setContactInterval(kept.contactIntervalMs)
      void memory.saveUplink(kept)
    },
    findHead: head => dialer.onHead?.(JSON.stringify(head)),
    leave: stopWatching,
  }
}
