// What a seed draws: how big the world is, how bad the links, which faults happen at all (swarm: some fully off, others heavy).

import type { Random } from '../../src/base/random.ts'
import type { FakeProfile } from '../../src/runtime/fake-device.ts'
import { LAN, type LinkShape } from './network.ts'

export interface Profile {
  readonly name: string
  readonly nodes: number
  readonly link: LinkShape
  /** Faults a virtual minute, over the whole world; 0 = never. */
  readonly faultsPerMinute: {
    readonly cut: number
    readonly halfOpen: number
    readonly agentCrash: number
    readonly reboot: number
    readonly serverCrash: number
    readonly containerKill: number
    readonly massCut: number
  }
  /** How long a cut lasts, ms: inclusive below, exclusive above. */
  readonly cutMs: readonly [number, number]
  readonly clockOffsetMsMax: number
  readonly runtime: FakeProfile
  /** User actions a virtual minute. */
  readonly usersPerMinute: number
}

const CALM: FakeProfile = {
  startMs: [50, 90],
  stopMs: [5, 50],
  startFailurePerMille: 0,
  crashPerMille: 0,
  crashAfterMs: [1000, 60_000],
  hangPerMille: 0,
}
const ROUGH: FakeProfile = {
  startMs: [50, 2000],
  stopMs: [5, 3000],
  startFailurePerMille: 30,
  crashPerMille: 30,
  crashAfterMs: [500, 120_000],
  hangPerMille: 20,
}
const NONE = { cut: 0, halfOpen: 0, agentCrash: 0, reboot: 0, serverCrash: 0, containerKill: 0, massCut: 0 }
const SLOW: LinkShape = { latencyMinMs: 200, latencyMeanMs: 900, bytesPerSecond: 8000 }

const base = { link: LAN, cutMs: [1000, 60_000], clockOffsetMsMax: 0, runtime: CALM, usersPerMinute: 4, faultsPerMinute: NONE } as const

/** The named ones; `swarm` draws its own. */
export const PROFILES: Readonly<Record<string, (nodes: number) => Profile>> = {
  calm: nodes => ({ ...base, name: 'calm', nodes }),
  tunnel: nodes => ({
    ...base,
    name: 'tunnel',
    nodes,
    cutMs: [2000, 60_000],
    faultsPerMinute: { ...NONE, cut: nodes / 4, halfOpen: nodes / 16 },
  }),
  'field-day': nodes => ({
    ...base,
    name: 'field-day',
    nodes,
    cutMs: [60_000, 1_200_000],
    faultsPerMinute: { ...NONE, cut: nodes / 8, massCut: 0.2 },
  }),
  'slow-pipe': nodes => ({ ...base, name: 'slow-pipe', nodes, link: SLOW, faultsPerMinute: { ...NONE, cut: nodes / 20 } }),
  'bad-clock': nodes => ({
    ...base,
    name: 'bad-clock',
    nodes,
    clockOffsetMsMax: 365 * 86_400_000,
    faultsPerMinute: { ...NONE, cut: 1, agentCrash: 1 },
  }),
  power: nodes => ({
    ...base,
    name: 'power',
    nodes,
    runtime: ROUGH,
    faultsPerMinute: { ...NONE, agentCrash: nodes / 20, reboot: nodes / 20, serverCrash: 0.5, containerKill: nodes / 10 },
  }),
}

/** Everything drawn from the seed. */
export const drawSwarm = (random: Random, nodes: number): Profile => {
  const sometimes = (rate: number): number => (random.int(2) === 0 ? 0 : (rate * (1 + random.int(8))) / 4)
  return {
    name: 'swarm',
    nodes,
    link: random.int(4) === 0 ? SLOW : LAN,
    cutMs: [1000, 2000 + random.int(300_000)],
    clockOffsetMsMax: random.int(3) === 0 ? 365 * 86_400_000 : 0,
    runtime: random.int(2) === 0 ? CALM : ROUGH,
    usersPerMinute: 2 + random.int(10),
    faultsPerMinute: {
      cut: sometimes(nodes / 20),
      halfOpen: sometimes(nodes / 30),
      agentCrash: sometimes(nodes / 40),
      reboot: sometimes(nodes / 60),
      serverCrash: sometimes(0.4),
      containerKill: sometimes(nodes / 20),
      massCut: sometimes(0.2),
    },
  }
}
