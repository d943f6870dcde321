// Looks at the machine for the doctor, when asked and never else.

import { messageOf } from '../base/errors.ts'
import type { Exec } from '../base/exec.ts'
import type { HostFacts } from '../base/host-facts.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { DeviceLinkView, DevicePod, DeviceStatus } from '../kinds/device-shapes.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { DoctorFacts } from './doctor.ts'
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

export const doctorFacts = (
  deps: DoctorDeps,
  told: { readonly status: DeviceStatus; readonly pods: readonly DevicePod[]; readonly link: DeviceLinkView },
): DoctorFacts => ({
  ...told,
  dataDir: deps.dir,
  keyLost: deps.memory.keyLost,
  networkError: deps.state.network.error,
  shortages: shortages(deps.hostFacts()),
  losses: deps.runtime.losses?.() ?? [],
  missing: missingPrograms(deps),
  certificateEndsAtMs: certificateEnd(deps),
  nowMs: deps.clock.now(),
})
