// What one user does at one time, through the verbs as kubectl would: make, scale, roll out, pause, undo, delete, relabel, drain, join and
// remove; what the edge adds is in edge-deeds.ts.

import type { KubeObject } from '../../src/base/object.ts'
import type { Random } from '../../src/base/random.ts'
import { kindByName } from '../../src/kinds/index.ts'
import type { Pod } from '../../src/kinds/pod.ts'
import type { ReplicaSet } from '../../src/kinds/replica-set.ts'
import { alive, type Deed, patch, pick, type Scene, someDeployment, somePod, target, USER } from './deed.ts'
import { EDGE_DEEDS } from './edge-deeds.ts'
import { configMap, deploymentOf, FINALIZER, undoneTemplate } from './manifest.ts'

const TEAM_NAMESPACES_MAX = 3

const drain = async (scene: Scene, node: KubeObject): Promise<void> => {
  await patch(scene, 'Node', node, { spec: { unschedulable: true } })
  const pods = alive(scene.process.view.list<Pod>('Pod', { node: node.metadata.name ?? '' }))
  for (const pod of pods) scene.asked.pods.add(pod.metadata.uid ?? '')
  await Promise.all(pods.map(pod => scene.verbs.delete(USER, target('Pod', pod))))
}

/** What users do, with how often of all. */
const DEEDS: readonly Deed[] = [
  ...EDGE_DEEDS,
  [
    12,
    'create',
    ({ verbs, random, process, profile, next }) => {
      const namespaces = alive(process.view.list('Namespace')).map(namespace => namespace.metadata.name ?? '')
      const home = pick(
        random,
        namespaces.filter(name => name === 'default' || name.startsWith('team-')),
      )
      if (home === undefined || process.view.list('Deployment').length >= 3 + profile.nodes / 8) return undefined
      return verbs.create(USER, { kind: kindByName('Deployment')!, namespace: home }, deploymentOf(random, home, next(), profile.nodes))
    },
  ],
  [
    14,
    'scale',
    scene => {
      const found = someDeployment(scene)
      return found && patch(scene, 'Deployment', found, { spec: { replicas: scene.random.int(Math.min(30, scene.profile.nodes) + 4) } })
    },
  ],
  [
    26,
    'roll out',
    scene => {
      const found = someDeployment(scene)
      if (!found) return undefined
      const containers = found.spec.template.spec.containers.map(container => ({ ...container, image: `app:${scene.next()}` }))
      return patch(scene, 'Deployment', found, { spec: { template: { spec: { containers } } } })
    },
  ],
  [
    6,
    'pause or resume',
    scene => {
      const found = someDeployment(scene)
      return found && patch(scene, 'Deployment', found, { spec: { paused: found.spec.paused ? null : true } })
    },
  ],
  [
    8,
    'undo',
    scene => {
      const found = someDeployment(scene)
      const sets = found ? scene.process.view.list<ReplicaSet>('ReplicaSet', { owner: found.metadata.uid ?? '' }) : []
      const template = found && undoneTemplate(sets)
      return (
        template &&
        scene.verbs.patch(USER, target('Deployment', found), [{ op: 'replace', path: '/spec/template', value: template }], 'json')
      )
    },
  ],
  [
    4,
    'delete a deployment',
    scene => {
      const found = someDeployment(scene)
      const propagationPolicy = pick(scene.random, ['Foreground', 'Background'] as const)!
      return found && scene.verbs.delete(USER, target('Deployment', found), { propagationPolicy })
    },
  ],
  [
    10,
    'delete a pod',
    scene => {
      const pod = somePod(scene)
      if (!pod) return undefined
      scene.asked.pods.add(pod.metadata.uid ?? '')
      return scene.verbs.delete(USER, target('Pod', pod))
    },
  ],
  [
    3,
    'relabel a pod',
    scene => {
      const pod = somePod(scene)
      if (!pod) return undefined
      scene.asked.pods.add(pod.metadata.uid ?? '')
      return patch(scene, 'Pod', pod, { metadata: { labels: { app: null, stray: 'yes' } } })
    },
  ],
  [
    3,
    'delete a stray pod',
    scene => {
      const strays = alive(scene.process.view.list<Pod>('Pod').filter(pod => pod.metadata.labels?.['stray'] === 'yes'))
      const pod = pick(scene.random, strays)
      return pod && scene.verbs.delete(USER, target('Pod', pod))
    },
  ],
  [
    4,
    'drain',
    scene => {
      const node = pick(scene.random, scene.process.view.list('Node'))
      return node && drain(scene, node)
    },
  ],
  [
    8,
    'uncordon',
    scene => {
      const cordoned = scene.process.view.list<KubeObject>('Node').filter(node => (node.spec as { unschedulable?: boolean })?.unschedulable)
      const node = pick(scene.random, cordoned)
      return node && patch(scene, 'Node', node, { spec: { unschedulable: null } })
    },
  ],
  [2, 'add a node', ({ fleet, profile }) => (fleet.devices.size < profile.nodes * 1.5 ? fleet.add() : undefined)],
  [
    1,
    'remove a node for good',
    scene => {
      const nodes = scene.process.view.list('Node')
      const node = nodes.length > 2 ? pick(scene.random, nodes) : undefined
      return node && scene.verbs.delete(USER, target('Node', node))
    },
  ],
  [
    2,
    'make a namespace',
    ({ verbs, process, next }) => {
      if (process.view.list('Namespace').filter(one => one.metadata.name?.startsWith('team-')).length >= TEAM_NAMESPACES_MAX)
        return undefined
      return verbs.create(
        USER,
        { kind: kindByName('Namespace')!, namespace: '' },
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: `team-${next()}` } },
      )
    },
  ],
  [
    1,
    'delete a namespace',
    scene => {
      const found = pick(scene.random, alive(scene.process.view.list('Namespace').filter(one => one.metadata.name?.startsWith('team-'))))
      if (!found) return undefined
      scene.asked.namespaces.add(found.metadata.name ?? '')
      return scene.verbs.delete(USER, target('Namespace', found))
    },
  ],
  [
    4,
    'hold or release a config map',
    scene => {
      const maps = scene.process.view.list('ConfigMap', { namespace: 'default' }).filter(one => one.metadata.name?.startsWith('held-'))
      const found = pick(scene.random, maps)
      if (!found || maps.length < 2)
        return scene.verbs.create(
          USER,
          { kind: kindByName('ConfigMap')!, namespace: 'default' },
          configMap(`held-${scene.next()}`, {}, [FINALIZER]),
        )
      if (found.metadata.deletionTimestamp === undefined) return scene.verbs.delete(USER, target('ConfigMap', found))
      return patch(scene, 'ConfigMap', found, { metadata: { finalizers: null } })
    },
  ],
]

/** One deed, by weight: of all, or of those of the edge. */
export const drawDeed = (random: Random, edgePerCent: number): Deed => {
  const deeds = random.int(100) < edgePerCent ? EDGE_DEEDS : DEEDS
  let at = random.int(deeds.reduce((sum, [weight]) => sum + weight, 0))
  for (const one of deeds) {
    at -= one[0]
    if (at < 0) return one
  }
  throw new Error('draw deed: the weights do not add up')
}
