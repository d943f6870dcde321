// Seeded users of a world: they act at drawn times, expect fitting answers, and several of them count one number up with
// compare-and-swap. What they did not hear of (the server died) may have happened or not.

import { ApiError } from '../../src/base/errors.ts'
import type { KubeObject } from '../../src/base/object.ts'
import type { Random } from '../../src/base/random.ts'
import type { DeviceChecks } from './check-devices.ts'
import { type Asked, type Scene, target, USER } from './deed.ts'
import { drawDeed } from './deeds.ts'
import type { Fleet } from './fleet.ts'
import { COUNTER } from './manifest.ts'
import type { Profile } from './profile.ts'
import type { SimServer } from './server.ts'
import type { World } from './world.ts'

export interface Workload {
  readonly asked: Asked
  /** Nobody asks for anything any more. */
  stop(): void
}

const MINUTE_MS = 60_000
const COUNTERS = 3
const THINK_MS = 30
/** Rounds of counting are as many deeds apart. */
const COUNTS_PER_DEED = 1.5
/** What a user may be told without anything being wrong. */
const EXPECTED = new Set(['Conflict', 'NotFound', 'AlreadyExists', 'TooManyRequests', 'ServiceUnavailable', 'Forbidden'])

/** Several people add one to the same number at the same time: each reads, thinks, and writes what it read plus one. */
const increment = ({ world, random, verbs, asked }: Scene): void => {
  const at = target('ConfigMap', COUNTER)
  const read = verbs.get(at) as KubeObject & { data: { n: string } }
  world.after(random.int(THINK_MS), () => {
    asked.counted.started++
    verbs.update(USER, at, { ...read, data: { n: String(Number(read.data.n) + 1) } }).then(
      () => void asked.counted.acknowledged++,
      (error: unknown) => {
        asked.counted.refused++
        if (error instanceof ApiError && error.reason === 'Conflict') world.mark('a conflict happened')
      },
    )
  })
}

export const startWorkload = (deps: {
  world: World
  server: SimServer
  fleet: Fleet
  profile: Profile
  checks: DeviceChecks
}): Workload => {
  const { world, server, profile } = deps
  const random = world.random.fork('users')
  const asked: Asked = { pods: new Set(), namespaces: new Set(), counted: { acknowledged: 0, started: 0, refused: 0 } }
  const state = { isOver: false, number: 0, deeds: 0, counts: 0 }
  const scene = (own: Random): Scene | undefined =>
    server.process && { ...deps, random: own, process: server.process, verbs: server.process.verbs, asked, next: () => ++state.number }

  const answered = (name: string, error: unknown): void => {
    if (error instanceof ApiError && EXPECTED.has(error.reason)) world.mark(`${name}: ${error.reason}`)
    else world.fail('users get a fitting answer', `${name}: ${error instanceof Error ? error.stack : String(error)}`)
  }
  const act = (): void => {
    const own = random.fork(`deed/${++state.deeds}`)
    const at = scene(own)
    if (!at) return
    const [, name, deed] = drawDeed(own, profile.edgePerCent)
    const run = async (): Promise<void> => {
      const started = deed(at)
      if (!started) return
      world.trace(`user: ${name}`)
      await started
    }
    run().catch((error: unknown) => answered(name, error))
  }
  const count = (): void => {
    state.counts++
    for (let i = 0; i < COUNTERS; i++) {
      const at = scene(random.fork(`count/${state.counts}/${i}`))
      if (at?.process.view.get('ConfigMap', 'default', COUNTER.metadata.name)) increment(at)
    }
  }
  const turn = (fn: () => void, everyMs: number): void =>
    void world.after(random.int(2 * everyMs), () => {
      if (state.isOver) return
      fn()
      turn(fn, everyMs)
    })
  turn(act, MINUTE_MS / profile.usersPerMinute)
  turn(count, (MINUTE_MS * COUNTS_PER_DEED) / profile.usersPerMinute)
  return {
    asked,
    stop() {
      state.isOver = true
      world.trace('users stop')
    },
  }
}
