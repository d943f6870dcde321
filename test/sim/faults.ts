// What goes wrong in a world, and that it goes right again: links, agents, devices, containers, clocks, the server. How often is the
// profile's; when, where and for how long is drawn from the seed.

import type { Random } from '../../src/base/random.ts'
import { conflictEpoch, FOLLOW } from '../../src/kinds/conflict.ts'
import { kindByName } from '../../src/kinds/index.ts'
import type { Node } from '../../src/kinds/node.ts'
import type { HeldHead } from '../../src/link/link.ts'
import type { DeviceChecks } from './check-devices.ts'
import { USER } from './deed.ts'
import type { SimDevice } from './device.ts'
import type { Fleet } from './fleet.ts'
import type { CutKind } from './network.ts'
import { type FaultRates, isGentle, type Profile } from './profile.ts'
import type { SimServer } from './server.ts'
import type { World } from './world.ts'

export interface Faults {
  /** The last minutes in the dark: what changes on devices out of contact is to be told later, in worlds that have such faults. */
  dusk(): void
  /** From now on nothing goes wrong any more, and everything that did is mended. */
  heal(): void
}

interface FaultDeps {
  readonly world: World
  readonly server: SimServer
  readonly fleet: Fleet
  readonly profile: Profile
  readonly checks: DeviceChecks
}

const MINUTE_MS = 60_000
/** How long an agent, a device, the server stays down, ms. */
const AGENT_DOWN_MS = [1, 20_000] as const
const DEVICE_DOWN_MS = [3_000, 90_000] as const
const SERVER_DOWN_MS = [200, 30_000] as const
/** Between two backups; a restore goes back by up to this. */
const BACKUP_MS = 4 * MINUTE_MS
/** How often the operator looks at devices in conflict once all faults are over. */
const OPERATOR_MS = 2 * MINUTE_MS
const CLOCK_STEP_MS = 3 * 3_600_000

export const startFaults = ({ world, server, fleet, profile, checks }: FaultDeps): Faults => {
  const random = world.random.fork('faults')
  const state = { isOver: false }
  const between = (own: Random, [low, high]: readonly [number, number]): number => low + own.int(Math.max(1, high - low))
  const devices = (): SimDevice[] => [...fleet.devices.values()]
  const pick = <T>(own: Random, from: readonly T[]): T | undefined => (from.length === 0 ? undefined : from[own.int(from.length)])
  const isBusy = ({ runtime }: SimDevice): boolean => runtime.inspect().containers.some(one => one.state === 'running')
  /** Mostly one that runs something: the scheduler leaves many devices empty. */
  const someDevice = (own: Random): SimDevice | undefined => {
    const busy = own.int(4) === 0 ? [] : devices().filter(isBusy)
    return pick(own, busy.length > 0 ? busy : devices())
  }
  const later = (delayMs: number, fn: () => void): void =>
    void world.after(delayMs, () => {
      if (!state.isOver) fn()
    })
  const shuffled = <T>(own: Random, items: readonly T[]): T[] => {
    const left = [...items]
    return items.map(() => left.splice(own.int(left.length), 1)[0]!)
  }
  const cut = (device: SimDevice | undefined, kind: CutKind, forMs: number): void => {
    if (!device || device.link.isCut) return
    device.link.cut(kind)
    later(forMs, () => device.link.heal())
  }
  const restart = (device: SimDevice, downMs: number): void => later(downMs, () => device.startAgent())

  /** Now, or in the next write or step: in the same event the code that asked is still running, so a moment later. */
  const atTenderMoment = (own: Random, device: SimDevice, fn: () => void): void => {
    const kind = pick(own, ['now', 'write', 'act'] as const)!
    if (kind === 'now') {
      fn()
      return
    }
    device.onTender(kind, () => later(own.int(3), fn))
  }

  const happen: { readonly [K in keyof FaultRates]: (own: Random) => void } = {
    cut: own => cut(someDevice(own), 'break', between(own, profile.cutMs)),
    halfOpen: own => cut(someDevice(own), 'half-open', between(own, profile.cutMs)),
    agentCrash(own) {
      const device = someDevice(own)
      if (!device?.agent) return
      const downMs = between(own, AGENT_DOWN_MS)
      atTenderMoment(own, device, () => {
        device.crashAgent()
        restart(device, downMs)
      })
    },
    reboot(own) {
      const device = someDevice(own)
      if (!device?.agent) return
      const downMs = between(own, DEVICE_DOWN_MS)
      atTenderMoment(own, device, () => {
        device.reboot()
        restart(device, downMs)
      })
    },
    serverCrash(own) {
      if (!server.process) return
      const downMs = between(own, SERVER_DOWN_MS)
      const crash = (): void => {
        server.crash()
        for (const { link } of devices()) link.drop('server')
        later(downMs, () => server.start())
      }
      // Half of the crashes fall into a commit.
      if (own.int(2) === 0) crash()
      else server.onCommit(() => later(own.int(3), crash))
    },
    containerKill(own) {
      const device = someDevice(own)
      const container = pick(own, device?.runtime.inspect().containers.filter(one => one.state === 'running') ?? [])
      if (container) device?.runtime.kill(container.id, { oomKilled: own.int(3) === 0 })
    },
    massCut(own) {
      world.mark('most links were cut at once')
      const forMs = between(own, profile.cutMs)
      for (const device of devices()) if (own.int(100) < profile.massPerCent) cut(device, own.int(4) === 0 ? 'half-open' : 'break', forMs)
    },
    swizzle(own) {
      const chosen = shuffled(own, devices()).slice(0, 1 + own.int(Math.max(1, devices().length)))
      const stepMs = between(own, profile.cutMs) / chosen.length
      for (const [index, device] of chosen.entries()) later(index * stepMs, () => device.link.cut('break'))
      const after = (chosen.length + 1) * stepMs
      for (const [index, device] of shuffled(own, chosen).entries()) later(after + index * stepMs, () => device.link.heal())
    },
    serverSwap(own) {
      if (!server.process) return
      const downMs = between(own, SERVER_DOWN_MS)
      server.crash()
      for (const { link } of devices()) link.drop('server')
      later(downMs, () => {
        if (server.restore()) world.mark('a server came back with an older backup')
        server.start()
      })
    },
    answerLost(own) {
      const device = someDevice(own)
      const forMs = between(own, profile.cutMs)
      device?.link.onReport(() => later(0, () => cut(device, 'break', forMs)))
    },
    strangeHead(own) {
      const device = someDevice(own)
      const heads = device?.pastHeads ?? []
      const head = own.int(2) === 0 ? heads.at(-1) : pick(own, heads)
      if (!device?.agent || !head) return
      const made = pick<Partial<HeldHead>>(own, [
        {},
        {},
        { generation: head.generation + 1000 },
        { epoch: 'forged' },
        { sha256: '0'.repeat(64) },
      ])
      world.mark(made && Object.keys(made).length > 0 ? 'a head was forged' : 'an old head came again')
      const { leftEpochs: _, ...told } = head
      device.agent.findHead({ ...told, ...made })
    },
    clockStep(own) {
      someDevice(own)?.clock.step(own.int(2 * CLOCK_STEP_MS) - CLOCK_STEP_MS)
    },
  }
  /** As `helio node follow`: the condition says for which epoch. What has not come about by the next round is decided again. */
  const decideAtServer = ({ name }: SimDevice): void => {
    const { process } = server
    const epoch = conflictEpoch(process?.view.get<Node>('Node', '', name))
    if (!process || epoch === undefined) {
      world.mark('an operator came while the device was away')
      return
    }
    const body = { metadata: { annotations: { [FOLLOW]: epoch } } }
    process.verbs
      .patch(USER, { kind: kindByName('Node')!, namespace: '', name }, body, 'merge')
      .catch(() => world.mark('an operator came while the server was away'))
  }
  /** Decides for the restored server, here or there: for one device always at the same place. */
  const operate = (): void => {
    for (const device of devices()) {
      if (device.agent?.link.conflict === undefined) continue
      world.mark('an operator ended a conflict')
      world.trace(`operator: ${device.name}`)
      checks.decided(device)
      if (random.fork(`operator/${device.name}`).int(2) === 0) device.agent.link.resume()
      else decideAtServer(device)
    }
    world.after(OPERATOR_MS, operate)
  }
  const kinds = Object.keys(happen) as (keyof FaultRates)[]
  const backups = (): void => {
    if (server.process) server.backUp()
    later(BACKUP_MS, backups)
  }
  if (profile.faults.serverSwap > 0) backups()
  const minute = (number: number): void => {
    const own = random.fork(`minute/${number}`)
    for (const kind of kinds) {
      const draws = own.fork(kind)
      const rate = profile.faults[kind]
      const times = Math.floor(rate) + (draws.int(1000) < (rate % 1) * 1000 ? 1 : 0)
      for (let i = 0; i < times; i++) later(draws.int(MINUTE_MS), () => happen[kind](draws.fork(`${i}`)))
    }
    later(MINUTE_MS, () => minute(number + 1))
  }
  minute(0)
  return {
    dusk() {
      const own = random.fork('dusk')
      if (profile.faults.cut + profile.faults.massCut === 0) return
      for (const device of devices()) {
        if (own.int(3) === 0 || !isBusy(device)) continue
        device.link.cut('break')
        if (!isGentle(profile)) for (const { id } of device.runtime.inspect().containers) device.runtime.kill(id)
      }
    },
    heal() {
      state.isOver = true
      world.trace('all faults heal')
      server.start()
      for (const device of devices()) {
        device.link.heal()
        device.calm()
        device.startAgent()
      }
      operate()
    },
  }
}
