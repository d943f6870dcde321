// A device of the simulated world: a fake runtime, a disk that loses what was not yet on it, a link that breaks, and the agent over them
// (agent.ts). An agent crash leaves what runs; a reboot leaves nothing but the disk.

import type { Action } from '../../src/agent/action.ts'
import type { KeptUplink } from '../../src/agent/uplink.ts'
import type { Random } from '../../src/base/random.ts'
import type { Document, HeldHead } from '../../src/link/link.ts'
import { createFakeDevice, drawProgram, type FakeDevice } from '../../src/runtime/fake-device.ts'
import { type Agent, openAgent } from './agent.ts'
import { createMachineClock, type MachineClock } from './clock.ts'
import { createSimDisk, FLASH } from './disk.ts'
import { createMemory, type Files, newFiles } from './memory.ts'
import { createSimLink, type SimLink } from './network.ts'
import { CALM_RUNTIME, type Profile } from './profile.ts'
import type { SimServer } from './server.ts'
import type { Version } from './versions.ts'
import type { World } from './world.ts'

export interface SimDevice {
  readonly name: string
  readonly link: SimLink
  readonly runtime: FakeDevice
  readonly clock: MachineClock
  /** The running agent; undefined while it is down. */
  readonly agent: Agent | undefined
  /** Heads it has saved, the newest last: what a broker may have kept. */
  readonly pastHeads: readonly HeldHead[]
  /** What is on disk. */
  readonly files: Readonly<Files>
  /** World time of the last boot. */
  readonly bootedAtMs: number
  readonly version: Version
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
  /** The machine tells of a pod. */
  event(device: SimDevice, uid: string): void
}

export interface DeviceDeps {
  readonly world: World
  readonly server: SimServer
  readonly profile: Profile
  readonly watcher: DeviceWatcher
}

const PAST_HEADS_MAX = 8

/** How this device gets out, and whether it stays in contact: as the profile of the world has it. */
const drawUplink = ({ uplinks }: Profile, random: Random): KeptUplink => {
  const at = random.int(100)
  const profile = at < uplinks.metered ? 'metered' : at < uplinks.metered + uplinks.normal ? 'normal' : 'lan'
  const uplink = { uplink: profile === 'lan' ? 'eth0' : 'wwan0', profile } as const
  return random.int(100) < uplinks.callers ? { uplink, contactIntervalMs: 60_000 * (1 + random.int(8)) } : { uplink }
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
  const files = newFiles(drawUplink(profile, random.fork('uplink')))
  const isOther = random.int(100) < profile.otherVersionsPerCent
  const version: Version = isOther ? (['older', 'newer'] as const)[random.int(2)]! : 'same'
  const count = { lives: 0, boots: 1, bootedAtMs: world.nowMs }
  const live: { agent: Agent | undefined; tender: (() => void)[] } = { agent: undefined, tender: [] }
  const pastHeads: HeldHead[] = []
  const memory = createMemory(files, disk, head => {
    pastHeads.push(head)
    if (pastHeads.length > PAST_HEADS_MAX) pastHeads.shift()
    world.trace(`${name} saved generation ${head.generation}`)
    deps.watcher.saved(device, head)
  })

  const crashAgent = (): void => {
    const { agent } = live
    if (!agent) return
    world.trace(`${name} agent crash`)
    live.agent = undefined
    live.tender = []
    agent.clock.kill()
    agent.leave()
    disk.crash()
    runtime.crashAgent()
    link.drop('client')
  }
  const device: SimDevice = {
    name,
    link,
    runtime,
    clock,
    files,
    pastHeads,
    version,
    get agent() {
      return live.agent
    },
    get bootedAtMs() {
      return count.bootedAtMs
    },
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
      count.boots++
      count.bootedAtMs = world.nowMs
    },
    startAgent() {
      if (live.agent) return
      world.trace(`${name} agent start`)
      const life = ++count.lives
      const own = clock.process()
      live.agent = openAgent({
        ...deps,
        device,
        clock: own,
        random: random.fork(`agent/${life}`),
        acted: () => {
          for (const fn of live.tender.splice(0)) fn()
        },
        files,
        memory,
        version,
        hostFacts: () => ({ bootID: `boot-${count.boots}`, uptimeSeconds: own.mono() / 1000 }),
      })
    },
    calm() {
      shape.runtime = CALM_RUNTIME
    },
  }
  return device
}
