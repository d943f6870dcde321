// When a container is probed and what the answers mean. Pure. Source: k8s core/v1 Probe; kubelet's prober worker.

import { backoffMs } from '../base/backoff.ts'
import type { Container, Probe } from '../kinds/pod.ts'
import { EAGER_READINESS } from './limits.ts'
import type { ContainerRecord } from './pod-record.ts'

export type ProbeKind = 'startup' | 'readiness' | 'liveness'

export interface ProbeRecord {
  nextAtMs: number
  inFlight: boolean
  successes: number
  failures: number
  /** The threshold was reached. */
  result: 'unknown' | 'success' | 'failure'
  /** It has succeeded once. */
  succeeded: boolean
  message: string
}

const KINDS: readonly ProbeKind[] = ['startup', 'readiness', 'liveness']
const FIELDS = { startup: 'startupProbe', readiness: 'readinessProbe', liveness: 'livenessProbe' } as const

export const probeOf = (container: Container, kind: ProbeKind): Probe | undefined => container[FIELDS[kind]]
export const periodMs = (probe: Probe): number => (probe.periodSeconds || 10) * 1000
export const timeoutMs = (probe: Probe): number => (probe.timeoutSeconds || 1) * 1000

/** Starts the schedules of an attempt that runs since `sinceAtMs`; `carried` = it was ready before the agent restarted and stays so. */
export const startProbes = (container: Container, record: ContainerRecord, sinceAtMs: number, carried: boolean): void => {
  record.probes = {}
  for (const kind of KINDS) {
    const probe = probeOf(container, kind)
    if (!probe) continue
    const nextAtMs = sinceAtMs + (probe.initialDelaySeconds ?? 0) * 1000
    record.probes[kind] = { nextAtMs, inFlight: false, successes: 0, failures: 0, result: 'unknown', succeeded: carried, message: '' }
  }
  record.started = carried ? record.started : container.startupProbe === undefined
  record.ready = carried ? record.ready : container.readinessProbe === undefined && record.started
}

/** Probes that run now, given what has passed: the others wait for the startup probe; the startup probe ends with its success. */
const activeKinds = (record: ContainerRecord): readonly ProbeKind[] => (record.started ? ['readiness', 'liveness'] : ['startup'])

/** Kinds due now, and when the next one will be. */
export const dueProbes = (
  record: ContainerRecord,
  monoMs: number,
): { readonly due: readonly ProbeKind[]; readonly nextAtMs: number | undefined } => {
  const due: ProbeKind[] = []
  let next: number | undefined
  for (const kind of activeKinds(record)) {
    const probe = record.probes[kind]
    if (!probe || probe.inFlight) continue
    if (probe.nextAtMs <= monoMs) due.push(kind)
    else next = Math.min(next ?? probe.nextAtMs, probe.nextAtMs)
  }
  return { due, nextAtMs: next }
}

/** Takes one answer in. */
export const takeAnswer = (
  container: Container,
  record: ContainerRecord,
  kind: ProbeKind,
  answer: { readonly ok: boolean; readonly message: string },
  monoMs: number,
): void => {
  const spec = probeOf(container, kind)
  const probe = record.probes[kind]
  if (!spec || !probe) return
  probe.inFlight = false
  probe.successes = answer.ok ? probe.successes + 1 : 0
  probe.failures = answer.ok ? 0 : probe.failures + 1
  probe.message = answer.message
  // A container that was never ready yet is looked at more often: it costs little, and nobody waits a whole period for a quick start.
  const isEager = kind === 'readiness' && !probe.succeeded && !answer.ok
  probe.succeeded ||= answer.ok
  probe.nextAtMs = monoMs + (isEager ? Math.min(periodMs(spec), backoffMs(EAGER_READINESS, probe.failures - 1)) : periodMs(spec))
  if (probe.successes >= (spec.successThreshold || 1)) probe.result = 'success'
  else if (probe.failures >= (spec.failureThreshold || 3)) probe.result = 'failure'
  if (kind === 'startup' && probe.result === 'success') {
    record.started = true
    record.ready = container.readinessProbe === undefined
  }
  if (kind === 'readiness' && probe.result !== 'unknown') record.ready = probe.result === 'success'
}

/** Why the container has to be killed, if it has. */
export const fatalProbe = (record: ContainerRecord): ProbeKind | undefined =>
  record.probes.liveness?.result === 'failure' ? 'liveness' : record.probes.startup?.result === 'failure' ? 'startup' : undefined
