// Exponential backoff as pure arithmetic. Source: AWS "full jitter"; kubelet's CrashLoopBackOff (10 s doubling to 5 min).

import type { Random } from './random.ts'

export interface BackoffPolicy {
  readonly baseMs: number
  readonly capMs: number
}

/** `base · 2^attempt`, capped; `attempt` counts from 0. */
export const backoffMs = (policy: BackoffPolicy, attempt: number): number =>
  Math.min(policy.capMs, policy.baseMs * 2 ** Math.min(attempt, 40))

/** Full jitter: uniform in [0, backoff]. */
export const jitteredMs = (policy: BackoffPolicy, attempt: number, random: Random): number =>
  random.int(Math.floor(backoffMs(policy, attempt)) + 1)
