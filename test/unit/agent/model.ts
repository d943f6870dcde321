// A device without promises: the machine on one side, a small model of runtime, network and disk on the other, and a clock that jumps
// from one due thing to the next. What the model holds outlives an agent; a reboot takes processes and namespaces away.

import type { Action, ActionResult } from '../../../src/agent/action.ts'
import type { Device } from '../../../src/agent/device.ts'
import { type Hold, holdOf, unfinished } from '../../../src/agent/holds.ts'
import type { Image } from '../../../src/agent/images/images.ts'
import { type DeviceState, type Input, newState, type Output, step, wakeAtMs } from '../../../src/agent/machine.ts'
import type { PodMemory } from '../../../src/agent/pod-record.ts'
import type { ContactState } from '../../../src/agent/silence.ts'
import type { Container, ContainerStatus, Pod, PodSpec, PodStatus } from '../../../src/kinds/pod.ts'
import type { Document, PodReport } from '../../../src/link/messages.ts'
import type { ContainerInfo } from '../../../src/runtime/runtime.ts'

export const image = (name: string, changes: Partial<Image['config']> = {}): Image => ({
  id: `sha256:${name}`,
  names: [name],
  digests: [],
  sizeBytes: 1,
  importedAt: '2026-01-01T00:00:00Z',
  layers: [`/images/${name}`],
  config: { entrypoint: [], cmd: ['/app'], env: ['PATH=/bin'], workingDir: '', user: '', stopSignal: '', labels: {}, ...changes },
})

export const container = (name = 'main', changes: Partial<Container> = {}): Container => ({ name, image: 'app:1', ...changes })

export const pod = (name: string, spec: Partial<PodSpec> = {}, metadata: Partial<Pod['metadata']> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', uid: `uid-${name}`, ...metadata },
  spec: { containers: [container()], restartPolicy: 'Always', terminationGracePeriodSeconds: 30, ...spec },
})

export const document = (pods: readonly Pod[], rest: Partial<Document> = {}): Document => ({
  apiVersion: 'heliopause.io/v1',
  kind: 'DeviceDocument',
  device: 'tower-1',
  podCIDR: '10.42.3.0/24',
  clusterCIDR: '10.42.0.0/16',
  pods,
  configMaps: [],
  secrets: [],
  ...rest,
})

type Step = { readonly atMs: number; readonly input: () => Input | undefined }

export interface Model {
  readonly containers: Map<string, ContainerInfo>
  readonly sandboxes: Set<string>
  readonly images: Map<string, Image>
  readonly folders: Set<string>
  readonly memories: Map<string, PodMemory>
  readonly reports: Map<string, unknown>
  /** Everything the machine asked for, in order, as `do uid name`. */
  readonly trace: string[]
  readonly events: string[]
  readonly attached: Map<string, string>
  /** Answers of probes by container name; default ok. */
  readonly probes: Map<string, boolean>
  /** Steps that fail, by `do`, with their message. */
  readonly broken: Map<Action['do'], string>
  /** Containers (by name) that ignore SIGTERM. */
  readonly stubborn: Set<string>
  nowMs: number
  state: DeviceState
  /** What the next agent is told about the server's silence; undefined: nothing. */
  contact: ContactState | undefined
  /** The link goes up or down now. */
  heard(connected: boolean): void
  /** Holds on disk. */
  holds: readonly Hold[]
  give(document: Document): void
  /** As the shell does: on disk first, then told to the machine. */
  hold(podName: string, reason?: string): void
  lift(podName: string): void
  /** An operator's restart. */
  again(podName: string, containers?: readonly string[]): void
  /** Lets everything due until then happen. */
  run(forMs: number): void
  exit(podName: string, containerName: string, exit?: Partial<NonNullable<ContainerInfo['exit']>>): void
  imported(name: string): void
  /** The agent dies without a word and is started again; `whileDown` happens in between. */
  restart(whileDown?: () => void): void
  /** Power off and on. */
  reboot(): void
  status(podName: string): PodStatus
  containerStatus(podName: string, name?: string): ContainerStatus
  running(): string[]
  /** Actions since the last call. */
  asked(): string[]
}

const allocate = (cidr: string, used: ReadonlySet<string>): string | undefined => {
  const base = cidr.split('.').slice(0, 3).join('.')
  for (let i = 2; i < 255; i++) if (!used.has(`${base}.${i}`)) return `${base}.${i}`
  return undefined
}

export const device = (images: Map<string, Image>, changes: Partial<Device> = {}): Device => ({
  nodeName: 'tower-1',
  hostIPs: ['192.0.2.7'],
  runtimeName: 'fake',
  isolatesNetwork: true,
  podsDir: '/data/pods',
  logsDir: '/data/logs',
  resolvConf: 'nameserver 192.0.2.53\n',
  hostsFile: '127.0.0.1 localhost\n',
  cpuMillis: 4000,
  memoryBytes: 2 ** 31,
  resolveImage: name => images.get(name),
  accounts: () => ({ passwd: 'root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n', group: 'web:x:34:\nlogs:x:90:web\n' }),
  allocateAddress: allocate,
  ...changes,
})

const START_MS = Date.parse('2026-11-22T10:00:00Z')
/** How long the model takes for a step. */
const STEP_MS = 20

export const openModel = (changes: Partial<Device> = {}): Model => {
  const images = new Map<string, Image>([
    ['app:1', image('app:1')],
    ['app:2', image('app:2')],
  ])
  const made = device(images, changes)
  const queue: (Step & { readonly seq: number })[] = []
  const counters = { seq: 0, pid: 100, traced: 0, generation: 0 }
  let document: Document | undefined
  const model: Model = {
    containers: new Map(),
    sandboxes: new Set(),
    images,
    folders: new Set(),
    memories: new Map(),
    reports: new Map(),
    trace: [],
    events: [],
    attached: new Map(),
    probes: new Map(),
    broken: new Map(),
    stubborn: new Set(),
    nowMs: 0,
    holds: [],
    state: newState(made),
    contact: undefined,
    heard(connected) {
      send({ on: 'contact', contact: { connected, sinceAtMs: model.nowMs, patienceMs: Number.POSITIVE_INFINITY } })
    },
    give(next) {
      document = JSON.parse(JSON.stringify(next)) as Document
      send({ on: 'document', document })
    },
    hold(podName, reason) {
      const record = model.state.pods.get(`uid-${podName}`)
      if (!record) throw new Error(`no pod ${podName}`)
      const { uid, namespace, name } = record
      const given = reason === undefined ? {} : { reason }
      const hold: Hold = {
        uid,
        namespace,
        name,
        id: `hold-${counters.seq++}`,
        at: '2026-11-22T10:00:00Z',
        by: 'root',
        ...given,
        containers: unfinished(record),
      }
      if (!holdOf(model.state, uid)) model.holds = [...model.state.holds.values(), hold]
      send({ on: 'hold', hold })
    },
    lift(podName) {
      const uid = `uid-${podName}`
      const id = holdOf(model.state, uid)?.id ?? ''
      model.holds = [...model.state.holds.values()].map(hold => (hold.id === id ? { ...hold, lifted: true } : hold))
      send({ on: 'lift', uid, id, by: 'root' })
    },
    again: (podName, containers) =>
      send({ on: 'restart', uid: `uid-${podName}`, why: 'restart asked by root', ...(containers ? { containers } : {}) }),
    run(forMs) {
      const endMs = model.nowMs + forMs
      for (;;) {
        queue.sort((a, b) => a.atMs - b.atMs || a.seq - b.seq)
        const wake = wakeAtMs(model.state)
        const next = queue[0]?.atMs
        const at = Math.min(next ?? Number.POSITIVE_INFINITY, wake ?? Number.POSITIVE_INFINITY)
        if (at > endMs) break
        model.nowMs = Math.max(model.nowMs, at)
        if (next !== undefined && next <= at) {
          const input = queue.shift()?.input()
          if (input) send(input)
        } else send({ on: 'tick' })
      }
      model.nowMs = endMs
    },
    exit(podName, containerName, exit = {}) {
      const found = [...model.containers.values()].find(
        c => c.podUid === `uid-${podName}` && c.name === containerName && c.state === 'running',
      )
      if (!found) throw new Error(`no running container ${containerName} in ${podName}`)
      end(found.id, exit)
    },
    imported(name) {
      images.set(name, image(name))
      send({ on: 'images' })
    },
    restart(whileDown) {
      counters.generation++
      queue.length = 0
      whileDown?.()
      model.state = newState(made)
      model.reports.clear()
      const copy = <T>(value: T): T => (value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T))
      send({
        on: 'start',
        truth: { sandboxes: [...model.sandboxes].map(uid => ({ uid, netns: `/run/${uid}` })), containers: [...model.containers.values()] },
        document: copy(document),
        memories: new Map([...model.memories].map(([uid, memory]) => [uid, copy(memory)])),
        folders: [...model.folders],
        ...(model.contact === undefined ? {} : { contact: model.contact }),
        holds: copy(model.holds),
      })
    },
    reboot() {
      model.restart(() => {
        model.nowMs = 5
        model.sandboxes.clear()
        model.attached.clear()
        for (const [id, info] of model.containers)
          if (info.state !== 'exited')
            model.containers.set(id, {
              ...info,
              state: 'exited',
              exit: { exitCode: 255, oomKilled: false, finishedAtMs: START_MS, unknown: true },
            })
      })
    },
    status: podName => (model.reports.get(`pod/uid-${podName}`) as PodReport).status as PodStatus,
    containerStatus(podName, name = 'main') {
      const status = model.status(podName)
      return [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])].find(s => s.name === name)!
    },
    running: () =>
      [...model.containers.values()]
        .filter(c => c.state === 'running')
        .map(c => `${c.podUid.slice(4)}/${c.name}#${c.attempt}`)
        .sort(),
    asked() {
      const asked = model.trace.slice(counters.traced)
      counters.traced = model.trace.length
      return asked
    },
  }

  const wallMs = (): number => START_MS + model.nowMs
  const later = (afterMs: number, input: () => Input | undefined): void => {
    queue.push({ atMs: model.nowMs + afterMs, seq: counters.seq++, input })
  }
  const send = (input: Input): void => {
    for (const output of step(model.state, input, { wallMs: wallMs(), monoMs: model.nowMs })) carryOut(output)
  }
  const end = (id: string, exit: Partial<NonNullable<ContainerInfo['exit']>>): void => {
    const found = model.containers.get(id)
    if (!found || found.state === 'exited') return
    const exited: ContainerInfo = { ...found, state: 'exited', exit: { exitCode: 1, oomKilled: false, finishedAtMs: wallMs(), ...exit } }
    model.containers.set(id, exited)
    send({ on: 'exited', container: exited })
  }
  const carryOut = (output: Output): void => {
    if (output.do === 'report') {
      if (output.value === null) model.reports.delete(output.key)
      else model.reports.set(output.key, output.value)
    } else if (output.do === 'event') model.events.push(`${output.note.reason}: ${output.note.note}`)
    else if (output.do === 'remember') {
      if (output.memory) model.memories.set(output.uid, output.memory)
      else model.memories.delete(output.uid)
    } else if (output.do === 'keepHolds') model.holds = output.holds
    else if (output.do === 'act') act(output.action)
  }
  const act = (action: Action): void => {
    const generation = counters.generation
    if (action.do !== 'probe')
      model.trace.push([action.do, 'uid' in action ? action.uid.slice(4) : '', 'name' in action ? action.name : ''].join(' ').trim())
    const finish = (afterMs: number, effect: () => ActionResult): void =>
      later(afterMs, () => {
        if (generation !== counters.generation) return undefined
        const message = model.broken.get(action.do)
        if (message !== undefined) return { on: 'failed', action, message }
        return { on: 'done', action, result: effect() }
      })
    if (action.do === 'stopContainer') {
      const takesMs = model.stubborn.has(action.name) ? action.graceMs : Math.min(action.graceMs, 100)
      later(takesMs, () => {
        if (generation === counters.generation)
          end(action.id, { exitCode: model.stubborn.has(action.name) || action.graceMs === 0 ? 137 : 143 })
        return undefined
      })
      finish(takesMs + 1, () => ({}))
    } else finish(STEP_MS, () => effectOf(action))
  }
  const effectOf = (action: Action): ActionResult => {
    switch (action.do) {
      case 'writeVolumes':
        model.folders.add(action.uid)
        return {}
      case 'createSandbox':
        model.sandboxes.add(action.uid)
        return { netns: `/run/${action.uid}` }
      case 'attach':
        model.attached.set(action.uid, action.address)
        return {}
      case 'startContainer': {
        const { spec } = action.start
        const id = `${spec.podUid}.${spec.name}.${spec.attempt}`
        if (!model.sandboxes.has(spec.podUid)) throw new Error(`no sandbox for ${id}`)
        if (model.containers.has(id)) throw new Error(`${id} exists`)
        const { podUid, name, attempt, init, image, imageID, logPath } = spec
        const info: ContainerInfo = {
          id,
          podUid,
          name,
          attempt,
          init,
          image,
          imageID,
          logPath,
          state: 'running',
          pid: counters.pid++,
          startedAtMs: wallMs(),
        }
        model.containers.set(id, info)
        return { container: info }
      }
      case 'removeContainer':
        model.containers.delete(action.id)
        return {}
      case 'removeSandbox':
        model.sandboxes.delete(action.uid)
        model.attached.delete(action.uid)
        for (const [id, info] of model.containers) if (info.podUid === action.uid) model.containers.delete(id)
        return {}
      case 'removeVolumes':
        model.folders.delete(action.uid)
        return {}
      case 'probe':
        return { answer: { ok: model.probes.get(action.name) ?? true, message: 'HTTP probe failed with statuscode: 503' } }
      default:
        return {}
    }
  }
  send({ on: 'start', truth: { sandboxes: [], containers: [] }, document: undefined, memories: new Map(), folders: [] })
  return model
}
