// A device of the simulated world: the real device machine, its loop and its link over the fake runtime, a disk that loses what was not
// yet on it, and a link that breaks. An agent crash leaves what runs; a reboot leaves nothing but the disk.

import type { Action, ActionResult } from '../../src/agent/action.ts'
import type { Device } from '../../src/agent/device.ts'
import type { Hold } from '../../src/agent/holds.ts'
import type { Image } from '../../src/agent/images/images.ts'
import { createLoop } from '../../src/agent/loop.ts'
import { type DeviceState, type Input, newState, type Output } from '../../src/agent/machine.ts'
import type { PodMemory } from '../../src/agent/pod-record.ts'
import { createRemembering } from '../../src/agent/remembering.ts'
import { timestamp } from '../../src/base/clock.ts'
import type { Random } from '../../src/base/random.ts'
import type { DeviceLink, Document, HeldHead } from '../../src/link/link.ts'
import { openDeviceLink } from '../../src/link/transports/index.ts'
import { allocateAddress } from '../../src/network/index.ts'
import { createFakeDevice, drawProgram, type FakeDevice } from '../../src/runtime/fake-device.ts'
import { createMachineClock, type MachineClock, type ProcessClock } from './clock.ts'
import { createSimDisk, FLASH } from './disk.ts'
import { createSimLink, type SimLink } from './network.ts'
import { CALM_RUNTIME, type Profile } from './profile.ts'
import { type SimServer, simSha256, simSign } from './server.ts'
import { asVersion, type Version } from './versions.ts'
import { type World, worldLog } from './world.ts'

export interface Held {
  readonly head: HeldHead
  readonly document: Document
}

export interface SimDevice {
  readonly name: string
  readonly link: SimLink
  readonly runtime: FakeDevice
  readonly clock: MachineClock
  /** The machine of the running agent; undefined while it is down. */
  readonly state: DeviceState | undefined
  readonly connected: boolean
  /** Set while the device will not follow a restored server. */
  readonly conflict: string | undefined
  /** The operator's decision, on the device. */
  resume(): void
  /** What is on disk. */
  readonly held: Held | undefined
  /** The process dies; what runs goes on. */
  crashAgent(): void
  /** Calls back once, soon after the agent has begun a write or asked for a step: the moments at which a crash hurts. */
  onTender(moment: 'write' | 'act', fn: () => void): void
  /** The power goes: nothing runs until the agent is started. */
  reboot(): void
  startAgent(): void
  /** Containers started from now on neither crash nor hang. */
  calm(): void
}

/** What the checks want to hear of devices. */
export interface DeviceWatcher {
  /** Before an action is carried out. */
  action(device: SimDevice, action: Action): void
  /** A head has become durable. */
  saved(device: SimDevice, head: HeldHead): void
  /** The machine is given a document. */
  document(device: SimDevice, document: Document): void
}

export interface DeviceDeps {
  readonly world: World
  readonly server: SimServer
  readonly profile: Profile
  readonly watcher: DeviceWatcher
}

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

/** What lies on the device's disk. */
interface Files {
  held: Held | undefined
  readonly memories: Map<string, PodMemory>
  holds: readonly Hold[]
  readonly folders: Set<string>
}

interface Agent {
  readonly state: DeviceState
  readonly link: DeviceLink
  readonly clock: ProcessClock
  readonly stopWatching: () => void
}

interface AgentDeps extends DeviceDeps {
  readonly device: SimDevice
  readonly clock: ProcessClock
  readonly random: Random
  readonly files: Files
  readonly write: (land: () => void, done: () => void) => void
  readonly version: Version
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

const openLink = (deps: AgentDeps, onDocument: (document: Document) => void): DeviceLink => {
  const { world, server, device, clock, files, watcher } = deps
  return openDeviceLink({
    device: device.name,
    clock,
    random: deps.random,
    log: worldLog(world, device.name),
    dialer: {
      dial: async signal => {
        const connection = await device.link.dial(accepted => server.accept(device.name, accepted), signal)
        return asVersion(connection, deps.version)
      },
    },
    memory: {
      load: () => files.held,
      save: (head, document) =>
        new Promise(resolve =>
          deps.write(() => {
            files.held = { head, document }
            world.trace(`${device.name} saved generation ${head.generation}`)
            watcher.saved(device, head)
          }, resolve),
        ),
    },
    verify: (text, signature) => simSign(text) === signature,
    sha256: simSha256,
    onDocument,
    onStream: (_request, stream) => stream.end('the simulation has no logs'),
  })
}

const openAgent = (deps: AgentDeps): Agent => {
  const { world, device, clock, files, watcher } = deps
  const { name } = device
  const state = newState(deviceOf(name))
  const remembering = createRemembering({
    clock,
    log: worldLog(world, name),
    memory: {
      savePods: changes =>
        new Promise(resolve =>
          deps.write(() => {
            for (const [uid, memory] of changes) {
              if (memory) files.memories.set(uid, memory)
              else files.memories.delete(uid)
            }
          }, resolve),
        ),
      saveHolds: holds =>
        new Promise(resolve =>
          deps.write(() => {
            files.holds = holds
          }, resolve),
        ),
    },
  })
  const early: ((link: DeviceLink) => void)[] = []
  const hold: { link: DeviceLink | undefined } = { link: undefined }
  const tell = (fn: (link: DeviceLink) => void): void => {
    if (hold.link) fn(hold.link)
    else early.push(fn)
  }
  const table: { readonly [K in Output['do']]: (output: Extract<Output, { do: K }>) => void } = {
    act({ action }) {
      world.trace(`${name} ${action.do}${'uid' in action ? ` ${action.uid}` : ''}`)
      watcher.action(device, action)
      carryOut(deps, action, input => loop.send(input))
      deps.acted()
    },
    report: ({ key, value }) => tell(link => link.setStatus(key, value)),
    event({ record, note: { type, reason, note } }) {
      const regarding = { kind: 'Pod', namespace: record.namespace, name: record.name, uid: record.uid }
      tell(link => link.addEvent({ regarding, type, reason, note, time: timestamp(clock.now()) }))
    },
    remember: ({ uid, memory }) => remembering.pod(uid, memory),
    keepHolds: ({ holds }) => remembering.holds(holds),
    forgetLogs: () => {},
  }
  const carry = (output: Output): void => (table[output.do] as (output: Output) => void)(output)
  const loop = createLoop(clock, state, carry)
  // Pods before the network: the machine runs before the link dials.
  loop.send({
    on: 'start',
    truth: device.runtime.inspect(),
    document: files.held?.document,
    memories: new Map(files.memories),
    folders: [...files.folders],
    holds: files.holds,
  })
  const stopWatching = device.runtime.onExit(container => loop.send({ on: 'exited', container }))
  const link = openLink(deps, document => {
    watcher.document(device, document)
    loop.send({ on: 'document', document })
  })
  hold.link = link
  for (const fn of early.splice(0)) fn(link)
  link.setStatus('node', NODE_STATUS)
  return { state, link, clock, stopWatching }
}

export const createSimDevice = (deps: DeviceDeps, name: string): SimDevice => {
  const { world, profile } = deps
  const random = world.random.fork(`device/${name}`)
  const offsetMs = profile.clockOffsetMsMax === 0 ? 0 : 1000 * random.int(profile.clockOffsetMsMax / 500) - profile.clockOffsetMsMax
  const clock = createMachineClock(world, { offsetMs, driftPerMillion: profile.clockOffsetMsMax === 0 ? 0 : random.int(200) - 100 })
  const shape = { runtime: profile.runtime }
  const runtime = createFakeDevice({
    clock: clock.process(),
    random: random.fork('runtime'),
    program: (_spec, own) => drawProgram(shape.runtime, own),
  })
  const link = createSimLink(world, name, profile.link)
  const disk = createSimDisk(world, random.fork('disk'), FLASH)
  const files: Files = { held: undefined, memories: new Map(), holds: [], folders: new Set() }
  const isOther = random.int(100) < profile.otherVersionsPerCent
  const version: Version = isOther ? (['older', 'newer'] as const)[random.int(2)]! : 'same'
  const count = { lives: 0 }
  const live: { agent: Agent | undefined; tender: (() => void)[] } = { agent: undefined, tender: [] }

  const crashAgent = (): void => {
    const { agent } = live
    if (!agent) return
    world.trace(`${name} agent crash`)
    live.agent = undefined
    live.tender = []
    agent.clock.kill()
    agent.stopWatching()
    disk.crash()
    runtime.crashAgent()
    link.drop('client')
  }
  const device: SimDevice = {
    name,
    link,
    runtime,
    clock,
    get state() {
      return live.agent?.state
    },
    get connected() {
      return live.agent?.link.connected ?? false
    },
    get held() {
      return files.held
    },
    get conflict() {
      return live.agent?.link.conflict
    },
    resume: () => live.agent?.link.resume(),
    crashAgent,
    onTender(moment, fn) {
      if (moment === 'write') disk.onWrite(fn)
      else live.tender.push(fn)
    },
    reboot() {
      crashAgent()
      world.trace(`${name} reboot`)
      runtime.reboot()
      clock.boot()
    },
    startAgent() {
      if (live.agent) return
      world.trace(`${name} agent start`)
      const life = ++count.lives
      live.agent = openAgent({
        ...deps,
        device,
        clock: clock.process(),
        random: random.fork(`agent/${life}`),
        acted: () => {
          for (const fn of live.tender.splice(0)) fn()
        },
        files,
        write: disk.write,
        version,
      })
    },
    calm() {
      shape.runtime = CALM_RUNTIME
    },
  }
  return device
}
