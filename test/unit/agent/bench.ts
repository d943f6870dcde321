// A device for tests of the shell: real folder, real SQLite, real clock, the fake runtime, and a link that only takes notes.

import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Agent, type AgentDeps, type HostFacts, type LinkHooks, startAgent } from '../../../src/agent/agent.ts'
import type { Image, ImageStore } from '../../../src/agent/images/images.ts'
import { openMemory } from '../../../src/agent/memory.ts'
import { clockWithFloor } from '../../../src/base/clock-floor.ts'
import { silentLog } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { systemExec } from '../../../src/host/exec.ts'
import { systemFiles } from '../../../src/host/files.ts'
import { systemPki } from '../../../src/host/pki.ts'
import { sealerOf } from '../../../src/host/seal.ts'
import type { PodStatus } from '../../../src/kinds/pod.ts'
import type { DeviceLink, Document, Head } from '../../../src/link/link.ts'
import { allocateAddress } from '../../../src/network/index.ts'
import type { Network } from '../../../src/network/network.ts'
import { openFakeRuntime } from '../../../src/runtime/fake.ts'
import { createFakeDevice, type FakeDevice, type FakeDeviceDeps } from '../../../src/runtime/fake-device.ts'
import { image } from './model.ts'

/** The key of every bench's device, as from a file elsewhere. */
export const SEALER = sealerOf(Buffer.alloc(32, 7))

export const FACTS: HostFacts = {
  hostname: 'tower',
  cpus: 4,
  memoryBytes: 2 ** 31,
  diskBytes: 2 ** 34,
  diskFreeBytes: 2 ** 33,
  addresses: ['192.0.2.7'],
  machineID: 'm',
  bootID: 'b',
  uptimeSeconds: 1000,
  kernelVersion: '6.1',
  osImage: 'Debian',
  architecture: 'arm64',
}

/** A link that has no server and takes everything. */
export const QUIET_LINK: DeviceLink = {
  connected: false,
  lastContactMs: undefined,
  lastError: undefined,
  conflict: undefined,
  uplink: { uplink: 'default', profile: 'lan' },
  line: { is: 'waiting', dialAtMs: undefined, dials: 0, keepaliveMs: 20_000, fetching: false },
  setStatus: () => undefined,
  addEvent: () => undefined,
  addTelemetry: () => undefined,
  setUplink: () => undefined,
  setProfile: () => undefined,
  setContactInterval: () => undefined,
  countBulk: () => undefined,
  bulkRefusal: () => undefined,
  usage() {
    const nothing = { sentBytes: 0, receivedBytes: 0, budgetBytes: null, waiting: 0, dropped: 0 }
    const perPriority = { control: nothing, status: nothing, events: nothing, telemetry: nothing, bulk: nothing }
    return { uplink: 'default', profile: 'lan', day: 1, dayEndsInMs: 0, perPriority }
  },
  sync: () => undefined,
  resume: () => undefined,
  close: () => Promise.resolve(),
}

export interface Bench {
  dir: string
  readonly device: FakeDevice
  readonly images: Map<string, Image>
  readonly values: Map<string, unknown>
  readonly events: string[]
  readonly attached: Map<string, string>
  hooks: LinkHooks | undefined
  /** How many times a link was opened. */
  links: number
  /** Puts an identity on disk, as joining would. */
  join(): Promise<void>
  start(changes?: Partial<AgentDeps>): Promise<Agent>
  /** The power goes: what is on disk now is all there is; the old agent is left behind in its own folder. */
  powerCut(): void
  /** A document arrives as the link would bring it: on disk first. */
  give(document: Document): Promise<void>
  status(podName: string): PodStatus | undefined
  until(what: string, condition: () => boolean): Promise<void>
}

const WAIT_MS_MAX = 8_000

export const openBench = (teardown: (fn: () => void) => void, fake: Partial<FakeDeviceDeps> = {}): Bench => {
  const root = mkdtempSync(join(tmpdir(), 'helio-agent-'))
  teardown(() => rmSync(root, { recursive: true, force: true }))
  const counters = { generation: 0, cuts: 0 }
  const images = new Map([['app:1', image('app:1')]])
  const store: ImageStore = {
    resolve: name => images.get(name),
    list: () => [...images.values()],
    import: () => Promise.reject(new Error('not here')),
    remove: () => Promise.reject(new Error('not here')),
    refresh: () => undefined,
  }
  const bench: Bench = {
    dir: join(root, 'device'),
    device: createFakeDevice({ clock: systemClock, random: seededRandom('agent'), ...fake }),
    images,
    values: new Map(),
    events: [],
    attached: new Map(),
    hooks: undefined,
    links: 0,
    async join() {
      const memory = await openMemory({ dir: bench.dir, files: systemFiles, log: silentLog, sealer: SEALER })
      await memory.saveIdentity(IDENTITY)
      await memory.close()
    },
    async start(changes = {}) {
      const network: Network = {
        configure: () => Promise.resolve(),
        attach: async ({ uid, address }) => void bench.attached.set(uid, address),
        detach: async uid => void bench.attached.delete(uid),
        remove: () => Promise.resolve(),
      }
      const agent = await startAgent({
        dir: bench.dir,
        nodeName: 'tower-1',
        version: 'v1.36.0+helio0',
        runtime: openFakeRuntime(bench.device),
        network,
        allocateAddress,
        images: store,
        clock: clockWithFloor(systemClock, 0),
        random: seededRandom('agent'),
        log: silentLog,
        files: systemFiles,
        sealer: SEALER,
        exec: systemExec,
        pki: systemPki,
        hostFacts: () => FACTS,
        pid: process.pid,
        openLink: (_identity, hooks) => openLink(hooks),
        ...changes,
      })
      return agent
    },
    powerCut() {
      const next = join(root, `cut-${counters.cuts++}`)
      cpSync(bench.dir, next, { recursive: true, filter: source => !source.endsWith('.sock') })
      bench.device.crashAgent()
      bench.dir = next
      bench.values.clear()
    },
    async give(document) {
      const head: Head = { epoch: 'e', generation: ++counters.generation, sha256: '', size: 0, sig: '' }
      await bench.hooks?.memory.save(head, document)
      bench.hooks?.onDocument(document, head)
    },
    status: podName => (bench.values.get(`pod/uid-${podName}`) as { status: PodStatus } | undefined)?.status,
    async until(what, condition) {
      const endMs = systemClock.mono() + WAIT_MS_MAX
      while (!condition()) {
        if (systemClock.mono() > endMs) throw new Error(`waited in vain: ${what}`)
        await systemClock.sleep(5)
      }
    },
  }
  const openLink = (hooks: LinkHooks): DeviceLink => {
    bench.hooks = hooks
    bench.links++
    return {
      ...QUIET_LINK,
      connected: true,
      lastContactMs: systemClock.mono(),
      setStatus: (key, value) =>
        void (value === null ? bench.values.delete(key) : bench.values.set(key, JSON.parse(JSON.stringify(value)))),
      addEvent: event => void bench.events.push(`${event.reason}: ${event.note}`),
    }
  }
  return bench
}

export const IDENTITY = {
  nodeName: 'tower-1',
  server: 'https://192.0.2.1:6443',
  linkPath: '/link/v1',
  clusterCIDR: '10.42.0.0/16',
  ca: 'ca',
  certificate: 'cert',
  key: 'key',
  headKey: 'head',
}
