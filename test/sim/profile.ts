// What a seed draws: how big the world is, how bad the links, which faults happen at all (swarm: some fully off, others heavy).

import type { Random } from '../../src/base/random.ts'
import type { FakeProfile } from '../../src/runtime/fake-device.ts'
import { LAN, type LinkShape, SLOW } from './network.ts'

/** Every fault there is; each happens so many times a virtual minute, over the whole world; 0 = never. */
export interface FaultRates {
  readonly cut: number
  readonly halfOpen: number
  readonly agentCrash: number
  readonly reboot: number
  readonly serverCrash: number
  readonly containerKill: number
  /** Six of ten links at once. */
  readonly massCut: number
  /** A set of links cut one by one, healed in another order. */
  readonly swizzle: number
  readonly clockStep: number
  /** The server dies and comes back with an older backup. */
  readonly serverSwap: number
  /** A link breaks just when the server has been given a report: the answer is lost. */
  readonly answerLost: number
  /** A broker repeats a head of any age, or makes one up. */
  readonly strangeHead: number
}

export interface Profile {
  readonly name: string
  readonly nodes: number
  readonly link: LinkShape
  readonly faults: FaultRates
  /** How long a cut lasts, ms: inclusive below, exclusive above. */
  readonly cutMs: readonly [number, number]
  readonly clockOffsetMsMax: number
  readonly runtime: FakeProfile
  /** Of a hundred links so many go in a mass cut. */
  readonly massPerCent: number
  /** Many small pods on each node, and a policy of replacement for all. */
  readonly isCrowded: boolean
  /** Of a hundred user actions so many are certainly about links that come and go. */
  readonly edgePerCent: number
  /** User actions a virtual minute. */
  readonly usersPerMinute: number
  /** Of a hundred agents so many are a release behind or ahead: they leave out what is optional, or say more than is known. */
  readonly otherVersionsPerCent: number
  /** Between two looks of the checks at what runs. */
  readonly lookMs: number
  /**
   * After all faults are over: until everything has come to rest, and how long it is watched at rest. The longest wait to dial again is 15
   * minutes (metered: an hour), then a container may wait 5 minutes in its back-off. What is left over by then stays left over.
   */
  readonly settleMs: number
  readonly quietMs: number
  /** Of a hundred devices so many have a metered or a normal uplink (the others are on a LAN), and so many call by interval. */
  readonly uplinks: { readonly metered: number; readonly normal: number; readonly callers: number }
}

/** True when nothing but users and controllers ends a container. */
export const isGentle = ({ runtime, faults }: Profile): boolean =>
  runtime.crashPerMille === 0 && faults.reboot === 0 && faults.containerKill === 0 && faults.serverSwap === 0

export const CALM_RUNTIME: FakeProfile = {
  startMs: [50, 90],
  stopMs: [5, 50],
  startFailurePerMille: 0,
  crashPerMille: 0,
  crashAfterMs: [1000, 60_000],
  hangPerMille: 0,
}
export const ROUGH_RUNTIME: FakeProfile = {
  startMs: [50, 2000],
  stopMs: [5, 3000],
  startFailurePerMille: 30,
  crashPerMille: 30,
  crashAfterMs: [500, 120_000],
  hangPerMille: 20,
}
const NONE: FaultRates = {
  cut: 0,
  halfOpen: 0,
  agentCrash: 0,
  reboot: 0,
  serverCrash: 0,
  containerKill: 0,
  massCut: 0,
  swizzle: 0,
  clockStep: 0,
  serverSwap: 0,
  answerLost: 0,
  strangeHead: 0,
}
const MINUTE_MS = 60_000
const YEAR_MS = 365 * 86_400_000

const base = {
  link: LAN,
  cutMs: [1000, 60_000],
  clockOffsetMsMax: 0,
  runtime: CALM_RUNTIME,
  massPerCent: 60,
  isCrowded: false,
  edgePerCent: 0,
  usersPerMinute: 6,
  otherVersionsPerCent: 0,
  uplinks: { metered: 0, normal: 0, callers: 0 },
  lookMs: 10_000,
  settleMs: 24 * MINUTE_MS,
  quietMs: 3 * MINUTE_MS,
  faults: NONE,
} as const

/** Some links cost money: dials may be an hour apart, and a half-open connection is found late. */
const METERED = { uplinks: { metered: 20, normal: 30, callers: 10 }, settleMs: 100 * MINUTE_MS } as const

const HOUR_MS = 60 * MINUTE_MS
/** Many pods on few nodes, all to be replaced soon; users leave them alone. */
const CROWD = { ...base, isCrowded: true, usersPerMinute: 1, cutMs: [90_000, 400_000], settleMs: 40 * MINUTE_MS } as const

/** A fleet's week: hours and days offline, now and then a crash, a day's outage of most, few changes. */
const WEEK: Omit<Profile, 'name' | 'nodes'> = {
  ...base,
  uplinks: { metered: 0, normal: 100, callers: 0 },
  cutMs: [MINUTE_MS, 30 * HOUR_MS],
  usersPerMinute: 0.15,
  lookMs: 30 * MINUTE_MS,
  settleMs: 60 * MINUTE_MS,
  quietMs: 6 * HOUR_MS,
  faults: { ...NONE, cut: 0.3, halfOpen: 0.03, agentCrash: 0.05, reboot: 0.05, serverCrash: 0.002, massCut: 0.0004, swizzle: 0.0004 },
}

/** The named ones; `swarm` draws its own. */
const NAMED: Readonly<Record<string, (nodes: number) => Omit<Profile, 'name' | 'nodes'>>> = {
  calm: () => base,
  week: () => WEEK,
  // Every byte costs: a whole day of rest is counted.
  metered: nodes => ({
    ...base,
    uplinks: { metered: 100, normal: 0, callers: 0 },
    lookMs: MINUTE_MS,
    settleMs: 100 * MINUTE_MS,
    quietMs: 20 * 60 * MINUTE_MS,
    faults: { ...NONE, cut: nodes / 12 },
  }),
  tunnel: nodes => ({
    ...base,
    ...METERED,
    cutMs: [2000, 60_000],
    faults: { ...NONE, cut: nodes / 4, halfOpen: nodes / 16, answerLost: nodes / 8 },
  }),
  'field-day': nodes => ({
    ...base,
    uplinks: { metered: 0, normal: 80, callers: 10 },
    settleMs: 40 * MINUTE_MS,
    cutMs: [60_000, 1_200_000],
    faults: { ...NONE, cut: nodes / 8, massCut: 0.2 },
  }),
  morning: () => ({ ...base, cutMs: [30_000, 120_000], faults: { ...NONE, massCut: 0.5, serverCrash: 0.2 } }),
  'slow-pipe': nodes => ({ ...base, link: SLOW, faults: { ...NONE, cut: nodes / 20 } }),
  'bad-clock': () => ({ ...base, clockOffsetMsMax: YEAR_MS, faults: { ...NONE, cut: 1, agentCrash: 1, clockStep: 1 } }),
  power: nodes => ({
    ...base,
    runtime: ROUGH_RUNTIME,
    faults: { ...NONE, agentCrash: nodes / 20, reboot: nodes / 20, serverCrash: 0.5, containerKill: nodes / 10 },
  }),
  // A mast on a hill: containers that crash, behind a link that comes and goes.
  hill: nodes => ({
    ...base,
    cutMs: [2000, 120_000],
    runtime: ROUGH_RUNTIME,
    faults: { ...NONE, cut: nodes / 5, halfOpen: nodes / 12, agentCrash: nodes / 20, containerKill: nodes / 4 },
  }),
  'server-crash': () => ({ ...base, usersPerMinute: 20, faults: { ...NONE, serverCrash: 2 } }),
  'server-swap': nodes => ({ ...base, faults: { ...NONE, serverSwap: 0.5, serverCrash: 0.2, cut: nodes / 20 } }),
  'mixed-versions': nodes => ({
    ...base,
    otherVersionsPerCent: 60,
    faults: { ...NONE, cut: nodes / 6, agentCrash: nodes / 20, serverCrash: 0.3 },
  }),
  // Hands on devices and policies: holds, restarts, replacement, stop-after, while agents and devices come and go.
  hands: nodes => ({
    ...base,
    cutMs: [20_000, 240_000],
    edgePerCent: 80,
    usersPerMinute: 20,
    uplinks: { metered: 0, normal: 20, callers: 10 },
    settleMs: 40 * MINUTE_MS,
    faults: { ...NONE, cut: nodes / 10, agentCrash: nodes / 10, reboot: nodes / 20, answerLost: nodes / 4, strangeHead: nodes / 3 },
  }),
  // Many pods on few nodes, and never so many nodes cut together that the brake is certain: what is replaced is replaced at a rate.
  crowd: nodes => ({ ...CROWD, massPerCent: 20, faults: { ...NONE, massCut: 0.3, cut: nodes / 10 } }),
  // The same, and most of it goes dark together: nothing is replaced at all.
  blackout: () => ({ ...CROWD, massPerCent: 55, faults: { ...NONE, massCut: 0.3 } }),
  swizzle: () => ({ ...base, cutMs: [5000, 90_000], faults: { ...NONE, swizzle: 1 } }),
}

/** Everything drawn from the seed: some faults fully off, others heavy. */
const drawSwarm = (random: Random, nodes: number): Omit<Profile, 'name' | 'nodes'> => {
  const isMetered = random.int(3) === 0
  const sometimes = (rate: number): number => (random.int(2) === 0 ? 0 : (rate * (1 + random.int(8))) / 4)
  return {
    link: random.int(4) === 0 ? SLOW : LAN,
    cutMs: [1000, 2000 + random.int(300_000)],
    clockOffsetMsMax: random.int(3) === 0 ? YEAR_MS : 0,
    runtime: random.int(2) === 0 ? CALM_RUNTIME : ROUGH_RUNTIME,
    massPerCent: 60,
    isCrowded: false,
    edgePerCent: 0,
    usersPerMinute: 2 + random.int(16),
    otherVersionsPerCent: random.int(3) === 0 ? random.int(100) : 0,
    uplinks: { metered: isMetered ? random.int(60) : 0, normal: random.int(50), callers: random.int(2) * random.int(20) },
    lookMs: 10_000,
    settleMs: (isMetered ? 100 : 40) * MINUTE_MS,
    quietMs: 3 * MINUTE_MS,
    faults: {
      cut: sometimes(nodes / 20),
      halfOpen: sometimes(nodes / 30),
      agentCrash: sometimes(nodes / 40),
      reboot: sometimes(nodes / 60),
      serverCrash: sometimes(0.4),
      containerKill: sometimes(nodes / 20),
      massCut: sometimes(0.2),
      swizzle: sometimes(0.2),
      clockStep: sometimes(0.2),
      serverSwap: random.int(6) === 0 ? 0.2 : 0,
      answerLost: sometimes(nodes / 10),
      strangeHead: sometimes(nodes / 20),
    },
  }
}

export const SWARM = 'swarm'
export const profileNames: readonly string[] = [...Object.keys(NAMED), SWARM]

/** The profile of this name; throws when there is none. */
export const profileOf = (name: string, nodes: number, random: Random): Profile => {
  const shape = name === SWARM ? drawSwarm(random, nodes) : NAMED[name]?.(nodes)
  if (!shape) throw new Error(`choose profile: ${name} is none of ${profileNames.join(', ')}`)
  return { ...shape, name, nodes }
}
