// A rolling update never has fewer pods running than replicas − maxUnavailable, counted on what devices really run, not on what the
// server believes. Judged from a moment at which all replicas ran until a user disturbs them. For worlds in which nothing else ends containers.

import type { Deployment } from '../../src/kinds/deployment.ts'
import { controllerOf } from '../../src/kinds/meta.ts'
import type { Pod } from '../../src/kinds/pod.ts'
import type { ReplicaSet } from '../../src/kinds/replica-set.ts'
import type { Fleet } from './fleet.ts'
import type { ServerProcess, SimServer } from './server.ts'
import type { World } from './world.ts'

interface Guard {
  readonly name: string
  readonly namespace: string
  readonly replicas: number
  readonly least: number
}

export interface RolloutChecks {
  /** A device was asked to end this pod; `own`: somebody at the device, or the device itself, did it. */
  stopping(uid: string, own: boolean): void
  /** A user disturbed this pod: what its Deployment has is no longer the controllers' doing alone. */
  disturbed(pod: Pod): void
}

const unavailableMax = (deployment: Deployment, replicas: number): number => {
  const { maxUnavailable = 0, maxSurge = 0 } = deployment.spec.strategy?.rollingUpdate ?? {}
  const scaled = (value: number | string, round: (n: number) => number): number =>
    typeof value === 'number' ? value : round((Number.parseInt(value, 10) * replicas) / 100)
  const unavailable = scaled(maxUnavailable, Math.floor)
  // Upstream: when both round to none, one may be missing, or nothing would ever move.
  return unavailable === 0 && scaled(maxSurge, Math.ceil) === 0 ? 1 : unavailable
}

export const startRolloutChecks = (world: World, server: SimServer, fleet: () => Fleet): RolloutChecks => {
  const guards = new Map<string, Guard>()
  const stopped = new Set<string>()
  const last: { process: ServerProcess | undefined } = { process: undefined }

  const isRunning = (pod: Pod): boolean => {
    const { uid = '' } = pod.metadata
    if (stopped.has(uid)) return false
    const device = fleet().devices.get(pod.spec.nodeName ?? '')
    const running = new Set(
      device?.runtime
        .inspect()
        .containers.filter(one => one.podUid === uid && one.state === 'running')
        .map(one => one.name),
    )
    return pod.spec.containers.every(container => running.has(container.name))
  }
  const podsOf = ({ view }: ServerProcess, uid: string): Pod[] =>
    view.list<ReplicaSet>('ReplicaSet', { owner: uid }).flatMap(set => view.list<Pod>('Pod', { owner: set.metadata.uid ?? '' }))
  const consider = (process: ServerProcess, deployment: Deployment): void => {
    const { uid = '', name = '', namespace = '', generation } = deployment.metadata
    const { spec, status } = deployment
    const replicas = spec.replicas ?? 1
    const guard = guards.get(uid)
    const isGone = deployment.metadata.deletionTimestamp !== undefined || !process.view.exists(uid)
    if (isGone || (guard && guard.replicas !== replicas)) guards.delete(uid)
    if (isGone || guards.has(uid) || spec.strategy?.type === 'Recreate' || status?.observedGeneration !== generation) return
    if (status?.replicas !== replicas || status.availableReplicas !== replicas || status.updatedReplicas !== replicas) return
    const pods = podsOf(process, uid).filter(pod => pod.metadata.deletionTimestamp === undefined)
    if (pods.length < replicas || !pods.every(isRunning)) return
    guards.set(uid, { name, namespace, replicas, least: replicas - unavailableMax(deployment, replicas) })
  }
  const deploymentUid = (process: ServerProcess, pod: Pod): string | undefined => {
    const set = controllerOf(pod.metadata)
    const found = set && process.view.get<ReplicaSet>('ReplicaSet', pod.metadata.namespace ?? '', set.name)
    return found && controllerOf(found.metadata)?.uid
  }
  server.onStart(process => {
    last.process = process
    // What a user asked for may have landed unheard before the crash.
    guards.clear()
    process.view.subscribe(changes => {
      if (!process.clock.isAlive) return
      for (const { kind, object } of changes) if (kind === 'Deployment') consider(process, object as unknown as Deployment)
    })
  })
  return {
    stopping(uid, own) {
      const { process } = last
      if (own) {
        for (const deployment of guards.keys())
          if (!process || podsOf(process, deployment).some(pod => pod.metadata.uid === uid)) guards.delete(deployment)
        return
      }
      if (stopped.has(uid)) return
      stopped.add(uid)
      if (!process) return
      for (const [deployment, { name, namespace, replicas, least }] of guards) {
        const pods = podsOf(process, deployment)
        if (!pods.some(pod => pod.metadata.uid === uid)) continue
        const running = pods.filter(isRunning).length
        if (running < least)
          world.fail('a rollout keeps enough pods running', `${namespace}/${name}: ${running} of ${replicas} run, at least ${least} shall`)
        if (running < replicas) world.mark('a rollout took pods down before others came')
        const links = pods.map(pod => fleet().devices.get(pod.spec.nodeName ?? '')?.link.isCut)
        if (links.includes(true) && links.includes(false)) world.mark('a rollout was cut in half by a partition')
      }
    },
    disturbed(pod) {
      const uid = last.process && deploymentUid(last.process, pod)
      if (uid !== undefined) guards.delete(uid)
    },
  }
}
