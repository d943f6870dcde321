// The door of the agent: one device. The shell around the machine: it loads what is remembered, finds what runs, carries out what the
// machine asks for, and only then looks for a server. Closing it is a process stop: every pod goes on running. DESIGN section 7.

import { chmodSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FlooredClock } from '../base/clock-floor.ts'
import type { Exec } from '../base/exec.ts'
import type { Files } from '../base/files.ts'
import type { HostFacts } from '../base/host-facts.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { Random } from '../base/random.ts'
import type { Sealer } from '../base/sealer.ts'
import type { DeviceLink, Document, ProfileName } from '../link/link.ts'
import type { AllocateAddress, Network } from '../network/network.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { type Carrier, createCarrier } from './carrier.ts'
import { type ClockKeeper, keepClock } from './clock-keeper.ts'
import { type Contact, type LinkHooks, openContact } from './contact.ts'
import { type ContactKeeper, keepContact } from './contact-keeper.ts'
import type { Device } from './device.ts'
import { createExecutor } from './executor.ts'
import { collectExits, type Exits, terminationMessage } from './exits.ts'
import { awaitSeed, type FirstBootDeps, openFirstBoot } from './first-boot.ts'
import { createAccounts } from './image-accounts.ts'
import type { ImageStore } from './images/images.ts'
import { openLocalSide } from './local-side.ts'
import { podsWithLogs } from './log-files.ts'
import { createLogRotation, type LogRotation } from './log-rotation.ts'
import { createLoop, type Loop } from './loop.ts'
import { type DeviceState, newState } from './machine.ts'
import { type AgentMemory, type DeviceIdentity, openMemory } from './memory.ts'
import { type NodeReport, reportNode } from './node-report.ts'
import type { SocketGroups } from './peer.ts'
import { isRunning } from './pod-record.ts'
import { createRemembering, type Remembering } from './remembering.ts'
import { allContainers } from './stop.ts'
import { foldersIn } from './volume-writer.ts'

export type { HostFacts } from '../base/host-facts.ts'
export type { DeviceContainer, DeviceImage, DevicePod, DeviceStatus, LocalError, LocalLogsQuery } from '../kinds/device-shapes.ts'
export type { LinkHooks } from './contact.ts'
export type { DeviceIdentity } from './memory.ts'

export interface AgentDeps {
  /** The device's data folder, absolute. */
  readonly dir: string
  /** What the device wants to be called; the name it joined with wins. */
  readonly nodeName: string
  /** As NodeSystemInfo.kubeletVersion: `v1.36.0+helio0.1.0`. */
  readonly version: string
  readonly runtime: Runtime
  readonly network: Network
  readonly allocateAddress: AllocateAddress
  readonly images: ImageStore
  readonly clock: FlooredClock
  readonly random: Random
  readonly log: Log
  readonly files: Files
  /** For the state on disk; its key lies elsewhere. */
  readonly sealer: Sealer
  readonly exec: Exec
  readonly pki: Pick<Pki, 'createRequest' | 'requestFor' | 'publicKeyPin' | 'distrust' | 'inspect'>
  readonly hostFacts: () => HostFacts
  /** Makes the link once there is an identity: dialer, keys and digests are wired there. */
  readonly openLink: (identity: DeviceIdentity, hooks: LinkHooks) => DeviceLink
  /** Where to join, or where the server is now. Left out: the identity on disk, or none. */
  readonly join?: { readonly server: string; readonly token?: string }
  /** Where a seed may lie that says who this device is, while it belongs to no server. */
  readonly seed?: NonNullable<FirstBootDeps['seed']>
  /** What the link may cost where nobody at the device has said; `lan` when left out. */
  readonly profile?: ProfileName
  /** The ways to the server that were asked for, in their order, for people: `ws`, `mqtt`. Left out: those of the identity, or `ws`. */
  readonly linkWays?: readonly string[]
  /** Who besides the agent's own user may use the local API. */
  readonly socketGroups?: SocketGroups
  /** Process id for the local API. */
  readonly pid: number
}

export interface Agent {
  readonly nodeName: string
  /** Images came or went (another process imported). */
  imagesChanged(): void
  /** A sign of life: settles, well or not, unless the database hangs. */
  probe(): Promise<void>
  /** A process stop: settles when the agent holds nothing any more; all pods go on running. */
  close(): Promise<void>
}

const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error) return ''
    throw error
  }
}

const hostFiles = (): Pick<Device, 'resolvConf' | 'hostsFile'> => ({
  resolvConf: textOf('/etc/resolv.conf'),
  hostsFile: textOf('/etc/hosts'),
})

const deviceOf = (deps: AgentDeps, nodeName: string, facts: HostFacts, accounts: Device['accounts']): Device => ({
  nodeName,
  hostIPs: facts.addresses,
  runtimeName: deps.runtime.name,
  isolatesNetwork: deps.runtime.isolatesNetwork,
  sharesDev: deps.runtime.name === 'process',
  secretsInMemory: deps.runtime.name === 'crun',
  podsDir: `${deps.dir}/pods`,
  logsDir: `${deps.dir}/logs`,
  ...hostFiles(),
  cpuMillis: facts.cpus * 1000,
  memoryBytes: facts.memoryBytes,
  resolveImage: reference => deps.images.resolve(reference),
  accounts,
  allocateAddress: deps.allocateAddress,
})

/** True when the machine thinks that a container of this id runs. */
const runsIn = (state: DeviceState, id: string): boolean => {
  for (const record of state.pods.values())
    for (const container of record.containers.values()) {
      if (container.current?.id === id) return isRunning(container)
      if (container.stale.some(old => old.id === id && old.state !== 'exited')) return true
    }
  return false
}

interface Parts {
  readonly device: Device
  readonly state: DeviceState
  readonly memory: AgentMemory
  readonly exits: Exits
  readonly rotation: LogRotation
  readonly remembering: Remembering
  readonly carrier: Carrier
  readonly loop: Loop
  readonly clockKeeper: ClockKeeper
  readonly contactKeeper: ContactKeeper
}

/** Everything around one machine, nothing of it running yet. */
const assemble = (deps: AgentDeps, memory: AgentMemory): Parts => {
  const { clock, log, runtime } = deps
  const device = deviceOf(deps, memory.identity?.nodeName ?? deps.nodeName, deps.hostFacts(), createAccounts())
  const state = newState(device)
  const exits = collectExits(runtime, clock, id => runsIn(state, id))
  const rotation = createLogRotation({ clock, log, runtime })
  const remembering = createRemembering({ clock, log, memory })
  const executor = createExecutor({ ...deps, podsDir: device.podsDir, exitTaken: exits.taken })
  const carrier = createCarrier({ clock, log, executor, rotation, remembering, logsDir: device.logsDir, send: input => loop.send(input) })
  const loop = createLoop(clock, state, carrier.carry)
  const contactKeeper = keepContact({ ...deps, memory, tell: contact => loop.send({ on: 'contact', contact }) })
  return {
    device,
    state,
    memory,
    exits,
    rotation,
    remembering,
    carrier,
    loop,
    clockKeeper: keepClock({ clock, log, memory }),
    contactKeeper,
  }
}

/** The first step: what is remembered, what runs, what is desired. From here on pods are looked after. */
const adopt = async (
  deps: AgentDeps,
  { device, state, memory, exits, rotation, loop, contactKeeper }: Parts,
  alone: Document | undefined,
): Promise<void> => {
  const truth = await deps.runtime.inspect()
  for (const container of truth.containers) if (container.state === 'running') rotation.track(container)
  const folders = [...new Set([...foldersIn(device.podsDir), ...podsWithLogs(device.logsDir)])]
  const document = memory.held?.document ?? alone
  if (document) contactKeeper.document(document)
  loop.send({ on: 'start', truth, document, memories: memory.pods, folders, holds: memory.holds, contact: contactKeeper.first })
  exits.open(container => {
    rotation.untrack(container.id)
    const spec = allContainers(state.pods.get(container.podUid)?.pod).find(c => c.name === container.name)
    const message = terminationMessage(device.podsDir, container, spec)
    loop.send({ on: 'exited', container, ...(message === '' ? {} : { message }) })
  })
}

/** Volumes hold Secrets with the modes that pods ask for; who may look into them from outside is not for the modes of the data folder to say. */
const closeFolders = (dir: string): void => {
  for (const name of ['pods', 'logs']) {
    mkdirSync(join(dir, name), { recursive: true })
    chmodSync(join(dir, name), 0o700)
  }
}

/** Starts the agent: pods first, the network to the server afterwards. Rejects only when the device's own folder or runtime cannot be used. */
export const startAgent = async (deps: AgentDeps): Promise<Agent> => {
  const memory = await openMemory(deps)
  closeFolders(deps.dir)
  const first = await openFirstBoot({ ...deps, memory }).catch(async (error: unknown) => {
    await memory.close()
    throw error
  })
  const parts = assemble({ ...deps, nodeName: first.nodeName }, memory)
  const startedWallMs = deps.clock.now()
  const { state, exits, loop, carrier, clockKeeper, contactKeeper } = parts
  const { nodeName } = parts.device
  await adopt(deps, parts, first.document)
  const hold: { contact: Contact | undefined; node: NodeReport | undefined } = { contact: undefined, node: undefined }
  memory.alsoWarn(() => hold.node?.shortages() ?? [])
  memory.alsoWarn(() => deps.runtime.losses?.() ?? [])
  const imagesChanged = (): void => {
    deps.images.refresh()
    loop.send({ on: 'images' })
    hold.node?.look()
  }
  const local = await openLocalSide({
    ...deps,
    linkWays: deps.linkWays ?? ((memory.identity?.ways ?? first.ways)?.link ?? 'ws').split(','),
    nodeName,
    state,
    memory,
    exits,
    startedWallMs,
    contact: () => hold.contact,
    imagesChanged,
    send: loop.send,
  })
  const onDocument = (document: Document): void => {
    first.replaced()
    contactKeeper.document(document)
    loop.send({ on: 'document', document })
    hold.node?.look()
  }
  const labels = { ...first.labels, 'kubernetes.io/arch': deps.hostFacts().architecture, 'kubernetes.io/os': 'linux' }
  const hooks: LinkHooks = {
    memory: memory.link,
    outbox: memory.outbox,
    onDocument,
    onStream: local.onStream,
    onServerTime: clockKeeper.told,
    onContact(connected) {
      contactKeeper.changed(connected, hold.contact?.link?.lastContactMs)
      // A link that had to be made anew often means another address.
      if (connected) hold.node?.look()
    },
  }
  const stop = new AbortController()
  const seedAwaited = first.lacksSeed ? awaitSeed(deps, stop.signal) : Promise.resolve()
  const { join, ...rest } = deps
  const contact = openContact({
    ...rest,
    ...(first.join ? { join: first.join } : {}),
    ...(first.ways ? { ways: first.ways } : {}),
    joined: first.joined,
    nodeName,
    memory,
    labels,
    hooks,
  })
  hold.contact = contact
  carrier.connect(contact)
  // Where the address changes, the resolver usually does.
  const changed = (device: Device): void => loop.send({ on: 'device', device: { ...device, ...hostFiles() } })
  hold.node = reportNode({ ...deps, nodeName, memory, state, report: status => contact.report('node', status), changed })
  return {
    nodeName,
    imagesChanged,
    probe: () => memory.probe(),
    async close() {
      stop.abort()
      await seedAwaited
      hold.node?.close()
      parts.rotation.close()
      await contactKeeper.close()
      await Promise.all([contact.close(), local.close()])
      await carrier.close()
      loop.close()
      await Promise.all([parts.remembering.close(), clockKeeper.close()])
      await deps.runtime.close()
      await memory.close()
    },
  }
}
