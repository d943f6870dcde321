// One seed, one life of a world: set up, users and faults for a time, then everything heals and has time to come to rest, then the end is
// judged. The same seed gives the same trace.

import { kindByName } from '../../src/kinds/index.ts'
import { createDeviceChecks } from './check-devices.ts'
import { startDisconnectionChecks } from './check-disconnection.ts'
import { checkEnd } from './check-end.ts'
import { startHistory } from './check-history.ts'
import { startOutboxChecks } from './check-outbox.ts'
import { startPodChecks } from './check-pods.ts'
import { measureQuiet } from './check-quiet.ts'
import { startRolloutChecks } from './check-rollout.ts'
import { USER } from './deed.ts'
import { startFaults } from './faults.ts'
import { createFleet, type Fleet } from './fleet.ts'
import { COUNTER, crowdOf, deploymentOf } from './manifest.ts'
import { isGentle, type Profile, profileOf, SWARM } from './profile.ts'
import { createSimServer, type SimServer } from './server.ts'
import { startWorkload } from './workload.ts'
import { CONFLICTED, createWorld, type Failure, type World } from './world.ts'

export interface SimulateOptions {
  readonly seed: string
  readonly nodes: number
  /** How long users and faults go on, virtual minutes. */
  readonly minutes: number
  /** `swarm` when absent: everything drawn from the seed. */
  readonly profile?: string
  /** Called every virtual hour. */
  readonly onHour?: (hour: number, events: number) => void
  /** Gets the trace as it grows. */
  readonly onTrace?: (line: string) => void
}

export interface SimulateResult {
  readonly seed: string
  readonly profile: Profile
  readonly hash: string
  readonly events: number
  readonly marks: ReadonlyMap<string, number>
  readonly failure?: Failure
  /** The last lines of the trace. */
  readonly tail: readonly string[]
  /** One line about what the world had at its end. */
  readonly summary: string
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** Set-up: nodes join, the first Deployments run. */
const SETUP_MS = 30_000
/** How long before the end of the faults some devices lose contact for good. */
const DUSK_MS = MINUTE_MS

/** Virtual hours of a whole life. */
export const hoursOf = ({ settleMs, quietMs }: Profile, minutes: number): number =>
  Math.ceil((SETUP_MS + minutes * MINUTE_MS + settleMs + quietMs) / HOUR_MS)

/** Kinds of faults and checks are the same in every world; which happen is the profile's. */
const setUp = (world: World, server: SimServer, fleet: Fleet, { nodes, isCrowded }: Profile): void => {
  const random = world.random.fork('set-up')
  world.after(50, () => {
    for (let i = 0; i < nodes; i++) joined(world, fleet.add())
  })
  world.after(2_000, () => {
    const verbs = server.process!.verbs
    joined(world, verbs.create(USER, { kind: kindByName('ConfigMap')!, namespace: 'default' }, COUNTER))
    for (let i = 0; i < 2 + nodes / 20; i++) {
      const kind = kindByName('Deployment')!
      const name = `first-${i}`
      const made = isCrowded ? crowdOf(i, nodes) : deploymentOf(random, 'default', i, nodes)
      joined(world, verbs.create(USER, { kind, namespace: 'default' }, { ...made, metadata: { ...made.metadata, name } }))
    }
  })
}

const joined = (world: World, work: Promise<unknown>): void => {
  work.catch((error: unknown) => world.fail('the world is set up', String(error)))
}

export const simulate = async (options: SimulateOptions): Promise<SimulateResult> => {
  const { seed, nodes, minutes } = options
  const world = createWorld(seed, options.onTrace)
  const profile = profileOf(options.profile ?? SWARM, nodes, world.random.fork('profile'))
  const server = createSimServer(world)
  const late: { asked?: ReturnType<typeof startWorkload>['asked'] } = {}
  const rollouts = isGentle(profile) ? startRolloutChecks(world, server, () => fleet) : undefined
  const checks = createDeviceChecks(world, (uid, own) => rollouts?.stopping(uid, own))
  const fleet = createFleet({ world, server, profile, watcher: checks })
  const history = startHistory(world, server)
  const pods = startPodChecks(world, server, () => late.asked)
  const disconnection = startDisconnectionChecks(world, server, () => fleet)
  const outboxes = startOutboxChecks(world, server, profile, checks)
  const look = (): void =>
    void world.after(profile.lookMs, () => {
      checks.look(fleet.devices.values())
      disconnection.look()
      outboxes.look(fleet.devices.values())
      look()
    })
  look()
  const hours = (hour: number): void =>
    void world.after(HOUR_MS, () => {
      options.onHour?.(hour, world.events)
      hours(hour + 1)
    })
  hours(1)
  pods.onDisturbed(pod => rollouts?.disturbed(pod))
  server.start()
  setUp(world, server, fleet, profile)
  await world.run(SETUP_MS)
  // A world in which nothing runs breaks nothing: it has to come to life first.
  const isAlive = [...fleet.devices.values()].some(device => device.runtime.inspect().containers.some(one => one.state === 'running'))
  if (!isAlive) world.fail('the world is set up', 'no container runs')
  const users = startWorkload({ world, server, fleet, profile, checks })
  late.asked = users.asked
  const faults = startFaults({ world, server, fleet, profile, checks })
  await run(world, SETUP_MS + minutes * MINUTE_MS - DUSK_MS)
  world.after(0, () => faults.dusk())
  await run(world, SETUP_MS + minutes * MINUTE_MS)
  world.after(0, () => {
    users.stop()
    faults.heal()
  })
  await run(world, world.nowMs + profile.settleMs)
  const { process } = server
  if (!world.failure && process) {
    const quiet = measureQuiet(world, process, fleet, profile)
    await run(world, world.nowMs + profile.quietMs)
    quiet.finish()
    checkEnd(world, process, fleet)
    history.finish()
    outboxes.finish(fleet)
    const { acknowledged, started } = users.asked.counted
    const counted = history.counted + history.forgotten
    if (counted < acknowledged || counted > started)
      world.fail(
        'no update is lost',
        `${acknowledged} of ${started} increments were acknowledged, the counter is at ${history.counted}, ${history.forgotten} were forgotten`,
      )
  }
  if (server.restores === 0 && world.marks.has(CONFLICTED)) world.fail('only a restore brings conflicts', CONFLICTED)
  return resultOf(world, profile, server, fleet)
}

const run = async (world: World, untilMs: number): Promise<void> => {
  if (!world.failure) await world.run(untilMs)
}

const resultOf = (world: World, profile: Profile, server: SimServer, fleet: Fleet): SimulateResult => {
  const count = (kind: string): number => server.process?.view.list(kind).length ?? 0
  const bytes = [...fleet.devices.values()].reduce((sum, { link }) => sum + link.bytes.up + link.bytes.down, 0)
  const summary = `${count('Node')} nodes, ${count('Deployment')} deployments, ${count('Pod')} pods, revision ${server.process?.store.revision}, ${bytes} bytes on the wire`
  const { seed, hash, events, marks, failure, tail } = world
  return { seed, profile, hash, events, marks, tail, summary, ...(failure ? { failure } : {}) }
}
