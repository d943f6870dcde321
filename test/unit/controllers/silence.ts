// A site of nodes that come and go: contact, time, the scheduler and devices that run what is bound to them while they are in contact.

import { createHash } from 'node:crypto'
import { disconnection } from '../../../src/controllers/disconnection.ts'
import { controllers } from '../../../src/controllers/index.ts'
import { isSuperseded } from '../../../src/kinds/disconnection.ts'
import { keyOf } from '../../../src/kinds/meta.ts'
import type { Node } from '../../../src/kinds/node.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { isPodReady } from '../../../src/kinds/pod.ts'
import { createScheduling } from '../../../src/scheduler/scheduler.ts'
import type { Loose, World } from './world.ts'
import { createWorld, namespaceObject, nodeObject, runningStatus } from './world.ts'

export interface Site {
  readonly world: World
  /** Uids of pods whose device says that they are not Ready. */
  readonly sick: Set<string>
  cut(node: string): void
  heal(node: string): void
  /** The server starts anew: it remembers no contact. */
  restart(): void
  /** Lets time go by in steps of at most `stepMs`, everybody at work. */
  pass(ms: number, stepMs?: number): void
  pods(): readonly Pod[]
  /** Pods that are neither deleted nor superseded. */
  counted(): readonly Pod[]
  node(name: string): Node
}

export const isIn = ({ world }: Site, name: string): boolean => world.contacts.get(name)?.connected === true

const addressFor = (uid: string): string => {
  const [a = 0, b = 0] = createHash('sha256').update(uid).digest()
  return `10.${a}.${b}.7`
}

/** The device's half: what is bound runs, what is to end is gone. Silent devices go on without telling. */
const play = ({ world, sick }: Site): void => {
  for (const pod of world.list<Pod>('Pod')) {
    const { uid = '', deletionTimestamp } = pod.metadata
    const node = pod.spec.nodeName
    if (!node || !world.contacts.get(node)?.connected) continue
    const key = keyOf(pod.metadata)
    if (deletionTimestamp) {
      world.apply({ do: 'delete', kind: 'Pod', key, uid, gracePeriodSeconds: 0 })
      continue
    }
    const isReady = !sick.has(uid)
    if (pod.status?.phase === 'Running' && isPodReady(pod) === isReady) continue
    const status = runningStatus(world.nowMs) as { conditions: Loose[] }
    if (!isReady) status.conditions[0]!['status'] = 'False'
    world.edit('Pod', key, { status: { ...status, podIP: addressFor(uid) } })
  }
}

/** `node-1` … `node-<count>`, in contact and known to be. */
export const site = (count: number): Site => {
  const world = createWorld()
  const running = [...controllers, createScheduling()]
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) world.put(namespaceObject(name))
  for (let i = 1; i <= count; i++) {
    world.put(nodeObject(`node-${i}`))
    world.contacts.set(`node-${i}`, { connected: true, silentMs: 0 })
  }
  const work = (): void => {
    for (let rounds = 0; rounds < 4; rounds++) {
      const before = world.view.revision
      world.settle(running)
      for (const pod of world.list<Pod>('Pod')) if (isSuperseded(pod)) world.reconcile(disconnection, `pod/${keyOf(pod.metadata)}`)
      play(made)
      world.settle(running)
      if (world.view.revision === before) return
    }
  }
  const made: Site = {
    world,
    sick: new Set(),
    cut: node => void world.contacts.set(node, { connected: false, silentMs: 0 }),
    heal: node => void world.contacts.set(node, { connected: true, silentMs: 0 }),
    restart() {
      for (const [node, contact] of world.contacts) if (!contact.connected) world.contacts.delete(node)
      world.uptimeMs = 0
    },
    pass(ms, stepMs = 30_000) {
      for (let leftMs = ms; leftMs > 0; leftMs -= stepMs) {
        const byMs = Math.min(leftMs, stepMs)
        world.nowMs += byMs
        world.uptimeMs += byMs
        for (const [node, contact] of world.contacts)
          if (!contact.connected) world.contacts.set(node, { ...contact, silentMs: contact.silentMs + byMs })
        for (const service of world.list<{ metadata: { name: string; namespace: string } }>('Service'))
          for (const controller of controllers)
            if (controller.name === 'endpoints') world.reconcile(controller, `${service.metadata.namespace}/${service.metadata.name}`)
        work()
      }
    },
    pods: () => world.list<Pod>('Pod').filter(pod => pod.metadata.deletionTimestamp === undefined),
    counted: () => made.pods().filter(pod => !isSuperseded(pod)),
    node: name => world.get<Node>('Node', name)!,
  }
  work()
  return made
}

/** A ReplicaSet or Deployment `web` whose pods carry these annotations. */
export const webOf = (kind: 'ReplicaSet' | 'Deployment', replicas: number, annotations: Record<string, string> = {}): Loose => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' }, annotations },
      spec: {
        containers: [{ name: 'main', image: 'v1', ports: [{ name: 'http', containerPort: 8080 }] }],
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              { labelSelector: { matchLabels: { app: 'web' } }, topologyKey: 'kubernetes.io/hostname' },
            ],
          },
        },
      },
    },
  },
})
