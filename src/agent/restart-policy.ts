// When a container that ended runs again. Pure. Source: k8s pod lifecycle (restartPolicy, CrashLoopBackOff), kubelet's backoff.

import { backoffMs } from '../base/backoff.ts'
import { RESTART_BACKOFF, RESTART_RESET_MS } from './limits.ts'

/** True when a container with this policy runs again after ending with `exitCode`. */
export const shouldRestart = (restartPolicy: string, exitCode: number): boolean =>
  restartPolicy === 'Always' || (restartPolicy === 'OnFailure' && exitCode !== 0)

/** Delay before the next start; `failures` counts the ends so far, the present one not included: the first restart is immediate. */
export const restartDelayMs = (failures: number): number => (failures <= 0 ? 0 : backoffMs(RESTART_BACKOFF, failures - 1))

/** Ends to count after one more: a long run wipes the slate. */
export const failuresBefore = (failures: number, ranMs: number): number => (ranMs >= RESTART_RESET_MS ? 0 : failures)

/** `10s`, `2m40s`, `5m0s`, as the upstream messages print durations. */
export const durationText = (ms: number): string => {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`
}
