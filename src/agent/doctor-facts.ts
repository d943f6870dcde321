// Looks at the machine for the doctor, when asked and never else.

import { messageOf } from '../base/errors.ts'
import type { Exec } from '../base/exec.ts'
import type { HostFacts } from '../base/host-facts.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { DeviceLinkView, DevicePod, DeviceStatus } from '../kinds/device-shapes.ts'
import type { LogOptions } from '../link/link.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { type DoctorFacts, type Waits, waiting } from './doctor.ts'
import { LAST_WORDS_BYTES_MAX, LAST_WORDS_CONTAINERS_MAX } from './limits.ts'
import type { LocalLogs } from './local-routes.ts'
import type { DeviceState } from './machine.ts'
import type { AgentMemory } from './memory.ts'
import { shortages } from './node-status.ts'

export interface DoctorDeps {
  readonly dir: string
  readonly clock: { now(): number }
  readonly log: Log
  readonly exec: Pick<Exec, 'find'>
  readonly hostFacts: () => HostFacts
  readonly pki: Pick<Pki, 'inspect'>
  readonly runtime: Pick<Runtime, 'name' | 'losses' | 'isolatesNetwork'>
  readonly state: Pick<DeviceState, 'network'>
  readonly memory: Pick<AgentMemory, 'identity' | 'keyLost'>
}

/** What was told of the device already, and its logs. */
export interface Told {
  readonly status: DeviceStatus
  readonly pods: readonly DevicePod[]
  readonly link: DeviceLinkView
  readonly logs: (asked: Omit<LocalLogs, 'options'>, options: LogOptions, write: (bytes: Uint8Array) => Promise<void>) => Promise<void>
}

/** The last line a container wrote; '' where there is none to be read. */
const lastLine = async ({ log }: DoctorDeps, { logs }: Told, { pod, container }: Waits): Promise<string> => {
  const pieces: Uint8Array[] = []
  const asked = { namespace: pod.namespace, pod: pod.name, uid: pod.uid, container: container.name }
  try {
    await logs(asked, { tailLines: 1, limitBytes: LAST_WORDS_BYTES_MAX }, async bytes => void pieces.push(bytes.slice()))
  } catch (error) {
    log.error('read last words', { pod: pod.name, namespace: pod.namespace, error: messageOf(error) })
  }
  return Buffer.concat(pieces).toString()
}

const lastWords = async (deps: DoctorDeps, told: Told): Promise<ReadonlyMap<string, string>> => {
  const looping = waiting(told.pods, /^CrashLoopBackOff$/).slice(0, LAST_WORDS_CONTAINERS_MAX)
  const words = await Promise.all(looping.map(each => lastLine(deps, told, each)))
  return new Map(looping.map(({ pod, container }, i) => [`${pod.namespace}/${pod.name}/${container.name}`, words[i] ?? '']))
}

/** What containers need while they run, besides what the agent checked at its start. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = { crun: ['crun', 'conmon', 'mount', 'umount'] }
const NETWORK_PROGRAMS = ['ip', 'nft', 'nsenter']

const missingPrograms = ({ exec, runtime }: DoctorDeps): string[] =>
  [...(PROGRAMS[runtime.name] ?? []), ...(runtime.isolatesNetwork ? NETWORK_PROGRAMS : [])].filter(
    program => exec.find(program) === undefined,
  )

const certificateEnd = ({ pki, memory, log }: DoctorDeps): number | undefined => {
  if (!memory.identity) return undefined
  try {
    return pki.inspect(memory.identity.certificate).notAfterMs
  } catch (error) {
    log.error('read the device’s certificate', { error: messageOf(error) })
    return undefined
  }
}

export const doctorFacts = async (deps: DoctorDeps, told: Told): Promise<DoctorFacts> => ({
  status: told.status,
  pods: told.pods,
  link: told.link,
  lastWords: await lastWords(deps, told),
  dataDir: deps.dir,
  keyLost: deps.memory.keyLost,
  networkError: deps.state.network.error,
  shortages: shortages(deps.hostFacts()),
  losses: deps.runtime.losses?.() ?? [],
  missing: missingPrograms(deps),
  certificateEndsAtMs: certificateEnd(deps),
  nowMs: deps.clock.now(),
})
