// One deed of a user: what it may look at, whom it acts as, and the words deeds share. Users remember what they asked for, so that checks
// can tell it from what happened by itself.

import type { Identity, Target, Verbs } from '../../src/api/api.ts'
import type { Random } from '../../src/base/random.ts'
import type { Deployment } from '../../src/kinds/deployment.ts'
import { kindByName } from '../../src/kinds/index.ts'
import type { Pod } from '../../src/kinds/pod.ts'
import type { DeviceChecks } from './check-devices.ts'
import type { Fleet } from './fleet.ts'
import type { Profile } from './profile.ts'
import type { ServerProcess } from './server.ts'
import type { World } from './world.ts'

export interface Asked {
  /** Uids of pods users deleted, drained, or took from their owner. */
  readonly pods: Set<string>
  readonly namespaces: Set<string>
  /** Compare-and-swap increments that were answered well, and those whose answer never came. */
  readonly counted: { acknowledged: number; started: number; refused: number }
}

export interface Scene {
  readonly world: World
  readonly random: Random
  readonly process: ServerProcess
  readonly verbs: Verbs
  readonly fleet: Fleet
  readonly profile: Profile
  readonly asked: Asked
  readonly checks: DeviceChecks
  /** A number nobody had before. */
  readonly next: () => number
}

export const USER: Identity = { name: 'someone', groups: ['system:masters'] }

export const target = (kind: string, object: { metadata: { namespace?: string; name?: string } }): Target => ({
  kind: kindByName(kind)!,
  namespace: object.metadata.namespace ?? '',
  name: object.metadata.name ?? '',
})
export const pick = <T>(random: Random, from: readonly T[]): T | undefined =>
  from.length === 0 ? undefined : from[random.int(from.length)]
export const alive = <T extends { metadata: { deletionTimestamp?: string } }>(objects: readonly T[]): T[] =>
  objects.filter(object => object.metadata.deletionTimestamp === undefined)

export const someDeployment = ({ process, random }: Scene): Deployment | undefined =>
  pick(random, alive(process.view.list<Deployment>('Deployment')))
export const somePod = ({ process, random }: Scene): Pod | undefined =>
  pick(random, alive(process.view.list<Pod>('Pod').filter(pod => pod.metadata.labels?.['app'] !== undefined)))
export const patch = (scene: Scene, kind: string, object: Parameters<typeof target>[1], body: unknown): Promise<unknown> =>
  scene.verbs.patch(USER, target(kind, object), body, 'merge')

/** How often of all, its name, and the deed; undefined when there is nothing to do it to. */
export type Deed = readonly [weight: number, name: string, deed: (scene: Scene) => Promise<unknown> | undefined]
