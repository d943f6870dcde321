// Checks of pods as the server has them: bound once, and never made or deleted without a reason. Silence of a node is no reason: what
// may end a pod is a user, an owner that goes, a Node object that is gone, or a ReplicaSet that has more than it should.

import { brakeCondition, contactState, FENCED, isDeclaredDead } from '../../src/kinds/contact.ts'
import { isSuperseded } from '../../src/kinds/disconnection.ts'
import type { KubeObject, ObjectMeta } from '../../src/kinds/meta.ts'
import { controllerOf } from '../../src/kinds/meta.ts'
import type { Node } from '../../src/kinds/node.ts'
import { isPodTerminal, type Pod } from '../../src/kinds/pod.ts'
import type { ReplicaSet } from '../../src/kinds/replica-set.ts'
import { matchesLabels } from '../../src/kinds/selector.ts'
import type { Change } from '../../src/server/view.ts'
import type { Asked } from './deed.ts'
import type { ServerProcess, SimServer } from './server.ts'
import type { World } from './world.ts'

/** A decision may rest on what was true this long ago: an object's way through loop, store and view. */
const RECENT_MS = 10_000
const NODE_CPU_MILLIS = 4000
const UNREACHABLE = 'node.kubernetes.io/unreachable'

/** Requests as this world writes them: `1500m` or `1`. */
const cpuOf = ({ spec }: Pod): number =>
  spec.containers.reduce((sum, { resources }) => {
    const cpu = String(resources?.requests?.['cpu'] ?? '0')
    return sum + (cpu.endsWith('m') ? Number.parseInt(cpu, 10) : Number(cpu) * 1000)
  }, 0)

const isLeaving = ({ metadata }: { readonly metadata: ObjectMeta }): boolean => metadata.deletionTimestamp !== undefined
const isThere = (pod: Pod): boolean => !isLeaving(pod) && !isPodTerminal(pod)
/** Counts among its siblings. */
const isActive = (pod: Pod): boolean => isThere(pod) && !isSuperseded(pod)

/** What happened to one ReplicaSet lately. */
interface Recent {
  readonly sizes: { readonly atMs: number; readonly replicas: number }[]
  /** When pods left it for other reasons than its size. */
  readonly left: number[]
  /** When pods came to it by adoption. */
  readonly joined: number[]
}

export interface PodChecks {
  /** Called when a pod leaves for another reason than the size of its ReplicaSet. */
  onDisturbed(fn: (pod: Pod) => void): void
}

export const startPodChecks = (world: World, server: SimServer, asked: () => Asked | undefined): PodChecks => {
  const nodes = new Map<string, string>()
  const recents = new Map<string, Recent>()
  const disturbed: ((pod: Pod) => void)[] = []

  const recentOf = (uid: string): Recent => {
    const found = recents.get(uid) ?? { sizes: [], left: [], joined: [] }
    recents.set(uid, found)
    return found
  }
  const within = (times: readonly number[]): number => times.filter(atMs => world.nowMs - atMs <= RECENT_MS).length
  /** Notes that it happened now, and forgets what is no longer recent. */
  const note = (times: number[]): void => {
    while (times.length > 0 && world.nowMs - times[0]! > RECENT_MS) times.shift()
    times.push(world.nowMs)
  }
  /** Sizes the set had lately, the one at the start of that time included. */
  const sizesOf = (set: ReplicaSet): number[] => {
    const { sizes } = recentOf(set.metadata.uid ?? '')
    const current = sizes.filter((_, index) => world.nowMs - (sizes[index + 1]?.atMs ?? world.nowMs) <= RECENT_MS)
    return [...current.map(size => size.replicas), set.spec.replicas ?? 1]
  }
  /** A pod that no longer matches is about to be released, and does not count. */
  const activeOf = ({ view }: ServerProcess, set: ReplicaSet): number =>
    view
      .list<Pod>('Pod', { owner: set.metadata.uid ?? '' })
      .filter(pod => isActive(pod) && matchesLabels(set.spec.selector, pod.metadata.labels)).length

  const takeSet = (set: ReplicaSet): void => {
    const { sizes } = recentOf(set.metadata.uid ?? '')
    const replicas = set.spec.replicas ?? 1
    if (sizes.at(-1)?.replicas !== replicas) sizes.push({ atMs: world.nowMs, replicas })
  }
  const bound = (pod: Pod): void => {
    const uid = pod.metadata.uid ?? ''
    const before = nodes.get(uid)
    const node = pod.spec.nodeName
    if (before !== undefined && node !== before)
      world.fail('spec.nodeName is set once', `${pod.metadata.name} went from ${before} to ${node}`)
    if (node !== undefined) nodes.set(uid, node)
  }
  /** A pod has just been given a node: there is room for it, and nobody has known for long that the node is silent. */
  const placed = ({ view, clock }: ServerProcess, pod: Pod): void => {
    const name = pod.spec.nodeName ?? ''
    const there = view.list<Pod>('Pod', { node: name }).filter(one => !isPodTerminal(one))
    const asked = there.reduce((sum, one) => sum + cpuOf(one), 0)
    if (asked > NODE_CPU_MILLIS)
      world.fail('no node is overcommitted', `${pod.metadata.name} makes ${asked} thousandths of a CPU on ${name}`)
    const node = view.get<Node>('Node', '', name)
    const ready = node?.status?.conditions?.find(({ type }) => type === 'Ready')
    const isTainted = node?.spec?.taints?.some(({ key, effect }) => key === UNREACHABLE && effect === 'NoSchedule') ?? false
    const sinceMs = clock.now() - Date.parse(ready?.lastTransitionTime ?? '')
    if (ready?.status === 'Unknown' && isTainted && sinceMs > RECENT_MS)
      world.fail('nothing new goes to a silent node', `${pod.metadata.name} is bound to ${name}, Unknown for ${sinceMs} ms`)
  }
  /** Why this pod may go; 'size' when its ReplicaSet is to be smaller. Undefined: no reason. */
  const reasonToGo = (process: ServerProcess, pod: Pod): string | undefined => {
    const { view } = process
    const known = asked()
    const { uid = '', namespace = '' } = pod.metadata
    if (known?.pods.has(uid) || known?.namespaces.has(namespace)) return 'asked'
    const node = view.get<Node>('Node', '', pod.spec.nodeName ?? '')
    if (pod.spec.nodeName && !node) return 'no node'
    if (node && isDeclaredDead(node) && contactState(node) === 'Dead') return 'dead node'
    const owner = controllerOf(pod.metadata)
    if (!owner) return pod.metadata.labels?.['stray'] === 'yes' ? 'asked' : undefined
    const set = view.get<ReplicaSet>('ReplicaSet', namespace, owner.name)
    if (!set || set.metadata.uid !== owner.uid || isLeaving(set)) return 'no owner'
    if (isSuperseded(pod)) return reasonOfSuperseded(process, pod, set, node)
    const surplus = activeOf(process, set) + within(recentOf(owner.uid).left) >= Math.min(...sizesOf(set))
    return surplus ? 'size' : undefined
  }
  /** One that is replaced goes when its node is back, or when there are more of them than places. */
  const reasonOfSuperseded = ({ view }: ServerProcess, pod: Pod, set: ReplicaSet, node: Node | undefined): string | undefined => {
    const originals = view.list<Pod>('Pod', { owner: set.metadata.uid ?? '' }).filter(one => isThere(one) && isSuperseded(one))
    if (originals.length >= Math.min(...sizesOf(set))) return 'size'
    const state = contactState(node)
    const contact = view.contact(pod.spec.nodeName ?? '')
    const isBack =
      (state === 'Online' && contact !== undefined && (contact.connected || contact.silentMs <= RECENT_MS)) || state === 'Offline'
    return isBack ? 'reunited' : undefined
  }
  const going = (process: ServerProcess, pod: Pod): void => {
    const reason = reasonToGo(process, pod)
    const node = process.view.get<KubeObject>('Node', '', pod.spec.nodeName ?? '')
    if (reason === undefined) {
      const contact = process.view.contact(pod.spec.nodeName ?? '')
      world.fail(
        'no pod is deleted without a reason',
        `${pod.metadata.name} on ${pod.spec.nodeName ?? 'no node'} (${JSON.stringify(contact)})`,
      )
    }
    if (reason === 'dead node') world.mark('a dead node lost its pods')
    if (reason === 'reunited') world.mark('a replaced pod gave way')
    if (reason === 'size' && node && isSilent(node)) world.mark('a rollout or scaling removed a pod of a silent node')
    if (reason === 'size') return
    const owner = controllerOf(pod.metadata)
    if (owner) note(recentOf(owner.uid).left)
    for (const fn of disturbed) fn(pod)
  }
  const coming = (process: ServerProcess, pod: Pod): void => {
    const owner = controllerOf(pod.metadata)
    const set = owner && process.view.get<ReplicaSet>('ReplicaSet', pod.metadata.namespace ?? '', owner.name)
    if (!owner || !set) return
    const active = activeOf(process, set)
    if (active > Math.max(...sizesOf(set)) + within(recentOf(owner.uid).joined))
      world.fail('no pod is made without a reason', `${pod.metadata.name}: ${owner.name} has ${active} of ${set.spec.replicas}`)
  }
  const takePod = (process: ServerProcess, pod: Pod, old: Pod | undefined): void => {
    bound(pod)
    const exists = process.view.exists(pod.metadata.uid ?? '')
    if (!old) coming(process, pod)
    else if ((isLeaving(pod) || !exists) && !isLeaving(old)) going(process, pod)
    else if (isSuperseded(pod) !== isSuperseded(old)) superseded(pod)
    else if (controllerOf(old.metadata) && !controllerOf(pod.metadata)) released(old)
    else if (!controllerOf(old.metadata) && controllerOf(pod.metadata)) note(recentOf(controllerOf(pod.metadata)!.uid).joined)
    if (old && old.spec.nodeName === undefined && pod.spec.nodeName !== undefined && exists) placed(process, pod)
    if (old?.spec.nodeName === undefined && pod.spec.nodeName !== undefined) {
      const node = process.view.get<KubeObject>('Node', '', pod.spec.nodeName)
      if (node && isSilent(node)) world.mark('a pod was bound to a node that had just fallen silent')
    }
  }
  const superseded = (pod: Pod): void => {
    const owner = controllerOf(pod.metadata)
    if (owner) note(recentOf(owner.uid)[isSuperseded(pod) ? 'left' : 'joined'])
  }
  const released = (pod: Pod): void => {
    note(recentOf(controllerOf(pod.metadata)!.uid).left)
    for (const fn of disturbed) fn(pod)
  }
  const take = (process: ServerProcess, { kind, object, old }: Change): void => {
    if (kind === 'ReplicaSet') takeSet(object as unknown as ReplicaSet)
    if (kind === 'Pod') takePod(process, object as unknown as Pod, old as unknown as Pod | undefined)
    if (kind === 'Node' && isFenced(object) && !(old && isFenced(old))) world.mark('a node was fenced by its policy')
    if (kind === 'Namespace' && isBraked(object) && !(old && isBraked(old))) world.mark('the brake was pulled')
    if (kind === 'Node' && old && isSilent(object) && !isSilent(old)) world.mark('a node became Unknown')
  }
  const known = { restores: 0 }
  server.onStart(process => {
    if (server.restores > known.restores) {
      known.restores = server.restores
      nodes.clear()
      recents.clear()
    }
    for (const set of process.view.list<ReplicaSet>('ReplicaSet')) takeSet(set)
    process.view.subscribe(changes => {
      if (!process.clock.isAlive) return
      try {
        for (const change of changes) if (change.kind === 'ReplicaSet') take(process, change)
        for (const change of changes) if (change.kind !== 'ReplicaSet') take(process, change)
      } catch (error) {
        world.fail('nothing throws', `check: ${error instanceof Error ? error.stack : String(error)}`)
      }
    })
  })
  return { onDisturbed: fn => void disturbed.push(fn) }
}

const isFenced = (node: KubeObject): boolean => (node as unknown as Node).spec?.taints?.some(({ value }) => value === FENCED) ?? false
const isBraked = (namespace: KubeObject): boolean => brakeCondition(namespace)?.status === 'True'

export const isSilent = (node: KubeObject): boolean =>
  ((node.status as { conditions?: { type: string; status: string }[] } | undefined)?.conditions ?? []).some(
    condition => condition.type === 'Ready' && condition.status === 'Unknown',
  )
