// What people do about links that come and go: policies for silence, Services, holds and restarts at a device, holds lifted on the server,
// nodes declared dead and brought back, devices that call by interval, measurements.

import { isDeclaredDead, OUT_OF_SERVICE } from '../../src/kinds/contact.ts'
import { CONTACT_INTERVAL, FENCE_AFTER, ON_RECONNECT, REPLACE_AFTER, STOP_AFTER } from '../../src/kinds/disconnection.ts'
import { HOLD } from '../../src/kinds/hold.ts'
import { kindByName } from '../../src/kinds/index.ts'
import type { Node } from '../../src/kinds/node.ts'
import type { Pod } from '../../src/kinds/pod.ts'
import { alive, type Deed, patch, pick, type Scene, someDeployment, target, USER } from './deed.ts'
import type { SimDevice } from './device.ts'
import { serviceOf } from './manifest.ts'

const BY = 'root'
const MINUTE_MS = 60_000

/** A word of policy, or none: null takes it away. */
const drawPolicy = ({ random }: Scene): Record<string, string | null> => {
  const word = (values: readonly (string | null)[]): string | null => values[random.int(values.length)]!
  return {
    [REPLACE_AFTER]: word(['0s', '30s', '1m30s', '5m', null]),
    [STOP_AFTER]: word(['20s', '2m', null, null, null]),
    [ON_RECONNECT]: word(['keep-original', 'keep-replacement', null]),
  }
}

/** A device whose agent runs, with a pod it shall run. */
const someRunningPod = ({ fleet, random }: Scene): { readonly device: SimDevice; readonly pod: Pod } | undefined => {
  const devices = [...fleet.devices.values()].filter(({ agent }) => agent !== undefined)
  const pairs = devices.flatMap(device => alive(device.files.held?.document.pods ?? []).map(pod => ({ device, pod })))
  return pick(random, pairs)
}

const asked = ({ metadata }: Pod) => ({ namespace: metadata.namespace ?? '', pod: metadata.name ?? '' })

const hold = async (scene: Scene): Promise<unknown> => {
  const found = someRunningPod(scene)
  const agent = found?.device.agent
  if (!found || !agent) return
  const kept = await agent.holds.hold(asked(found.pod), undefined, BY)
  scene.checks.held(found.device, kept.uid, kept.id)
}

const someNode = ({ process, random }: Scene, which: (node: Node) => boolean): Node | undefined =>
  pick(random, process.view.list<Node>('Node').filter(which))

const isSilent = (node: Node): boolean =>
  (node.status?.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'Unknown')

export const EDGE_DEEDS: readonly Deed[] = [
  [
    10,
    'set a policy of disconnection on a deployment',
    scene => {
      const found = someDeployment(scene)
      return found && patch(scene, 'Deployment', found, { spec: { template: { metadata: { annotations: drawPolicy(scene) } } } })
    },
  ],
  [
    5,
    'set a policy of disconnection on a namespace',
    scene => {
      const found = pick(
        scene.random,
        alive(scene.process.view.list('Namespace').filter(({ metadata }) => /^(default|team-)/.test(metadata.name ?? ''))),
      )
      return found && patch(scene, 'Namespace', found, { metadata: { annotations: drawPolicy(scene) } })
    },
  ],
  [
    5,
    'make a service',
    scene => {
      const found = someDeployment(scene)
      const { view } = scene.process
      if (!found || view.list('Service').length > 3 + scene.profile.nodes / 20) return undefined
      const service = serviceOf(found, scene.next())
      return scene.verbs.create(USER, { kind: kindByName('Service')!, namespace: found.metadata.namespace ?? '' }, service)
    },
  ],
  [
    1,
    'delete a service',
    scene => {
      const found = pick(scene.random, alive(scene.process.view.list('Service')))
      return found && scene.verbs.delete(USER, target('Service', found))
    },
  ],
  [8, 'hold a pod at its device', hold],
  [
    4,
    'resume a pod at its device',
    scene => {
      const devices = [...scene.fleet.devices.values()].filter(({ agent }) => (agent?.holds.list().length ?? 0) > 0)
      const agent = pick(scene.random, devices)?.agent
      const held = agent && pick(scene.random, agent.holds.list())
      if (!agent || !held) return undefined
      scene.checks.resumed(held.uid)
      scene.world.mark('a hold was ended at its device')
      return agent.holds.resume({ namespace: held.namespace, pod: held.name, uid: held.uid }, BY)
    },
  ],
  [
    4,
    'lift a hold on the server',
    scene => {
      const found = pick(
        scene.random,
        alive(scene.process.view.list<Pod>('Pod').filter(({ metadata }) => metadata.annotations?.[HOLD] !== undefined)),
      )
      return found && patch(scene, 'Pod', found, { metadata: { annotations: { [HOLD]: null } } })
    },
  ],
  [
    4,
    'restart a pod at its device',
    async scene => {
      const found = someRunningPod(scene)
      found?.device.agent?.holds.restart(asked(found.pod), undefined, BY)
    },
  ],
  [
    4,
    'declare a node dead',
    scene => {
      const node =
        someNode(scene, one => isSilent(one) && !isDeclaredDead(one)) ??
        (scene.random.int(4) === 0 ? someNode(scene, () => true) : undefined)
      if (!node || isDeclaredDead(node)) return undefined
      const taints = [...(node.spec?.taints ?? []), { key: OUT_OF_SERVICE, value: 'gone', effect: 'NoExecute' }]
      return patch(scene, 'Node', node, { metadata: { resourceVersion: node.metadata.resourceVersion }, spec: { taints } })
    },
  ],
  [
    4,
    'bring a dead node back',
    scene => {
      const node = someNode(scene, isDeclaredDead)
      const taints = node?.spec?.taints?.filter(({ key }) => key !== OUT_OF_SERVICE) ?? []
      return (
        node &&
        patch(scene, 'Node', node, {
          metadata: { resourceVersion: node.metadata.resourceVersion },
          spec: { taints: taints.length > 0 ? taints : null },
        })
      )
    },
  ],
  [
    2,
    'set a fencing policy',
    scene => {
      const node = someNode(scene, () => true)
      const after = pick(scene.random, ['1m', '5m', null])
      return node && patch(scene, 'Node', node, { metadata: { annotations: { [FENCE_AFTER]: after } } })
    },
  ],
  [
    1,
    'say how often a node calls',
    scene => {
      const node = someNode(scene, () => true)
      const interval = pick(scene.random, ['2m', '10m', null, null])
      return node && patch(scene, 'Node', node, { metadata: { annotations: { [CONTACT_INTERVAL]: interval } } })
    },
  ],
  [
    2,
    'set how often a device calls',
    async ({ fleet, random, profile }) => {
      const device = pick(random, [...fleet.devices.values()])
      if (!device?.agent || profile.uplinks.callers === 0) return
      const { uplink } = device.files.uplink
      device.agent.setUplink(random.int(2) === 0 ? { uplink } : { uplink, contactIntervalMs: MINUTE_MS * (1 + random.int(8)) })
    },
  ],
  [
    6,
    'measure something',
    async ({ fleet, random, checks }) => {
      const device = pick(random, [...fleet.devices.values()])
      if (device?.agent) checks.measured(device)
    },
  ],
]
