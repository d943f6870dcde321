// Checks of what the server does about silence: a pod is replaced only as its policy says and after as true a silence as it asks for, at a
// bounded rate, never while many are silent together; the copy that goes is the one the policy names; Services do not lose their last
// endpoint while one of their pods runs. Silence is judged by what really reached the server, not by what it believes.

import { contactCondition, contactState, FENCED, isDeclaredDead } from '../../src/kinds/contact.ts'
import {
  ANNOUNCED_INTERVAL,
  CONTACT_INTERVAL,
  durationOf,
  FENCE_AFTER,
  isSuperseded,
  policyOf,
  REPLACES,
} from '../../src/kinds/disconnection.ts'
import type { EndpointSlice } from '../../src/kinds/endpoint-slice.ts'
import { isHeld } from '../../src/kinds/hold.ts'
import type { Namespace } from '../../src/kinds/namespace.ts'
import type { Node } from '../../src/kinds/node.ts'
import { isPodReady, isPodTerminal, type Pod } from '../../src/kinds/pod.ts'
import type { ReplicaSet } from '../../src/kinds/replica-set.ts'
import { matchesLabels } from '../../src/kinds/selector.ts'
import type { Service } from '../../src/kinds/service-kind.ts'
import type { Fleet } from './fleet.ts'
import type { ServerProcess, SimServer } from './server.ts'
import type { World } from './world.ts'

/** A decision may rest on what was true this long ago. */
const RECENT_MS = 10_000
/** The design's bounds, said again here so that a change of the product's shows. */
const SILENT_MS = 40_000
const REPLACED_MAX = 60
const WINDOW_MS = 60_000
const PATIENCE_MS = 300_000
const FENCE_EVERY_MS = 60_000
const BRAKE_NODES = 5
const BRAKE_SHARE = 0.3
/** A node in contact over a LAN is heard at least so often. */
const PING_MS = 21_000

export interface DisconnectionChecks {
  /** Looks at Services: to be called now and then. */
  look(): void
}

const isFenced = ({ spec }: Node): boolean => spec?.taints?.some(({ value }) => value === FENCED) ?? false

export const startDisconnectionChecks = (world: World, server: SimServer, fleet: () => Fleet): DisconnectionChecks => {
  /** Replaced pods by uid, and when. */
  const marks = new Map<string, number>()
  /** When the words of a namespace changed last. */
  const edited = new Map<string, number>()
  /** When the interval at which a node calls changed last. */
  const retimed = new Map<string, number>()
  const fences = new Map<string, number>()
  const fenced = { atMs: Number.NEGATIVE_INFINITY }
  /** Services without a ready endpoint, since when. */
  const emptied = new Map<string, number>()
  /** ReplicaSets with fewer pods that count than they should have, since when. */
  const lacking = new Map<string, number>()

  /** How long nothing of this node reached the server; a restarted server cannot act on what another one heard, so true time bounds it. */
  const silentMs = (node: string): number => world.nowMs - (fleet().devices.get(node)?.link.heardAtMs.server ?? Number.NEGATIVE_INFINITY)
  const isCaller = (node: Node): boolean => {
    const device = fleet().devices.get(node.metadata.name ?? '')
    return node.metadata.annotations?.[CONTACT_INTERVAL] !== undefined || device?.files.uplink.contactIntervalMs !== undefined
  }
  /** Links that broke in one moment, told to the server at once: whatever it has written about their nodes since, they count. */
  const darkTogether = (view: ServerProcess['view']): string | undefined => {
    const counted = view.list<Node>('Node').filter(node => !isCaller(node) && !isDeclaredDead(node))
    const groups = new Map<number, number>()
    for (const { metadata } of counted) {
      const name = metadata.name ?? ''
      const atMs = fleet().devices.get(name)?.link.brokenAtMs
      if (atMs === undefined || view.contact(name)?.connected !== false || world.nowMs - atMs <= SILENT_MS + RECENT_MS) continue
      // One that was silent before was no part of it.
      if (silentMs(name) <= world.nowMs - atMs + PING_MS) groups.set(atMs, (groups.get(atMs) ?? 0) + 1)
    }
    const most = Math.max(0, ...groups.values())
    return most >= BRAKE_NODES && most > counted.length * BRAKE_SHARE
      ? `${most} of ${counted.length} nodes fell silent in one moment`
      : undefined
  }
  /** Nodes that fell silent together, by true silence, in numbers that must stop everything. */
  const isMassSilence = ({ view }: ServerProcess): string | undefined => {
    const counted = view.list<Node>('Node').filter(node => {
      const isGivenUp = node.spec?.taints?.some(({ key }) => key === 'node.kubernetes.io/unreachable') ?? false
      return !isCaller(node) && !isGivenUp && !isDeclaredDead(node) && fleet().devices.has(node.metadata.name ?? '')
    })
    // A quiet link may be broken without anybody's knowing.
    const isLost = (name: string): boolean => view.contact(name)?.connected !== true && silentMs(name) > SILENT_MS + RECENT_MS
    const lost = counted.filter(({ metadata }) => isLost(metadata.name ?? '')).length
    const dark = darkTogether(view)
    if (dark !== undefined) return dark
    return lost >= BRAKE_NODES && lost > counted.length * BRAKE_SHARE ? `${lost} of ${counted.length} nodes are silent` : undefined
  }
  const policy = ({ view }: ServerProcess, pod: Pod) => policyOf(pod, view.get<Namespace>('Namespace', '', pod.metadata.namespace ?? ''))
  const isEdited = (pod: Pod): boolean => world.nowMs - (edited.get(pod.metadata.namespace ?? '') ?? Number.NEGATIVE_INFINITY) <= RECENT_MS

  /** Replaced in the last minute, and something is left of it: the mark, or the pod in its place. */
  const standing = ({ view }: ServerProcess): number => {
    for (const [uid, atMs] of marks) if (atMs <= world.nowMs - WINDOW_MS + 1000) marks.delete(uid)
    const left = new Set<string>()
    if (marks.size > REPLACED_MAX)
      for (const one of view.list<Pod>('Pod')) {
        if (isSuperseded(one)) left.add(one.metadata.uid ?? '')
        left.add(one.metadata.annotations?.[REPLACES] ?? '')
      }
    return [...marks.keys()].filter(uid => left.has(uid)).length
  }
  const replaced = (process: ServerProcess, pod: Pod): void => {
    const { view } = process
    const { name, namespace } = pod.metadata
    const node = pod.spec.nodeName ?? ''
    const { replaceAfterMs } = policy(process, pod)
    const told = `${namespace}/${name} on ${node}, silent for ${silentMs(node)} ms`
    if (replaceAfterMs === undefined && !isEdited(pod)) world.fail('a pod is replaced only by its policy', told)
    const least = Math.max(SILENT_MS, isEdited(pod) ? 0 : (replaceAfterMs ?? 0))
    if (silentMs(node) < least) world.fail('a pod is replaced only by its policy', `${told}, replace-after ${replaceAfterMs}`)
    if (isHeld(pod)) world.fail('a held pod is not replaced', told)
    const calls = view.get<Node>('Node', '', node)
    const intervalMs = durationOf(calls, CONTACT_INTERVAL) ?? durationOf(calls, ANNOUNCED_INTERVAL) ?? 0
    if (silentMs(node) < intervalMs && world.nowMs - (retimed.get(node) ?? Number.NEGATIVE_INFINITY) > RECENT_MS)
      world.fail('silence by design replaces nothing', `${told}, it calls every ${intervalMs} ms`)
    const mass = isMassSilence(process)
    if (mass !== undefined) world.fail('nothing is replaced under the brake', `${told}: ${mass}`)
    marks.set(pod.metadata.uid ?? '', world.nowMs)
    const recent = standing(process)
    if (recent > REPLACED_MAX) world.fail('pods are replaced at a bounded rate', `${recent} in a minute`)
    world.mark('a pod was replaced by policy')
  }
  /** How long a node is back, by the server's own stamp. */
  const backMs = ({ view, clock }: ServerProcess, pod: Pod): number => {
    const at = contactCondition(view.get<Node>('Node', '', pod.spec.nodeName ?? '') ?? {})?.lastTransitionTime
    return clock.now() - Date.parse(at ?? '')
  }
  const reinstated = (process: ServerProcess, pod: Pod): void => {
    world.mark('a replaced pod counts again')
    if (policy(process, pod).onReconnect === 'keep-replacement' && backMs(process, pod) < PATIENCE_MS - 1000 && !isEdited(pod))
      world.fail('the copy that stays is the one the policy names', `${pod.metadata.name} counts again`)
  }
  const removed = (process: ServerProcess, pod: Pod): void => {
    const node = process.view.get<Node>('Node', '', pod.spec.nodeName ?? '')
    if (contactState(node) !== 'Online' || policy(process, pod).onReconnect === 'keep-replacement') return
    if (isEdited(pod) || backMs(process, pod) >= PATIENCE_MS - 1000) world.mark('a replaced pod gave way for want of patience')
  }
  const podsOf = ({ view }: ServerProcess, { metadata, spec }: Service): Pod[] =>
    view
      .list<Pod>('Pod', { namespace: metadata.namespace ?? '' })
      .filter(pod => spec.selector !== undefined && matchesLabels({ matchLabels: spec.selector }, pod.metadata.labels))
  const runs = (pod: Pod): boolean => {
    const containers =
      fleet()
        .devices.get(pod.spec.nodeName ?? '')
        ?.runtime.inspect().containers ?? []
    return pod.spec.containers.every(({ name }) =>
      containers.some(one => one.podUid === pod.metadata.uid && one.name === name && one.state === 'running'),
    )
  }
  /** Ready as last said, running in truth, and on a node that nobody gave up. */
  const isServing = ({ view }: ServerProcess, pod: Pod): boolean =>
    pod.metadata.deletionTimestamp === undefined &&
    !isPodTerminal(pod) &&
    isPodReady(pod) &&
    runs(pod) &&
    contactState(view.get<Node>('Node', '', pod.spec.nodeName ?? '')) !== 'Dead'

  const lookAt = (process: ServerProcess, service: Service): void => {
    const { uid = '', name, namespace = '' } = service.metadata
    const slices = process.view
      .list<EndpointSlice>('EndpointSlice', { namespace })
      .filter(slice => slice.metadata.labels?.['kubernetes.io/service-name'] === name)
    const ready = slices.flatMap(slice => slice.endpoints).filter(({ conditions }) => conditions?.ready === true)
    const serving = podsOf(process, service).filter(pod => isServing(process, pod))
    const silent = serving.filter(pod => contactState(process.view.get<Node>('Node', '', pod.spec.nodeName ?? '')) === 'Unknown')
    if (silent.length > 0 && silent.length === serving.length && ready.length > 0)
      world.mark('a service kept the endpoints of silent nodes')
    if (ready.length > 0 || serving.length === 0) {
      emptied.delete(uid)
      return
    }
    const sinceMs = emptied.get(uid) ?? world.nowMs
    emptied.set(uid, sinceMs)
    if (world.nowMs - sinceMs > RECENT_MS)
      world.fail('silence empties no endpoints', `${namespace}/${name}: ${serving.length} pods run and are Ready, none is an endpoint`)
  }
  /** What no longer counts has another one made in its place; whether there is room for it is for the scheduler to say. */
  const lookAtSet = ({ view }: ServerProcess, set: ReplicaSet): void => {
    const { uid = '', name } = set.metadata
    const pods = view.list<Pod>('Pod', { owner: uid }).filter(pod => pod.metadata.deletionTimestamp === undefined && !isPodTerminal(pod))
    const counted = pods.filter(pod => !isSuperseded(pod)).length
    const isLeaving = set.metadata.deletionTimestamp !== undefined
    if (isLeaving || counted === pods.length || counted >= (set.spec.replicas ?? 1)) {
      lacking.delete(uid)
      return
    }
    const sinceMs = lacking.get(uid) ?? world.nowMs
    lacking.set(uid, sinceMs)
    if (world.nowMs - sinceMs > 2 * RECENT_MS)
      world.fail('what is replaced has a replacement', `${name} has ${counted} of ${set.spec.replicas}`)
  }
  /** A fencing policy acts on true silence, one node at a time, and never while many are silent. */
  const tookNode = (process: ServerProcess, node: Node, old: Node | undefined): void => {
    const { name = '' } = node.metadata
    const words = [CONTACT_INTERVAL, ANNOUNCED_INTERVAL].some(key => node.metadata.annotations?.[key] !== old?.metadata.annotations?.[key])
    if (words) retimed.set(name, world.nowMs)
    if (node.metadata.annotations?.[FENCE_AFTER] !== old?.metadata.annotations?.[FENCE_AFTER]) fences.set(name, world.nowMs)
    if (!isFenced(node) || !old || isFenced(old)) return
    const afterMs = durationOf(node, FENCE_AFTER)
    const told = `${name}, silent for ${silentMs(name)} ms, fence-after ${afterMs}`
    const isNews = world.nowMs - (fences.get(name) ?? Number.NEGATIVE_INFINITY) <= RECENT_MS
    if (!isNews && (afterMs === undefined || silentMs(name) < afterMs)) world.fail('a node is fenced only by its policy', told)
    if (world.nowMs - fenced.atMs < FENCE_EVERY_MS - 1000) world.fail('nodes are fenced one by one', told)
    const mass = isMassSilence(process)
    if (mass !== undefined) world.fail('nothing is fenced under the brake', `${told}: ${mass}`)
    fenced.atMs = world.nowMs
  }
  server.onStart(process => {
    emptied.clear()
    lacking.clear()
    process.view.subscribe(changes => {
      if (!process.clock.isAlive) return
      for (const { kind, object, old } of changes) {
        if (kind === 'Namespace') edited.set(object.metadata.name ?? '', world.nowMs)
        if (kind === 'Node') tookNode(process, object as unknown as Node, old as unknown as Node | undefined)
        if (kind !== 'Pod' || !old) continue
        const [pod, before] = [object as unknown as Pod, old as unknown as Pod]
        if (isSuperseded(pod) && !isSuperseded(before)) replaced(process, pod)
        if (!isSuperseded(pod) && isSuperseded(before)) reinstated(process, pod)
        if (isSuperseded(before) && pod.metadata.deletionTimestamp !== undefined && before.metadata.deletionTimestamp === undefined)
          removed(process, pod)
      }
    })
  })
  return {
    look() {
      const { process } = server
      if (!process) return
      for (const service of process.view.list<Service>('Service')) lookAt(process, service)
      for (const set of process.view.list<ReplicaSet>('ReplicaSet')) lookAtSet(process, set)
    },
  }
}
