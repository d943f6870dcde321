// A device of the simulated world: the real device machine and the real link shell over the fake runtime, a disk that loses what was
// not yet on it, and a link that breaks. An agent crash leaves what runs; a reboot leaves nothing but the disk.

import type { Action, ActionResult } from '../../src/agent/action.ts'
import type { Device } from '../../src/agent/device.ts'
import type { Image } from '../../src/agent/images/images.ts'
import { type DeviceState, newState, type Output, step, wakeAtMs } from '../../src/agent/machine.ts'
import type { PodMemory } from '../../src/agent/pod-record.ts'
import { timestamp } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import type { DeviceLink, Document, HeldHead } from '../../src/link/link.ts'
import { openDeviceLink } from '../../src/link/transports/index.ts'
import { allocateAddress } from '../../src/network/index.ts'
import { createFakeDevice, type FakeDevice } from '../../src/runtime/fake-device.ts'
import { createSimClock } from './clock.ts'
import { createSimLink, type SimLink } from './network.ts'
import type { Profile } from './profile.ts'
import { CLUSTER_CIDR, type SimServer, simSha256, simSign } from './server.ts'
import type { World } from './world.ts'

export interface SimDevice {
  readonly name: string
  readonly link: SimLink
  readonly runtime: FakeDevice
  /** Undefined while the agent is down. */
  readonly state: DeviceState | undefined
  readonly connected: boolean
  readonly held: { head: HeldHead; document: Document } | undefined
  /** Heads in the order they were made durable, for the checks. */
  readonly heads: readonly HeldHead[]
  crashAgent(): void
  reboot(): void
  startAgent(): void
  /** Called before an action is carried out. */
  onAction(fn: (action: Action) => void): void
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

const SAVE_MS_MIN = 2
const SAVE_MS_SPREAD = 40
const SOON_MS = 1

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

export const createSimDevice = (world: World, server: SimServer, name: string, profile: Profile): SimDevice => {
  const random = world.random.fork(`device/${name}`)
  const offsetMs = profile.clockOffsetMsMax === 0 ? 0 : random.int(profile.clockOffsetMsMax * 2) - profile.clockOffsetMsMax
  const machineClock = createSimClock(world, { offsetMs })
  const clock = createSimClock(world, { offsetMs })
  const runtime = createFakeDevice({ clock: machineClock, random: random.fork('runtime'), profile: profile.runtime })
  const link = createSimLink(world, name, profile.link)
  const disk = {
    held: undefined as { head: HeldHead; document: Document } | undefined,
    memories: new Map<string, PodMemory>(),
    heads: [] as HeldHead[],
    boots: 0,
  }
  const live = {
    state: undefined as DeviceState | undefined,
    link: undefined as DeviceLink | undefined,
    life: 0,
    cancelWake: undefined as (() => void) | undefined,
    cancelExit: undefined as (() => void) | undefined,
  }
  const listeners: ((action: Action) => void)[] = []
  const diskDraws = random.fork('disk')

  /** Runs later, unless the agent died meanwhile: what it was about to write is lost. */
  const later = (delayMs: number, fn: () => void): void => {
    const { life } = live
    world.after(delayMs, () => {
      if (life === live.life) fn()
    })
  }
  const now = () => ({ wallMs: clock.now(), monoMs: clock.mono() })
  const feed = (input: Parameters<typeof step>[1]): void => {
    const { state } = live
    if (!state) return
    for (const output of step(state, input, now())) carryOut(output)
    live.cancelWake?.()
    const at = wakeAtMs(state)
    live.cancelWake = at === undefined ? undefined : clock.after(Math.max(0, at - clock.mono()), () => feed({ on: 'tick' }))
  }
  const done = (action: Action, result: ActionResult = {}): void => feed({ on: 'done', action, result })
  const soon = (action: Action, result: ActionResult = {}): void => later(SOON_MS, () => done(action, result))

  const act = (action: Action): void => {
    for (const listener of listeners) listener(action)
    const { life } = live
    switch (action.do) {
      case 'createSandbox':
        return soon(action, { netns: runtime.createSandbox(action.sandbox).netns ?? '/ns' })
      case 'startContainer':
        return runtime.start(action.start.spec, result => {
          if (life !== live.life) return
          if ('info' in result) done(action, { container: result.info })
          else feed({ on: 'failed', action, message: result.error })
        })
      case 'stopContainer':
        return runtime.stop(action.id, action.graceMs, () => later(SOON_MS, () => done(action)))
      case 'removeContainer':
        runtime.remove(action.id)
        return soon(action)
      case 'removeSandbox':
        runtime.removeSandbox(action.uid)
        return soon(action)
      case 'probe':
        return soon(action, { answer: { ok: true, message: '' } })
      default:
        return soon(action)
    }
  }
  const carryOut = (output: Output): void => {
    switch (output.do) {
      case 'act':
        world.trace(`${name} ${output.action.do} ${'uid' in output.action ? output.action.uid : ''}`)
        return act(output.action)
      case 'report':
        return live.link?.setStatus(output.key, output.value)
      case 'event':
        return live.link?.addEvent({
          regarding: { kind: 'Pod', namespace: output.record.namespace, name: output.record.name, uid: output.record.uid },
          ...output.note,
          time: timestamp(clock.now()),
        } as Parameters<DeviceLink['addEvent']>[0])
      case 'remember':
        return later(SAVE_MS_MIN + diskDraws.int(SAVE_MS_SPREAD), () => {
          if (output.memory) disk.memories.set(output.uid, output.memory)
          else disk.memories.delete(output.uid)
        })
      case 'forgetLogs':
        return
    }
  }

  const openLink = (): DeviceLink => {
    const { life } = live
    return openDeviceLink({
      device: name,
      bootID: `${name}/${disk.boots}`,
      clock,
      random: random.fork(`link/${life}`),
      log: silentLog,
      dialer: {
        dial: () =>
          new Promise((resolve, reject) => {
            const connection = server.isUp ? link.open(end => server.accept(name, end)) : undefined
            if (connection) resolve(connection)
            else reject(new Error('no route to the server'))
          }),
      },
      memory: {
        load: () => disk.held,
        save: (head, document) =>
          new Promise(resolve =>
            later(SAVE_MS_MIN + diskDraws.int(SAVE_MS_SPREAD), () => {
              disk.held = { head, document }
              disk.heads.push(head)
              world.trace(`${name} saved generation ${head.generation}`)
              resolve()
            }),
          ),
      },
      verify: (text, signature) => simSign(text) === signature,
      sha256: simSha256,
      onDocument: document => {
        if (life === live.life) feed({ on: 'document', document })
      },
      onStream: (_request, stream) => stream.end('the simulation has no logs'),
    })
  }

  const startAgent = (): void => {
    if (live.state) return
    world.trace(`${name} agent start`)
    live.state = newState(deviceOf(name))
    const truth = runtime.inspect()
    live.cancelExit = runtime.onExit(container => feed({ on: 'exited', container }))
    // Pods before the network: the machine runs before the link dials.
    const held = disk.held?.document
    live.link = openLink()
    feed({ on: 'start', truth, document: held, memories: new Map(disk.memories), folders: [] })
    live.link.setStatus('node', {
      capacity: { cpu: '4', memory: '1Gi', pods: '110' },
      allocatable: { cpu: '4', memory: '1Gi', pods: '110' },
      conditions: [{ type: 'Ready', status: 'True', reason: 'AgentReady', message: '', lastTransitionTime: timestamp(0) }],
      addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
    })
  }
  const crashAgent = (): void => {
    if (!live.state) return
    world.trace(`${name} agent crash`)
    live.life++
    live.cancelWake?.()
    live.cancelExit?.()
    live.state = undefined
    live.link = undefined
    clock.halt()
    runtime.crashAgent()
    // The kernel closes the sockets of a dead process.
    if (!link.isCut) {
      link.cut('break')
      link.heal()
    }
  }
  return {
    name,
    link,
    runtime,
    heads: disk.heads,
    get state() {
      return live.state
    },
    get connected() {
      return live.link?.connected ?? false
    },
    get held() {
      return disk.held
    },
    startAgent,
    crashAgent,
    reboot() {
      crashAgent()
      world.trace(`${name} reboot`)
      disk.boots++
      runtime.reboot()
      machineClock.boot()
      clock.boot()
    },
    onAction: fn => void listeners.push(fn),
  }
}

/** Pods are numbered over the whole range so that every node has a /24. */
export const podCIDROf = (index: number): string => `10.${(index >> 8) & 255}.${index & 255}.0/24`
export { CLUSTER_CIDR }
